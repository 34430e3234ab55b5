import Support
import Tensors
import Testing

/// The value on the reference interpreter.
func read(_ tensor: Tensor) throws -> [Double] {
  let program = Program(inputs: [], outputs: [tensor])
  return try ReferenceBackend().compile(program).run([])[0].doubles
}

/// The reference against answers worked out by hand.
@Suite struct KnownAnswerTests {
  private let e = 2.718281828459045
  private func doubles(_ values: [Double], _ shape: Shape? = nil, _ element: ElementType = .float64) -> Tensor {
    Tensor(TensorData(values, shape: shape ?? [values.count], element: element))
  }

  @Test func sources() throws {
    #expect(try read(.full(2.5, [2])) == [2.5, 2.5])
    #expect(try read(.full(300.0, [1], .uint8)) == [44])
    #expect(try read(.full(Int64.max, [1], .int64)) == [Double(Int64.max)])
    #expect(try read(.iota([2, 3], axis: 0)) == [0, 0, 0, 1, 1, 1])
    #expect(try read(.iota([2, 3], axis: 1, .float32)) == [0, 1, 2, 0, 1, 2])
    #expect(try read(.iota([0, 3])) == [])
  }

  @Test func unary() throws {
    let x = doubles([-2, 0, 0.5])
    #expect(try read(-x) == [2, 0, -0.5])
    #expect(try read(x.absolute()) == [2, 0, 0.5])
    #expect(try read(x.sign()) == [-1, 0, 1])
    #expect(try read(doubles([0, 1]).exp()) == [1, e])
    #expect(try read(doubles([1, e]).log()) == [0, 1])
    #expect(try read(doubles([4]).squareRoot()) == [2])
    #expect(try read(doubles([4]).reciprocalSquareRoot()) == [0.5])
    #expect(try read(doubles([4]).reciprocal()) == [0.25])
    expectClose(try read(doubles([0.5]).sine()), [0.479425538604203])
    expectClose(try read(doubles([0.5]).cosine()), [0.877582561890373])
    expectClose(try read(doubles([0.5]).tanh()), [0.46211715726001])
    expectClose(try read(doubles([0.5]).erf()), [0.520499877813047])
    #expect(try read(doubles([0]).sigmoid()) == [0.5])
    #expect(try read(doubles([-1.5, 1.5]).floor()) == [-2, 1])
    #expect(try read(doubles([-1.5, 1.5]).ceil()) == [-1, 2])
    #expect(try read(doubles([0.5, 1.5, 2.5, -0.5]).round()) == [0, 2, 2, 0])
    #expect(try read(doubles([1, .infinity, .nan]).isFinite()) == [1, 0, 0])
    #expect(try read(!Tensor.full(1.0, [1], .bool)) == [0])
    #expect(try read(~Tensor.full(5.0, [1], .uint8)) == [250])
    #expect(try read(-Tensor.full(-128.0, [1], .int8)) == [-128])
  }

  @Test func activations() throws {
    let x = doubles([-1, 0, 2])
    #expect(try read(x.relu()) == [0, 0, 2])
    #expect(try read(x.activation(.reluSquared)) == [0, 0, 4])
    expectClose(try read(x.silu()), [-0.268941421369995, 0, 1.76159415595576])
    expectClose(try read(x.gelu()), [-0.158655253931457, 0, 1.95449973610364])
    expectClose(try read(x.gelu(tanh: true)), [-0.158808009391723, 0, 1.95459769409388])
    let slopes = Tensor.record(.activationGradient(.reluSquared), [x, doubles([10, 10, 10])])
    #expect(try read(slopes) == [0, 0, 40])
  }

  @Test func binary() throws {
    let a = doubles([7, -7, 7, -7]), b = doubles([3, 3, -3, -3])
    #expect(try read(a + doubles([1])) == [8, -6, 8, -6])
    #expect(try read(a % b) == [1, 2, -2, -1])
    #expect(try read(a.cast(.int32) % b.cast(.int32)) == [1, 2, -2, -1])
    #expect(try read(a.cast(.int32) / b.cast(.int32)) == [2, -2, -2, 2])
    #expect(try read(a.cast(.int32) / Tensor.zeros([4], .int32)) == [0, 0, 0, 0])
    #expect(try read(a.maximum(b)) == [7, 3, 7, -3])
    #expect(try read(a.minimum(b)) == [3, -7, -3, -7])
    #expect(try read(doubles([2]).power(10)) == [1024])
    #expect(try read(Tensor.full(127.0, [1], .int8) + Tensor.full(1.0, [1], .int8)) == [-128])
    #expect(try read(Tensor.full(0.0, [1], .uint8) - Tensor.full(1.0, [1], .uint8)) == [255])
    let x = Tensor([12, -1] as [Int32]), y = Tensor([10, 3] as [Int32])
    #expect(try read(x & y) == [8, 3])
    #expect(try read(x | y) == [14, -1])
    #expect(try read(x ^ y) == [6, -4])
    #expect(try read(x << Tensor([2, 31] as [Int32])) == [48, -2_147_483_648])
    #expect(try read(x >> Tensor([1, 5] as [Int32])) == [6, -1])
  }

