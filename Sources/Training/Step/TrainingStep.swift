// One training step as one program: forward, backward, clipping and the optimizer's update, traced once and replayed.
//
// Invariant: where the step is not applied (a loss or norm that is not finite or beyond the limits) no value changes.

package import Models
package import Networks
package import Tensors

/// The compiled step of a model.
///
/// With accumulation there are two programs: one adds a batch's gradients to accumulators, one applies them.
package final class TrainingStep {
  /// What one step is told.
  package struct Controls {
    package var rate: Double
    /// Counted from 1.
    package var step: Int
    /// Of the random numbers of this step (dropout).
    package var key: Int64
    /// Above these the step is not applied.
    package var lossLimit: Double
    package var normLimit: Double

    package init(
      rate: Double, step: Int, key: Int64, lossLimit: Double = .infinity, normLimit: Double = .infinity
    ) {
      self.rate = rate
      self.step = step
      self.key = key
      self.lossLimit = lossLimit
      self.normLimit = normLimit
    }
  }

  /// What one step says.
  package struct Report {
    /// Mean over all tokens that count, in nats.
    package var loss: Double
    /// L2 norm of all gradients before clipping.
    package var gradientNorm: Double
    package var applied: Bool
    /// Squared gradient norm of each parameter.
    package var squares: [Float]
  }

  package let store: WeightStore
  private let executable: any Executable
  private let accumulating: (executable: any Executable, sums: [TensorData], loss: TensorData)?
  private let scalars: [TensorData]

  /// - Parameters:
  ///   - batch: sequences in one batch.
  ///   - length: tokens in a sequence.
  package init(
    _ model: GPT, optimizer: any Optimizer, compute: ElementType, batch: Int, length: Int, accumulation: Int = 1,
    clip: Double?, rematerialise: Bool = false, backend: any Backend
  ) throws {
    let store = WeightStore(compute: compute)
    self.store = store
    let graph = Graph(
      model, store, batch: batch, length: length, share: 1 / Double(accumulation), rematerialise: rematerialise)
    let update = Update(store, optimizer, clip: clip)
    scalars = update.controls.map { TensorData($0.type) } + [TensorData(graph.key.type)]

    if accumulation == 1 {
      let results = update.results(loss: graph.loss, gradients: graph.gradients)
      let inputs = update.controls + [graph.key, graph.tokens, graph.targets] + update.state
      executable = try backend.compile(
        Program(
          inputs: inputs, outputs: results.report + results.state,
          donating: TrainingStep.donations(results.state.count, outputs: 4, inputs: inputs.count)))
      accumulating = nil
    } else {
      let sums = store.parameters.map { Tensor.input("sum of " + $0.name, TensorType(.float32, $0.shape)) }
      let loss = Tensor.input("sum of losses", TensorType(.float32, .scalar))
      let added = [loss + graph.loss] + zip(sums, graph.gradients).map { $0 + $1 }
      let given = store.parameters.map { store.given($0.name) }
      let inputs = [graph.key, graph.tokens, graph.targets] + given + [loss] + sums
      let adding = try backend.compile(
        Program(
          inputs: inputs, outputs: added,
          donating: TrainingStep.donations(added.count, outputs: 0, inputs: inputs.count)))
      accumulating = (adding, sums.map { TensorData($0.type) }, TensorData(loss.type))

      let results = update.results(loss: loss, gradients: sums)
      let applyInputs = update.controls + [loss] + sums + update.state
      executable = try backend.compile(
        Program(
          inputs: applyInputs, outputs: results.report + results.state,
          donating: TrainingStep.donations(results.state.count, outputs: 4, inputs: applyInputs.count)))
    }
  }

  /// The last `count` outputs take over the last `count` inputs.
  private static func donations(_ count: Int, outputs: Int, inputs: Int) -> [Int: Int] {
    Dictionary(uniqueKeysWithValues: (0..<count).map { (outputs + $0, inputs - count + $0) })
  }

  /// The program of the step (the one that applies the gradients, with accumulation).
  package var program: Program { executable.program }

  /// Bytes that the programs use beside the state.
  package var arenaBytes: Int {
    executable.program.plan.arenaBytes + (accumulating?.executable.program.plan.arenaBytes ?? 0)
  }

  /// Runs the step on batches of tokens and targets, int32 [batch, length], as many as are accumulated.
  ///
  /// - Parameter inspect: called with each instruction, its results and the program that it is of; for finding the first
  ///   result that is not finite.
  package func callAsFunction(
    _ batches: [(tokens: TensorData, targets: TensorData)], _ state: TrainingState, _ controls: Controls,
    inspect: ((Program.Instruction, [TensorData], Program) throws -> Void)? = nil
  ) throws -> Report {
    func run(_ executable: any Executable, _ inputs: [TensorData]) throws -> [TensorData] {
      try executable.run(
        inputs, extent: nil, inspect: inspect.map { inspect in { try inspect($0, $1, executable.program) } })
    }
    let values = [controls.rate, Double(controls.step), controls.lossLimit, controls.normLimit]
    for (scalar, value) in zip(scalars, values) { scalar[0] = .float(value) }
    let key = scalars[values.count]
    let controlInputs = Array(scalars[..<values.count])

    let outputs: [TensorData]
    if let accumulating {
      accumulating.loss[0] = .float(0)
      for sum in accumulating.sums { sum.bytes.initializeMemory(as: UInt8.self, repeating: 0) }
      let given = state.parameters.indices.map { state.working[$0] ?? state.masters[$0] }
      for (index, batch) in batches.enumerated() {
        key[0] = .integer(controls.key &+ Int64(index) << 40)
        let inputs = [key, batch.tokens, batch.targets] + given + [accumulating.loss] + accumulating.sums
        _ = try run(accumulating.executable, inputs)
      }
      let inputs = controlInputs + [accumulating.loss] + accumulating.sums + state.values
      outputs = try run(executable, inputs)
    } else {
      key[0] = .integer(controls.key)
      let inputs = controlInputs + [key, batches[0].tokens, batches[0].targets] + state.values
      outputs = try run(executable, inputs)
    }
    return Report(
      loss: outputs[0].item, gradientNorm: outputs[1].item, applied: outputs[2].item != 0, squares: outputs[3].floats)
  }
}

