// Steps that train GPT-2: forward, backward, clipping and the optimizer's update, as the training command makes them.

internal import Core
internal import GPUBackend
internal import Models
internal import Networks
internal import Tensors
internal import Training

/// A model, and how much it is given at a time.
struct GPUTraining: Sendable {
  var preset: String
  /// Of the preset so many; nil: all.
  var layers: Int?
  var batch: Int
  var length: Int
  var vocabulary: Int

  var model: GPTConfiguration {
    guard var model = try? GPTPreset.named(preset).configuration else { preconditionFailure("no preset '\(preset)'") }
    model.vocabulary = vocabulary
    model.layers = layers ?? model.layers
    return model
  }
}

extension GPUCase {
  /// The vocabulary is GPT-2's, filled up to a multiple of 64, as PyTorch's fastest trainers have it.
  static func trainings(_ scale: Scale) -> [GPUCase] {
    switch scale {
    case .small: [training(GPUTraining(preset: "gpt2-small", batch: 2, length: 32, vocabulary: 96))]
    case .medium:
      [
        training(GPUTraining(preset: "gpt2-10m", batch: 4, length: 256, vocabulary: 512)),
        training(GPUTraining(preset: "gpt2", layers: 1, batch: 1, length: 1024, vocabulary: 50_304)),
        training(GPUTraining(preset: "gpt2-1.5b", layers: 1, batch: 1, length: 1024, vocabulary: 50_304)),
      ]
    case .full:
      [
        training(GPUTraining(preset: "gpt2", batch: 32, length: 1024, vocabulary: 50_304)),
        training(GPUTraining(preset: "gpt2-1.5b", batch: 8, length: 1024, vocabulary: 50_304)),
      ]
    }
  }

  /// The shape is layers, width, heads, vocabulary, sequences, tokens.
  private static func training(_ training: GPUTraining) -> GPUCase {
    let model = training.model
    let tokens = training.batch * training.length
    return GPUCase(
      name: "train", element: .bfloat16,
      shape: [model.layers, model.width, model.heads, model.vocabulary, training.batch, training.length],
      variant: "step", operations: Double(tokens) * model.trainingFLOPs(length: training.length), tokens: tokens,
      goal: Goal(ratio: 1), row: "GPT-2 training step, bf16", work: .training(training))
  }
}

/// A model that is being trained, on tokens that are made up.
final class GPUTrainer {
  private let step: TrainingStep
  private let state: TrainingState
  private let batches: [(tokens: TensorData, targets: TensorData)]
  private var number = 0

  /// The same numbers on every backend.
  init(_ training: GPUTraining, backend: any Backend) throws {
    let made = try Self.compile(training, backend: backend)
    step = made
    state = try DefaultBackend.with(backend) { try TrainingState(made.store, optimizer: AdamWOptimizer(), seed: 1) }
    let random = RandomStream(key: 1)
    let text = (0...(training.batch * training.length)).map {
      Int32(random.integer(at: UInt64($0), below: training.vocabulary))
    }
    let shape: Shape = [training.batch, training.length]
    batches = [(TensorData(Array(text.dropLast()), shape: shape), TensorData(Array(text.dropFirst()), shape: shape))]
  }

  /// The program of a step.
  @discardableResult
  static func compile(_ training: GPUTraining, backend: any Backend) throws -> TrainingStep {
    try TrainingStep(
      GPT(training.model), optimizer: AdamWOptimizer(), compute: .bfloat16, batch: training.batch,
      length: training.length, clip: 1, backend: backend)
  }

  /// Takes a step.
  ///
  /// - Returns: the loss before it.
  @discardableResult
  func callAsFunction() throws -> Double {
    number += 1
    return try step(batches, state, .init(rate: 1e-3, step: number, key: Int64(number))).loss
  }
}