  @Test func `comparison, choice and conversion`() throws {
    let a = doubles([1, 2, .nan]), b = doubles([2, 2, .nan])
    #expect(try read(a .== b) == [0, 1, 0])
    #expect(try read(a .!= b) == [1, 0, 1])
    #expect(try read(a .< b) == [1, 0, 0])
    #expect(try read(a .<= b) == [1, 1, 0])
    #expect(try read(a .> b) == [0, 0, 0])
    #expect(try read(a .>= b) == [0, 1, 0])
    #expect(try read((doubles([1, 3]) .< 2).select(doubles([10]), doubles([20, 30]))) == [10, 30])
    #expect(try read(doubles([1.9, -1.9, .nan, 300]).cast(.int8)) == [1, -1, 0, 44])
    #expect(try read(doubles([1e30, -1e30]).cast(.int64)) == [Double(Int64.max), Double(Int64.min)])
    #expect(try read(doubles([0, 0.5, .nan]).cast(.bool)) == [0, 1, 1])
    #expect(try read(doubles([1.00390625, 1.01171875]).cast(.bfloat16).cast(.float64)) == [1, 1.015625])
    #expect(try read(doubles([65519, 65520]).cast(.float16).cast(.float64)) == [65504, .infinity])
    #expect(try read(doubles([0.1]).cast(.float32).cast(.float64)) == [Double(Float(0.1))])
  }

  @Test func reductions() throws {
    let x = doubles([1, 2, 3, 4, 5, 6], [2, 3])
    #expect(try read(x.sum()) == [21])
    #expect(try read(x.sum([0])) == [5, 7, 9])
    #expect(try read(x.sum([1])) == [6, 15])
    #expect(try read(x.mean([1])) == [2, 5])
    #expect(try read(x.product([1])) == [6, 120])
    #expect(try read(x.max([0])) == [4, 5, 6])
    #expect(try read(x.min([0])) == [1, 2, 3])
    #expect(try read(x.sumOfSquares([1])) == [14, 77])
    #expect(try read((x .> 2).all([1])) == [0, 1])
    #expect(try read((x .> 2).any([1])) == [1, 1])
    let empty = Tensor.zeros([0, 2])
    #expect(try read(empty.sum([0])) == [0, 0])
    #expect(try read(empty.product([0])) == [1, 1])
    #expect(try read(empty.max([0])) == [-.infinity, -.infinity])
    #expect(try read(Tensor.zeros([0], .int8).max()) == [-128])
    #expect(try read(Tensor.full(100.0, [2], .int8).sum()) == [-56])
    #expect(try read(x.argMax(0)) == [1, 1, 1])
    #expect(try read(doubles([3, 5, 5, .nan, .nan]).argMax()) == [3])
    #expect(try read(doubles([3, 5, 5]).argMax()) == [1])
    expectClose(try read(doubles([0, 0]).logSumExp()), [0.693147180559945])
  }

  @Test func `scans and order`() throws {
    let x = doubles([1, 2, 3])
    #expect(try read(x.cumulativeSum()) == [1, 3, 6])
    #expect(try read(x.cumulativeSum(exclusive: true)) == [0, 1, 3])
    #expect(try read(x.cumulativeSum(reverse: true)) == [6, 5, 3])
    #expect(try read(x.cumulativeSum(reverse: true, exclusive: true)) == [5, 3, 0])
    #expect(try read(doubles([1, 2, 3, 4], [2, 2]).cumulativeSum(0)) == [1, 2, 4, 6])
    let y = doubles([2, 5, 1, 5])
    #expect(try read(y.topK(3).values) == [5, 5, 2])
    #expect(try read(y.topK(3).indices) == [1, 3, 0])
    #expect(try read(y.sorted().indices) == [2, 0, 1, 3])
    #expect(try read(y.sorted(descending: true).indices) == [1, 3, 0, 2])
    #expect(try read(doubles([1, .nan, 0]).sorted().indices) == [2, 0, 1])
    #expect(try read(doubles([1, .nan, 0]).sorted(descending: true).indices) == [1, 0, 2])
  }

  @Test func `update replaces slices and drops what falls outside`() throws {
    let x = doubles([1, 2, 3, 4, 5, 6], [2, 3])
    let rows = doubles([7, 8, 9, 10], [2, 2])
    func at(_ index: [Int32]) throws -> [Double] { try read(x.updated(rows, at: Tensor(index), axis: 1)) }
    #expect(try at([1]) == [1, 7, 8, 4, 9, 10])
    #expect(try at([2]) == [1, 2, 7, 4, 5, 9])
    #expect(try at([-1]) == [8, 2, 3, 10, 5, 6])
    #expect(try at([0, 3]) == [7, 8, 3, 4, 5, 6])
    #expect(try at([.max]) == [1, 2, 3, 4, 5, 6])
    let row = doubles([7, 8, 9], [1, 3])
    #expect(try read(x.updated(row, at: Tensor(1, .int32), axis: 0)) == [1, 2, 3, 7, 8, 9])
  }

