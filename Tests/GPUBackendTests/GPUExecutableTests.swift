import Emulator
import GPUBackend
import KernelLanguage
import Support
import Tensors
import Testing

/// What a compiled program does with its memory.
@Suite(.ownThreads) struct GPUExecutableTests {
  private let backend = GPUBackend(EmulatedDevice())

  @Test func `Donated inputs are updated in place and can change places`() throws {
    let a = Tensor.input("a", TensorType(.float32, [70]))
    let b = Tensor.input("b", TensorType(.float32, [70]))
    var random = RandomCase("gpu donation")
    let given = (0..<2).map { _ in random.data(.float32, [70]) }
    let programs = [
      Program(inputs: [a, b], outputs: [b, a], donating: [0: 0, 1: 1]),
      Program(inputs: [a, b], outputs: [a - b, a * 10, b], donating: [0: 0]),
      Program(inputs: [a, b], outputs: [b.exp(), a.tanh()], donating: [0: 0]),
      Program(inputs: [a, b], outputs: [a + b, a - b], donating: [0: 1, 1: 0]),
    ]
    for program in programs {
      let (x, y) = (given.map { $0.copy() }, given.map { $0.copy() })
      let actual = try backend.compile(program).run(x)
      let expected = try ReferenceBackend().compile(program).run(y)
      for (output, input) in program.donations { #expect(actual[output] === x[input]) }
      for (p, q) in zip(actual + x, expected + y) { expectClose(p, q, "\(program) \(random)") }
    }
  }

  @Test func `What the host writes between runs is what the next run reads`() throws {
    let x = Tensor.input("x", TensorType(.float32, [3]))
    let w = Tensor.input("w", TensorType(.float32, [3]))
    let executable = try backend.compile(Program(inputs: [x, w], outputs: [w + x, w * x], donating: [0: 1]))
    let (input, state) = (TensorData([1.0, 2, 3], shape: [3]), TensorData([10.0, 20, 30], shape: [3]))
    #expect(try executable.run([input, state])[1].floats == [10, 40, 90])
    #expect(state.floats == [11, 22, 33])
    // Reading does not take the elements away from the device; writing does.
    #expect(try executable.run([input, state])[1].floats == [11, 44, 99])
    state[0] = .float(100)
    input.pointer.storeBytes(of: 5, as: Float.self)
    #expect(try executable.run([input, state])[1].floats == [500, 48, 108])
    #expect(state.floats == [105, 26, 39])
  }

  @Test func `An output of one program is an input of another`() throws {
    let x = Tensor.input("x", TensorType(.float32, [4]))
    let double = try backend.compile(Program(inputs: [x], outputs: [x * 2]))
    let square = try backend.compile(Program(inputs: [x], outputs: [x * x]))
    let onHost = try ReferenceBackend().compile(Program(inputs: [x], outputs: [x + 1]))
    let data = TensorData([1.0, 2, 3, 4], shape: [4])
    let doubled = try double.run([data])
    #expect(try square.run(doubled)[0].floats == [4, 16, 36, 64])
    #expect(try onHost.run(doubled)[0].floats == [3, 5, 7, 9])
    // And of one on another device.
    let other = GPUBackend(EmulatedDevice())
    #expect(
      try other.compile(Program(inputs: [x], outputs: [-x])).run(doubled)[0].floats == [-2, -4, -6, -8])
  }

  @Test func `An input that is an output too keeps its extent`() throws {
    let x = Tensor.input("x", TensorType(.float32, Shape([1000, 8], varies: true)))
    let program = Program(inputs: [x], outputs: [x, x + 1], donating: [1: 0])
    var random = RandomCase("gpu donated extent")
    let data = random.data(.float32, [3, 8])
    let copy = data.copy()
    let actual = try backend.compile(program).run([data], extent: 3)
    #expect(actual[0].shape.dimensions == [3, 8])
    expectClose(actual[0], copy)
  }

