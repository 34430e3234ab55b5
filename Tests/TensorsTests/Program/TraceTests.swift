import Support
import Tensors
import Testing

private let unchanged = Program.Options(simplifies: false, rematerialises: false, fuses: false)

@Suite struct TraceTests {
  private let x = Tensor.input("x", TensorType(.float32, [4]))

  @Test func `Only what outputs need is traced`() {
    let unused = x.exp()
    let program = Program(inputs: [x], outputs: [x.tanh()], options: unchanged)
    #expect(program.instructions.count == 1)
    #expect(unused.shape == [4])
  }

  @Test func `Equal computations are done once`() {
    let a = x.exp() * 2
    let b = x.exp() * 2
    let program = Program(inputs: [x], outputs: [a + b], options: unchanged)
    let names = program.instructions.map(\.op.name)
    #expect(names.filter { $0 == "exp" }.count == 1)
    #expect(names.filter { $0 == "multiply" }.count == 1)
    #expect(names.filter { $0 == "constant" }.count == 1)
  }

  @Test func `Random numbers of different streams are different values`() {
    let key = Tensor.full(Int64(1), [])
    let program = Program(
      inputs: [],
      outputs: [.uniform([3], key: key), .uniform([3], key: key), .uniform([3], key: key, stream: 1)],
      options: unchanged)
    #expect(program.outputs[0] == program.outputs[1])
    #expect(program.outputs[0] != program.outputs[2])
  }

  @Test func `An output may be an input, or be there twice`() throws {
    let y = x + 1
    let program = Program(inputs: [x], outputs: [x, y, y])
    let results = try ReferenceBackend().compile(program).run([TensorData([1, 2, 3, 4] as [Float], shape: [4])])
    #expect(results.map(\.floats) == [[1, 2, 3, 4], [2, 3, 4, 5], [2, 3, 4, 5]])
  }

  @Test func `A program reads as text and as a picture`() {
    let y = withScope("layer") { (x * 2).rmsNorm() }
    let program = Program(inputs: [x], outputs: [y], options: unchanged)
    let text = program.description
    for part in ["program(", "f32[4] x", "multiply", "rmsNorm", "// layer", "return", "arena"] {
      #expect(text.contains(part), "\(part) is missing in\n\(text)")
    }
    let dot = program.dot
    #expect(dot.hasPrefix("digraph program {") && dot.hasSuffix("}"))
    #expect(dot.contains("rmsNorm") && dot.contains("output 0"))
    #expect(dot.split(separator: "->").count == 1 + program.instructions.map(\.inputs.count).reduce(0, +) + 1)
  }

  @Test func `Values can be read in the middle of Swift code`() throws {
    try DefaultBackend.with(ReferenceBackend()) {
      var value = Tensor([3.0, 4.0])
      var steps = 0
      while try value.squared().sum().item() > 1 {
        value = value * 0.5
        steps += 1
      }
      #expect(steps == 3)
      #expect(try value.floats() == [0.375, 0.5])
      // What was read is a constant from then on.
      let read = value + 1
      _ = try read.data()
      let program = Program(inputs: [], outputs: [read * 2], options: unchanged)
      #expect(!program.instructions.contains { $0.op.name == "add" })
    }
  }

  @Test func `Long chains are released without deep recursion`() {
    var value = Tensor.zeros([1])
    for _ in 0..<300_000 { value = value + 1 }
    #expect(value.shape == [1])
  }

  /// The time to record an operation, which a program traced once pays once.
  @Test func `Recording an operation takes microseconds`() {
    let count = 20_000
    var best = Double.infinity
    let clock = ContinuousClock()
    for _ in 0..<3 {
      var values = [x, x.tanh()]
      let time = clock.measure {
        for i in 0..<(count / 4) {
          let next = values[i % 2] * values[(i + 1) % 2] + values[0]
          values[i % 2] = next.tanh().reshaped(2, 2).reshaped(4)
        }
      }
      best = min(best, Double(time.components.attoseconds) * 1e-12 / Double(count / 4 * 5))
    }
    print("recording: \(best) microseconds an operation")
    #expect(best < 20)
  }
}
