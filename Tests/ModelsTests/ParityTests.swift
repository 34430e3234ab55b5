// The same model, the same weights, the same tokens as PyTorch: the same loss, gradients and training run.

import CPUBackend
import Models
import Networks
import Tensors
import Testing

@Suite struct ParityTests {
  /// Loss, logits and gradients of the recorded step, the gradients by their names in the file.
  private func step(
    _ fixture: Fixture, _ backend: any Backend, compute: ElementType
  ) throws -> (loss: TensorData, logits: TensorData, gradients: [String: TensorData]) {
    let store = WeightStore(compute: compute)
    let gpt = GPT(fixture.configuration)
    let tokens = Tensor.input("tokens", TensorType(.int32, [3, 32]))
    let targets = Tensor.input("targets", TensorType(.int32, [3, 32]))
    let loss = gpt.loss(tokens, targets: targets, store.root, .training()).mean()
    let logits = gpt.logits(tokens, store.root, .training())
    let given = store.parameters.map { store.given($0.name) }
    let gradients = gradients(of: loss, with: given)
    let values = try fixture.weights
    var inputs = [try fixture.tensor("tokens", in: "step"), try fixture.tensor("targets", in: "step")]
    for (parameter, given) in zip(store.parameters, given) {
      inputs.append(TensorData(values[parameter.name]!.doubles, shape: parameter.shape, element: given.element))
    }
    let program = Program(inputs: [tokens, targets] + given, outputs: [loss, logits] + gradients)
    let results = try backend.compile(program).run(inputs)
    var byName: [String: TensorData] = [:]
    for (parameter, values) in zip(store.parameters, results.dropFirst(2)) {
      byName[parameter.name] = TensorData(values.doubles, shape: values.shape)
    }
    var named: [String: TensorData] = [:]
    for stored in ExportLayout.of(fixture.configuration).layout.tensors(store.parameters) {
      named[stored.name] = stored.written(stored.parameters.map { byName[$0.name]! })
    }
    return (results[0].copy(), results[1].copy(), named)
  }

  private func compare(_ fixture: Fixture, _ backend: any Backend, compute: ElementType, tolerance: Double) throws {
    let ours = try step(fixture, backend, compute: compute)
    let loss = try fixture.tensor("loss", in: "step64").item
    #expect(abs(ours.loss.item - loss) <= tolerance * loss)
    let logits = try fixture.tensor("logits", in: "step64").doubles
    #expect(relativeError(ours.logits.doubles, logits) <= tolerance)
    let names = try fixture.names(in: "step64").filter { $0.hasPrefix("gradient.") }
    #expect(names.map { String($0.dropFirst(9)) } == ours.gradients.keys.sorted())
    var worst = ("", 0.0)
    for name in names {
      let expected = try fixture.tensor(name, in: "step64")
      let gradient = ours.gradients[String(name.dropFirst(9))]!
      #expect(gradient.shape == expected.shape)
      let error = relativeError(gradient.doubles, expected.doubles)
      if error > worst.1 { worst = (name, error) }
    }
    #expect(worst.1 <= tolerance, "\(worst.0) is off by \(worst.1)")
  }

  @Test(arguments: Fixture.all, CPUBackend.InstructionSet.available)
  func stepOnTheProcessorIsPyTorchs(fixture: Fixture, instructionSet: CPUBackend.InstructionSet) throws {
    let backend = CPUBackend(threads: 2, instructionSet: instructionSet)
    try compare(fixture, backend, compute: .float32, tolerance: 1e-5)
  }

  @Test(arguments: Fixture.all) func stepOfTheReferenceIsPyTorchsInDouble(fixture: Fixture) throws {
    // What is float32 whatever the weights are: the loss of each token, rotary tables, log-sum-exp of attention.
    try compare(fixture, ReferenceBackend(), compute: .float64, tolerance: 2e-7)
  }

  @Test(arguments: Fixture.all) func aHundredStepsFollowPyTorch(fixture: Fixture) throws {
    let run = try Trainer(fixture.configuration, weights: fixture.weights)
    let tokens = try fixture.tensor("tokens", in: "run")
    let targets = try fixture.tensor("targets", in: "run")
    let losses = try fixture.tensor("losses", in: "run").doubles
    let norms = try fixture.tensor("gradient_norms", in: "run").doubles
    var worst = 0.0
    for step in 0..<100 {
      let batch = [tokens, targets].map { TensorData(type: .int32, row: step, of: $0) }
      let (loss, norm) = try run.step(Double(step + 1), batch[0], batch[1])
      worst = max(worst, abs(loss - losses[step]))
      if step < 10 { #expect(abs(norm - norms[step]) < 1e-4 * norms[step], "step \(step)") }
    }
    #expect(worst < 1e-3, "the losses differ by \(worst)")
    #expect(losses[99] < losses[0] - 0.5, "the run learns")
  }
}

/// The smallest training loop: AdamW with clipping, everything in float32, updated in place.
private final class Trainer {
  private let executable: any Executable
  private var state: [TensorData]

  init(_ configuration: GPTConfiguration, weights: [String: TensorData]) throws {
    let store = WeightStore()
    let tokens = Tensor.input("tokens", TensorType(.int32, [3, 32]))
    let targets = Tensor.input("targets", TensorType(.int32, [3, 32]))
    let step = Tensor.input("step", TensorType(.float32, []))
    let loss = GPT(configuration).loss(tokens, targets: targets, store.root, .training()).mean()
    let parameters = store.parameters
    let masters = parameters.map { store.master($0.name) }
    let gradients = gradients(of: loss, with: masters)
    let norm = gradients.map { $0.sumOfSquares() }.reduce(Tensor(0), +).squareRoot()

    let optimizer = AdamWOptimizer(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1)
    var memory: [Tensor] = []
    let slots = parameters.indices.map { index in
      let names = optimizer.stateNames(for: parameters[index])
      let inputs = names.map { Tensor.input($0, TensorType(.float32, parameters[index].shape)) }
      memory += inputs
      return OptimizerSlot(
        parameter: parameters[index], value: masters[index], gradient: gradients[index],
        state: Dictionary(uniqueKeysWithValues: zip(names, inputs)), working: false)
    }
    let results = optimizer.update(
      slots,
      OptimizerControls(
        rate: Tensor(1e-3), gradientScale: (1 / (norm + 1e-6)).minimum(1), step: step, apply: .full(1.0, [], .bool)))
    var new = results.map(\.value)
    for (parameter, result) in zip(parameters, results) {
      new += optimizer.stateNames(for: parameter).map { result.state[$0]! }
    }
    let inputs = [tokens, targets, step] + masters + memory
    let donations = Dictionary(uniqueKeysWithValues: new.indices.map { ($0 + 2, $0 + 3) })
    executable = try CPUBackend(threads: 2).compile(
      Program(inputs: inputs, outputs: [loss, norm] + new, donating: donations))
    state = parameters.map { weights[$0.name]!.copy() } + memory.map { TensorData($0.type) }
  }

  func step(_ step: Double, _ tokens: TensorData, _ targets: TensorData) throws -> (loss: Double, norm: Double) {
    let results = try executable.run([tokens, targets, TensorData([step], shape: [])] + state)
    state = Array(results.dropFirst(2))
    return (results[0].item, results[1].item)
  }
}

extension TensorData {
  /// A copy of one entry along the first axis of a larger array of int32.
  fileprivate convenience init(type element: ElementType, row: Int, of whole: TensorData) {
    let shape = Shape(Array(whole.shape.dimensions.dropFirst()))
    self.init(TensorType(element, shape))
    for i in 0..<count { self[i] = whole[row * count + i] }
  }
}
