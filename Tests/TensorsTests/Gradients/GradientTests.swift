import Support
import Tensors
import Testing

/// A function whose gradients are checked, and the types and values that it takes.
struct Differentiable: Sendable, CustomTestStringConvertible {
  let name: String
  let inputs: @Sendable (inout RandomCase) -> [TensorData]
  let function: @Sendable ([Tensor]) -> Tensor
  var testDescription: String { name }

  init(
    _ name: String, _ shapes: [Shape], _ values: RandomCase.Values = .distinct,
    _ function: @escaping @Sendable ([Tensor]) -> Tensor
  ) {
    self.init(name, { random in shapes.map { random.data(.float64, $0, values) } }, function)
  }

  init(
    _ name: String, _ inputs: @escaping @Sendable (inout RandomCase) -> [TensorData],
    _ function: @escaping @Sendable ([Tensor]) -> Tensor
  ) {
    self.name = name
    self.inputs = inputs
    self.function = function
  }
}

@Suite struct GradientTests {
  @Test func `The gradient of a power is finite at zero`() throws {
    let (a, b) = (Tensor([0, 0, 2] as [Float]), Tensor([0, 2, 0] as [Float]))
    let found = gradients(of: a.power(b), with: [a, b])
    #expect(try found[0].floats() == [0, 0, 0])
    #expect(try found[1].floats()[0...1] == [0, 0])
  }

  @Test(arguments: Differentiable.elementwise + Differentiable.moved + Differentiable.composites)
  func `Gradients are those of finite differences`(_ subject: Differentiable) throws {
    var random = RandomCase("gradient of " + subject.name)
    try GradientCheck.expectGradients(
      at: subject.inputs(&random), random, subject.name, subject.function)
  }

  @Test(arguments: Differentiable.elementwise + Differentiable.moved + Differentiable.composites)
  func `Gradients of gradients are those of finite differences`(_ subject: Differentiable) throws {
    var random = RandomCase("second gradient of " + subject.name)
    try GradientCheck.expectSecondGradients(
      at: subject.inputs(&random), random, subject.name, subject.function)
  }

  @Test func `What does not depend has gradient zero, and gradients add up`() throws {
    let (x, y) = (Tensor([3.0]), Tensor([5.0]))
    let found = gradients(of: x * x + x, with: [x, y])
    #expect(try found.map { try read($0) } == [[7], [0]])
    let (value, slopes) = valueAndGradient(at: [x, y]) { $0[0] * $0[1] }
    #expect(try read(value) == [15])
    #expect(try slopes.map { try read($0) } == [[5], [3]])
    #expect(try read(gradients(of: x * y, with: [x], cotangent: Tensor([2.0]))[0]) == [10])
  }

  @Test func `A gradient may be asked with respect to a value in the middle`() throws {
    let x = Tensor([2.0])
    let y = x * x
    let found = gradients(of: y * y * x, with: [y, x])
    #expect(try read(found[0]) == [16])
  }

  @Test func `Detached values are constants, and custom operations bring their own rule`() throws {
    let x = Tensor([3.0])
    #expect(try read(gradients(of: x * x.detached(), with: [x])[0]) == [3])
    let tripled = CustomOp(
      name: "tripled", resultTypes: { [$0[0]] }, gradient: { _, _, dy in [dy[0].map { $0 * 3 }] },
      reference: { x, y in y[0][0] = .float(3 * x[0][0].double) })
    #expect(try read(gradients(of: tripled([x])[0].squared(), with: [x])[0]) == [54])
  }

  @Test func `Gradients of bfloat16 weights can be kept in float32`() throws {
    let weight = Tensor.input("w", TensorType(.float32, [4, 3]))
    let x = Tensor.ones([2, 3], .bfloat16)
    let loss = x.matmul(weight.cast(.bfloat16), transposeB: true).sum()
    #expect(gradients(of: loss, with: [weight])[0].element == .float32)
  }
}

