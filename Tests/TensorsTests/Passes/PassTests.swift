import Support
import Tensors
import Testing

@Suite struct PassTests {
  private static let off = Program.Options(simplifies: false, rematerialises: false, fuses: false)

  @Test(arguments: 0..<24) func `Passes do not change what a program computes`(index: Int) throws {
    var random = RandomCase("passes", index)
    let element = random.choice([ElementType.float64, .float32])
    let graph = RandomGraph(
      &random, element: element, operations: random.integer(1...40), rows: random.extent(least: 1))
    let backend = ReferenceBackend()
    let expected = try backend.compile(graph.program(Self.off)).run(graph.data)
    for options in [
      Program.Options(), Program.Options(simplifies: true, rematerialises: false, fuses: false),
      Program.Options(simplifies: false, rematerialises: false, fuses: true),
    ] {
      let program = graph.program(options)
      #expect(PlanCheck.violations(in: program) == [], "\(random)")
      let actual = try backend.compile(program).run(graph.data)
      for (a, e) in zip(actual, expected) { expectClose(a, e, tolerance: 1e-4, "\(random)") }
    }
  }

  @Test func `Elementwise chains become one operation`() {
    let x = Tensor.input("x", TensorType(.float32, [8]))
    let program = Program(inputs: [x], outputs: [((x * 2).exp() + 1).tanh()])
    #expect(program.instructions.count - program.constantCount == 1)
  }

  @Test func `Bias, activation and residual become part of a product`() {
    let x = Tensor.input("x", TensorType(.float32, [4, 4]))
    let w = Tensor.input("w", TensorType(.float32, [4, 4]))
    let b = Tensor.input("b", TensorType(.float32, [4]))
    let program = Program(inputs: [x, w, b], outputs: [x.linear(w, bias: b).gelu().matmul(w) + x])
    #expect(program.instructions.map(\.op.name) == ["matmul", "matmul"], "\(program)")
  }

  @Test func `A loss and its gradient share their logits`() {
    let x = Tensor.input("x", TensorType(.float32, [4, 3]))
    let w = Tensor.input("w", TensorType(.float32, [5, 3]))
    let loss = x.linearCrossEntropy(w, targets: Tensor([0, 1, 2, 3] as [Int32]))
    let program = Program(inputs: [x, w], outputs: [loss.sum()] + gradients(of: loss.sum(), with: [x, w]))
    #expect(program.instructions.filter { $0.op.name.hasPrefix("linearCrossEntropy") }.count == 1, "\(program)")
  }

  @Test func `A loss and two gradients of it with different weights keep all their results`() throws {
    let x = Tensor.input("x", TensorType(.float32, [4, 3]))
    let w = Tensor.input("w", TensorType(.float32, [5, 3]))
    let loss = x.linearCrossEntropy(w, targets: Tensor([0, 1, 2, 3] as [Int32]))
    let weights = Tensor([1, 2, 3, 4] as [Float])
    let outputs = [loss] + gradients(of: loss, with: [x, w]) + gradients(of: loss, with: [x, w], cotangent: weights)
    let data = [
      TensorData((0..<12).map { Float($0) / 12 }, shape: [4, 3]),
      TensorData((0..<15).map { Float($0 % 4) }, shape: [5, 3]),
    ]
    let backend = ReferenceBackend()
    let expected = try backend.compile(Program(inputs: [x, w], outputs: outputs, options: Self.off)).run(data)
    let actual = try backend.compile(Program(inputs: [x, w], outputs: outputs)).run(data)
    for (a, e) in zip(actual, expected) { expectClose(a, e, tolerance: 1e-5) }
  }

  @Test(arguments: 0..<12) func `A plan's values never overlap while they live`(index: Int) {
    var random = RandomCase("plans", index)
    let graph = RandomGraph(&random, operations: 60, gradients: index % 2 == 0)
    for options in [Program.Options(), Self.off] {
      let program = graph.program(options)
      #expect(PlanCheck.violations(in: program) == [], "\(random)\n\(program)")
      #expect(program.plan.arenaBytes <= program.plan.unsharedBytes)
    }
  }

  @Test func `Rematerialisation lowers the arena and changes nothing else`() throws {
    func program(rematerialised: Bool) -> Program {
      let x = Tensor.input("x", TensorType(.float32, [64, 32]))
      let w = Tensor.input("w", TensorType(.float32, [32, 32]))
      var y = x
      for layer in 0..<8 {
        y = withScope("layer \(layer)", rematerialised: rematerialised) {
          y + y.rmsNorm().matmul(w).tanh().matmul(w).sigmoid().matmul(w).softmax()
        }
      }
      let loss = y.squared().mean()
      return Program(inputs: [x, w], outputs: [loss] + gradients(of: loss, with: [x, w]))
    }
    let (kept, computed) = (program(rematerialised: false), program(rematerialised: true))
    #expect(
      computed.plan.arenaBytes * 3 < kept.plan.arenaBytes * 2, "\(computed.plan.arenaBytes) of \(kept.plan.arenaBytes)")
    #expect(computed.instructions.count > kept.instructions.count)
    #expect(PlanCheck.violations(in: computed) == [])
    var random = RandomCase("rematerialisation")
    let data = [random.data(.float32, [64, 32]), random.data(.float32, [32, 32], .within(-0.3...0.3))]
    let backend = ReferenceBackend()
    let (a, b) = (try backend.compile(kept).run(data), try backend.compile(computed).run(data))
    for (x, y) in zip(a, b) { expectClose(x, y, "\(random)") }
  }
}