  @Test func `A view of a constant is read where the constant is`() throws {
    let values = (0..<6000).map { Float($0) }
    let (whole, row) = try DefaultBackend.with(backend) {
      let table = Tensor(values).reshaped(100, 60)
      return (try table.floats(), try (table.gathered(Tensor([7] as [Int32])) + 1).floats())
    }
    #expect(whole == values)
    #expect(row == values[420..<480].map { $0 + 1 })
  }

  @Test func `A custom operation runs on the host between kernels`() throws {
    let custom = CustomOp(
      name: "reversed", resultTypes: { [$0[0]] },
      reference: { inputs, results in
        for i in 0..<inputs[0].count { results[0][i] = inputs[0][inputs[0].count - 1 - i] }
      })
    let x = Tensor.input("x", TensorType(.float32, [3]))
    let executable = try backend.compile(Program(inputs: [x], outputs: [custom([x * 2])[0] + 1]))
    for _ in 0..<2 { #expect(try executable.run([TensorData([1.0, 2, 3], shape: [3])])[0].floats == [7, 5, 3]) }
  }

  @Test func `Instructions can be inspected`() throws {
    let x = Tensor.input("x", TensorType(.float32, [2]))
    let program = Program(inputs: [x], outputs: [(x * 2).tanh().sum()], options: Program.Options(fuses: false))
    var seen: [[Float]] = []
    _ = try backend.compile(program).run([TensorData([0.0, 1], shape: [2])], extent: nil) { _, results in
      seen.append(results[0].floats)
    }
    #expect(seen.count == program.instructions.count - program.constantCount)
    #expect(seen.contains([0, 2]))
    #expect(seen.last!.count == 1 && abs(seen.last![0] - 0.9640276) < 1e-5)
  }

  @Test(arguments: 0..<3) func `A program of varying extent is run with any extent up to its own`(index: Int) throws {
    var random = RandomCase("gpu extent", index)
    let x = Tensor.input("x", TensorType(.float32, Shape([19, 12], varies: true)))
    let w = Tensor.input("w", TensorType(.float32, [12, 12]))
    let v = Tensor.input("v", TensorType(.float32, [12]))
    let mixed = x.linear(w, bias: v).gelu().rmsNorm(v + 1).softmax() + x
    let joined = Tensor.concatenate([mixed.reshaped(19, 3, 4).sliced(1..<3, axis: 1).reshaped(19, 8), x], axis: 1)
    let outputs = [
      joined, mixed.cumulativeSum(-1), mixed.sum([-1]), mixed.reshaped(19, 2, 6).permuted(0, 2, 1).layerNorm(),
      mixed.topK(3).values,
    ]
    let program = Program(inputs: [x, w, v], outputs: outputs)
    let executable = try backend.compile(program)
    let reference = try ReferenceBackend().compile(program)
    let (weight, vector) = (random.data(.float32, [12, 12]), random.data(.float32, [12]))
    for extent in [19, 2, 7, 0, 19] {
      let data = [random.data(.float32, [extent, 12]), weight, vector]
      let (actual, expected) = (
        try executable.run(data, extent: extent), try reference.run(data, extent: extent)
      )
      for (place, (a, e)) in zip(actual, expected).enumerated() {
        expectClose(a, e, tolerance: 1e-4, floor: 1e-3, "output \(place) at extent \(extent) \(random)")
      }
    }
  }

  @Test func `Another extent needs no other kernels`() throws {
    let device = AssemblyDevice(.sm90a, multiprocessors: 1)
    let x = Tensor.input("x", TensorType(.bfloat16, Shape([64, 48], varies: true)))
    let w = Tensor.input("w", TensorType(.bfloat16, [48, 48]))
    let y = x.linear(w).reshaped(64, 6, 8).permuted(0, 2, 1).reshaped(64, 48).rmsNorm() + x
    let executable = try GPUBackend(device).compile(Program(inputs: [x, w], outputs: [y, y.sum([-1])]))
    let count = device.modules.count
    #expect(count > 3)
    for extent in [63, 40, 33] {
      _ = try executable.run([TensorData(TensorType(.bfloat16, [extent, 48])), TensorData(w.type)], extent: extent)
      #expect(device.modules.count == count, "at extent \(extent)")
    }
  }
}