extension Differentiable {
  static let elementwise: [Differentiable] = [
    Differentiable("negate", [[3]]) { -$0[0] },
    Differentiable("absolute", [[5]]) { $0[0].absolute() },
    Differentiable("exp", [[3]]) { $0[0].exp() },
    Differentiable("log", [[5]], .within(0.5...2)) { $0[0].log() },
    Differentiable("square root", [[5]], .within(0.5...2)) { $0[0].squareRoot() },
    Differentiable("reciprocal square root", [[5]], .within(0.5...2)) { $0[0].reciprocalSquareRoot() },
    Differentiable("reciprocal", [[5]], .within(0.5...2)) { $0[0].reciprocal() },
    Differentiable("sine", [[5]]) { $0[0].sine() },
    Differentiable("cosine", [[5]]) { $0[0].cosine() },
    Differentiable("tanh", [[5]]) { $0[0].tanh() },
    Differentiable("erf", [[5]]) { $0[0].erf() },
    Differentiable("sigmoid", [[5]]) { $0[0].sigmoid() },
    Differentiable("relu", [[6]]) { $0[0].relu() },
    Differentiable("relu squared", [[6]]) { $0[0].activation(.reluSquared) },
    Differentiable("gelu by tanh", [[6]]) { $0[0].gelu(tanh: true) },
    Differentiable("gelu by erf", [[6]]) { $0[0].gelu() },
    Differentiable("silu", [[6]]) { $0[0].silu() },
    Differentiable("floor and its like", [[4]], .within(0.2...0.4)) { x in
      x[0] * (x[0].floor() + x[0].ceil() + x[0].round() + x[0].sign())
    },
    Differentiable("add with broadcasting", [[2, 1], [3]]) { $0[0] + $0[1] },
    Differentiable("subtract with broadcasting", [[2, 3], [2, 1]]) { $0[0] - $0[1] },
    Differentiable("multiply with broadcasting", [[2, 3], []]) { $0[0] * $0[1] },
    Differentiable("divide with broadcasting", [[2, 3], [3]], .within(0.5...2)) { $0[0] / $0[1] },
    // One tensor of distinct numbers cut in two has no ties between the halves.
    Differentiable("maximum", [[10]]) { $0[0].sliced(0..<5, axis: 0).maximum($0[0].sliced(5..<10, axis: 0)) },
    Differentiable("minimum", [[10]]) { $0[0].sliced(0..<5, axis: 0).minimum($0[0].sliced(5..<10, axis: 0)) },
    Differentiable("power", [[4], [4]], .within(0.5...1.5)) { $0[0].power($0[1]) },
    Differentiable("modulo", [[4]], .within(5.2...5.8)) { $0[0] % Tensor.full(1.6, [], .float64) },
    Differentiable("modulo by the divisor", [[4]], .within(1.5...1.6)) { Tensor.full(5.5, [], .float64) % $0[0] },
    Differentiable("select", [[6], [6]]) { ($0[0] .> 0).select($0[0] * $0[1], $0[1].exp()) },
    Differentiable("cast", [[4]]) { $0[0].cast(.float64).exp() },
  ]

  static let moved: [Differentiable] = [
    Differentiable("sum", [[2, 3, 2]]) { $0[0].sum([1]) },
    Differentiable("mean", [[2, 3]]) { $0[0].mean([0], keeps: true) },
    Differentiable("product", [[2, 3]]) { $0[0].product([1]) },
    Differentiable("max", [[3, 4]]) { $0[0].max([1]) },
    Differentiable("min", [[3, 4]]) { $0[0].min([0]) },
    Differentiable("sum of squares", [[3, 4]]) { $0[0].sumOfSquares([1]) },
    Differentiable("log sum exp", [[3, 4]]) { $0[0].logSumExp() },
    Differentiable("cumulative sum", [[3, 4]]) { $0[0].cumulativeSum(0).exp() },
    Differentiable("cumulative sum from behind", [[3, 4]]) { $0[0].cumulativeSum(1, reverse: true, exclusive: true) },
    Differentiable("top k", [[3, 4]]) { $0[0].topK(2).values.squared() },
    Differentiable("sort", [[3, 4]]) { $0[0].sorted().values.squared() },
    Differentiable("reshape", [[2, 3]]) { $0[0].reshaped(3, 2).squared() },
    Differentiable("broadcast", [[2, 1]]) { $0[0].broadcast(to: [3, 2, 4]).squared() },
    Differentiable("permute", [[2, 3, 2]]) { $0[0].permuted(2, 0, 1).squared() },
    Differentiable("slice", [[5, 3]]) { $0[0].sliced(1..<5, axis: 0, step: 2).squared() },
    Differentiable("slice that leaves a rest", [[6]]) { $0[0].sliced(0..<6, axis: 0, step: 4).squared() },
    Differentiable("pad", [[3, 2]]) {
      ($0[0].padded([Padding(before: 1, between: 2), Padding(after: 1)]) + 1).squared()
    },
    Differentiable("concatenate", [[2, 1], [2, 3]]) { Tensor.concatenate($0, axis: 1).squared() },
    Differentiable("split", [[2, 5]]) { x in
      let parts = x[0].split([2, 1, 2], axis: 1)
      return parts[0] * parts[2]
    },
    Differentiable("gather", [[3, 2]]) { $0[0].gathered(Tensor([1, 1, 0, 9] as [Int32])).squared() },
    Differentiable("gather inside", [[2, 3, 2]]) { $0[0].gathered(Tensor([2, 2] as [Int32]), axis: 1).squared() },
    Differentiable("update", [[4, 2], [2, 2]]) { $0[0].updated($0[1], at: Tensor(3, .int32), axis: 0).squared() },
    Differentiable("update of each slice", [[2, 4, 2], [2, 2, 2]]) {
      $0[0].updated($0[1], at: Tensor([-1, 1] as [Int32]), axis: 1).squared()
    },
    Differentiable("scatter-add", [[4, 2]]) {
      $0[0].scatteredAdd(Tensor([1, 1, 0, -1] as [Int32]), entries: 3).squared()
    },
    Differentiable("take", [[2, 3]]) { $0[0].taken(Tensor([1, 1, 0, 2] as [Int32], shape: [2, 2])).squared() },
    Differentiable("take-add", [[2, 2]]) {
      Tensor.record(.takeAdd(entries: 3), [$0[0], Tensor([1, 1, 0, 2] as [Int32], shape: [2, 2])]).squared()
    },
    Differentiable("dropout", [[9]]) { $0[0].dropout(0.5, key: .full(Int64(3), []), stream: 1).squared() },
  ]
}
