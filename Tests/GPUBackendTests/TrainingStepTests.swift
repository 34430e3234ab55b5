import Emulator
import GPUBackend
import Support
import Tensors
import Testing

/// A training step as one program: forward, backward and optimizer, its parameters on the device from step to step.
@Suite(.ownThreads) struct TrainingStepTests {
  @Test func `A multilayer perceptron trains as it does in the reference`() throws {
    var random = RandomCase("gpu training")
    let shapes: [Shape] = [[6, 16], [16], [16, 5]]
    func inputs(_ name: String) -> [Tensor] {
      shapes.enumerated().map { .input("\(name)\($0.offset)", TensorType(.float32, $0.element)) }
    }
    let (p, m, v) = (inputs("p"), inputs("m"), inputs("v"))
    let (x, y) = (
      Tensor.input("x", TensorType(.float32, [9, 6])), Tensor.input("y", TensorType(.float32, [9, 5]))
    )
    let controls = [Tensor.input("step", TensorType(.float32, []))]
    let error = x.linear(p[0].transposed(), bias: p[1]).gelu(tanh: true).layerNorm().matmul(p[2]) - y
    let loss = error.squared().sum() * (1.0 / 45)
    let slopes = gradients(of: loss, with: p)
    let slots = p.indices.map {
      Tensor.AdamWSlot(value: p[$0], gradient: slopes[$0], mean: m[$0], square: v[$0], weightDecay: 0.1)
    }
    let updated = Tensor.adamW(
      slots, rate: Tensor([0.05 as Float]).reshaped(), gradientScale: Tensor([1 as Float]).reshaped(),
      step: controls[0], apply: (controls[0] .> 0), beta1: 0.9, beta2: 0.99, epsilon: 1e-8)
    let outputs = updated.map(\.value) + updated.map(\.mean) + updated.map(\.square) + [loss]
    let program = Program(
      inputs: p + m + v + [x, y] + controls, outputs: outputs,
      donating: Dictionary(uniqueKeysWithValues: (0..<9).map { ($0, $0) }))

    let start = shapes.map { random.data(.float32, $0, .within(-0.5...0.5)) }
    let data = [random.data(.float32, [9, 6]), random.data(.float32, [9, 5])]
    func train(on backend: any Backend) throws -> (losses: [Double], parameters: [TensorData]) {
      let executable = try backend.compile(program)
      let states = start.map { $0.copy() } + (shapes + shapes).map { TensorData(TensorType(.float32, $0)) }
      let losses = try (1...5).map { step in
        try executable.run(states + data + [TensorData([Double(step)], shape: [])]).last!.item
      }
      return (losses, Array(states[..<3]))
    }
    let (actual, expected) = (try train(on: GPUBackend(EmulatedDevice())), try train(on: ReferenceBackend()))
    expectClose(actual.losses, expected.losses, tolerance: 1e-4, "losses \(random)")
    #expect(actual.losses.last! < 0.8 * actual.losses[0])
    for (a, e) in zip(actual.parameters, expected.parameters) { expectClose(a, e, tolerance: 1e-3, "\(random)") }
  }

  @Test(arguments: [ElementType.float32, .bfloat16]) func `A small language model has the gradients of the reference`(
    element: ElementType
  ) throws {
    var random = RandomCase("gpu gradients \(element)")
    let (vocabulary, width, hidden, count) = (19, 24, 40, 11)
    let shapes: [Shape] = [[vocabulary, width], [width], [hidden, width], [hidden, width], [width, hidden]]
    let weights = shapes.enumerated().map { Tensor.input("w\($0.offset)", TensorType(element, $0.element)) }
    let (table, scale, up, gate, down) = (weights[0], weights[1], weights[2], weights[3], weights[4])
    let tokens = Tensor.input("tokens", TensorType(.int32, [count]))
    let targets = Tensor.input("targets", TensorType(.int32, [count, 1]))

    let x = table.gathered(tokens)
    let normal = x.rmsNorm(scale)
    let y = x + (normal.linear(up) * normal.linear(gate).silu()).linear(down)
    let logits = y.layerNorm().linear(table).cast(.float32)
    let loss = -logits.softmax().log().taken(targets).sum()
    let outputs = [loss, logits] + gradients(of: loss, with: weights)
    func program(_ options: Program.Options) -> Program {
      Program(inputs: weights + [tokens, targets], outputs: outputs, options: options)
    }
    let data =
      shapes.map { random.data(element, $0, .within(-0.5...0.5)) } + [
        random.data(.int32, [count], .integers(0...(vocabulary - 1))),
        random.data(.int32, [count, 1], .integers(0...(vocabulary - 1))),
      ]
    let plain = Program.Options(simplifies: false, rematerialises: false, fuses: false)
    let expected = try ReferenceBackend().compile(program(plain)).run(data)
    let actual = try GPUBackend(EmulatedDevice()).compile(program(Program.Options())).run(data)
    for (place, (a, e)) in zip(actual, expected).enumerated() {
      expectClose(a, e, tolerance: element == .bfloat16 ? 0.1 : 1e-3, floor: 1e-2, "output \(place) \(random)")
    }
  }
}