  @Test func movement() throws {
    let x = doubles([1, 2, 3, 4, 5, 6], [2, 3])
    #expect(try read(x.reshaped(3, 2)) == [1, 2, 3, 4, 5, 6])
    #expect(try read(x.transposed()) == [1, 4, 2, 5, 3, 6])
    #expect(try read(doubles([1, 2], [2, 1]).broadcast(to: [2, 2])) == [1, 1, 2, 2])
    #expect(try read(x.sliced(0..<3, axis: 1, step: 2)) == [1, 3, 4, 6])
    #expect(try read(x.sliced(1..<2, axis: 0)) == [4, 5, 6])
    #expect(try read(doubles([1, 2]).padded([Padding(before: 1, after: 2, between: 1)])) == [0, 1, 0, 2, 0, 0])
    #expect(try read(.concatenate([doubles([1, 2], [2, 1]), x], axis: 1)) == [1, 1, 2, 3, 2, 4, 5, 6])
    #expect(try x.split([1, 2], axis: 1).map { try read($0) } == [[1, 4], [2, 3, 5, 6]])
    let indices = Tensor([2, 0, 7, -1] as [Int32])
    #expect(try read(x.gathered(indices, axis: 1)) == [3, 1, 0, 0, 6, 4, 0, 0])
    #expect(try read(x.gathered(Tensor([1, 0] as [Int32], shape: [1, 2]))) == [4, 5, 6, 1, 2, 3])
    #expect(
      try read(doubles([1, 2, 4, 8]).scatteredAdd(Tensor([1, 1, 5, 0] as [Int32]), entries: 3)) == [8, 3, 0])
    #expect(try read(x.scatteredAdd(Tensor([0, 0] as [Int32]), entries: 2)) == [5, 7, 9, 0, 0, 0])
    let places = Tensor([2, 2, 0, 9] as [Int32], shape: [2, 2])
    #expect(try read(x.taken(places)) == [3, 3, 4, 0])
    #expect(
      try read(.record(.takeAdd(entries: 3), [doubles([1, 2, 3, 4], [2, 2]), places])) == [0, 0, 3, 3, 0, 0])
    #expect(try read(Tensor([2, 0] as [Int32]).oneHot(3)) == [0, 0, 1, 1, 0, 0])
  }

  @Test func products() throws {
    let a = doubles([1, 2, 3, 4], [2, 2]), b = doubles([5, 6, 7, 8], [2, 2])
    #expect(try read(a.matmul(b)) == [19, 22, 43, 50])
    #expect(try read(a.matmul(b, transposeA: true)) == [26, 30, 38, 44])
    #expect(try read(a.matmul(b, transposeB: true)) == [17, 23, 39, 53])
    #expect(try read(a.matmul(b, transposeA: true, transposeB: true)) == [23, 31, 34, 46])
    #expect(
      try read(doubles([1, 2], [2, 1, 1]).matmul(b.reshaped(1, 2, 2).sliced(0..<1, axis: 1))) == [5, 6, 10, 12])
    #expect(try read(Tensor.full(-128.0, [1, 2], .int8).matmul(.full(-128.0, [2, 1], .int8))) == [32768])
    #expect(try read(Tensor.zeros([2, 0]).matmul(.zeros([0, 1]))) == [0, 0])
    var fused = Matmul(type: .float64)
    (fused.bias, fused.residual, fused.activation, fused.keepsPreActivation) = (true, true, .relu, true)
    let both = Tensor.recordAll(.matmul(fused), [a, b, doubles([-20, 0]), doubles([1, 1, 1, 1], [2, 2])])
    #expect(try read(both[0]) == [1, 23, 24, 51])
    #expect(try read(both[1]) == [-1, 22, 23, 50])
  }

  @Test func fusions() throws {
    let steps = [
      Fusion.Step(op: .binary(.multiply), operands: [.input(0), .input(1)], type: .float64),
      Fusion.Step(op: .cast(.int32), operands: [.step(0)], type: .int32),
    ]
    let fused = Tensor.record(
      .fused(Fusion(steps: steps, shape: [2, 2])), [doubles([1.5, 2.5]), doubles([3], [1])])
    #expect(try read(fused) == [4, 7, 4, 7])
  }

  @Test func `operations of the user's own`() throws {
    let sum = CustomOp(
      name: "pairs", resultTypes: { _ in [TensorType(.int32, [1]), TensorType(.float32, [1])] },
      reference: { x, y in
        y[0][0] = x[0][0]
        y[1][0] = .float(x[1][0].double / 2)
      })
    let results = sum([Tensor([7] as [Int32]), Tensor([5.0])])
    #expect(try read(results[0]) == [7])
    #expect(try read(results[1]) == [2.5])
    #expect(try read(doubles([3]).detached()) == [3])
  }
}