extension TrainingState {
  /// All values in the order in which programs take them.
  fileprivate var values: [TensorData] {
    masters + working.compactMap(\.self) + optimizer.flatMap { states in states.keys.sorted().map { states[$0]! } }
  }
}

/// Forward and backward.
private struct Graph {
  let key = Tensor.input("key", TensorType(.int64, .scalar))
  let tokens: Tensor
  let targets: Tensor
  let loss: Tensor
  let gradients: [Tensor]

  init(_ model: GPT, _ store: WeightStore, batch: Int, length: Int, share: Double, rematerialise: Bool) {
    tokens = .input("tokens", TensorType(.int32, [batch, length]))
    targets = .input("targets", TensorType(.int32, [batch, length]))
    let context = ModelContext.training(dropoutKey: key, rematerialise: rematerialise)
    let losses = model.loss(tokens, targets: targets, store.root, context)
    let counted = (targets.flattened() .>= 0).cast(.float32).sum().maximum(1)
    loss = losses.sum() / counted * share
    let parameters = store.parameters.map { store.given($0.name) }
    gradients = Tensors.gradients(of: loss, with: parameters, type: .float32)
  }
}

/// Clipping and the optimizer.
private struct Update {
  let store: WeightStore
  let optimizer: any Optimizer
  let clip: Double?
  let rate = Tensor.input("rate", TensorType(.float32, .scalar))
  let step = Tensor.input("step", TensorType(.float32, .scalar))
  let lossLimit = Tensor.input("loss limit", TensorType(.float32, .scalar))
  let normLimit = Tensor.input("norm limit", TensorType(.float32, .scalar))
  let states: [[String: Tensor]]

  init(_ store: WeightStore, _ optimizer: any Optimizer, clip: Double?) {
    self.store = store
    self.optimizer = optimizer
    self.clip = clip
    states = store.parameters.map { parameter in
      let names = optimizer.stateNames(for: parameter)
      return Dictionary(
        uniqueKeysWithValues: names.map {
          ($0, .input("\(parameter.name) \($0)", TensorType(.float32, parameter.shape)))
        })
    }
  }

  var controls: [Tensor] { [rate, step, lossLimit, normLimit] }

  /// The placeholders of a `TrainingState`'s values.
  var state: [Tensor] {
    store.parameters.map { store.master($0.name) } + store.parameters.compactMap { store.working($0.name) }
      + states.flatMap { states in states.keys.sorted().map { states[$0]! } }
  }

  func results(loss: Tensor, gradients: [Tensor]) -> (report: [Tensor], state: [Tensor]) {
    let squares = Tensor.concatenate(gradients.map { $0.sumOfSquares().reshaped(1) })
    let norm = squares.sum().squareRoot()
    // As torch.nn.utils.clip_grad_norm_ does it.
    let scale = clip.map { ($0 / (norm + 1e-6)).minimum(1) } ?? Tensor(1)
    let apply = norm.isFinite() & loss.isFinite() & (loss .<= lossLimit) & (norm .<= normLimit)
    let slots = store.parameters.indices.map { index in
      let parameter = store.parameters[index]
      return OptimizerSlot(
        parameter: parameter, value: store.master(parameter.name), gradient: gradients[index], state: states[index],
        working: store.working(parameter.name) != nil)
    }
    let updated = withScope("optimizer") {
      optimizer.update(slots, OptimizerControls(rate: rate, gradientScale: scale, step: step, apply: apply))
    }
    let values =
      updated.map(\.value) + updated.compactMap(\.working)
      + updated.flatMap { result in result.state.keys.sorted().map { result.state[$0]! } }
    return ([loss, norm, apply, squares], values)
  }
}
