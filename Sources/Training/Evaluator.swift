// The loss on text that is not learned from.

import Core
package import Formats
package import Models
package import Networks
package import Tensors

/// Measures a model's loss on windows of text.
public final class Evaluator {
  private let executable: any Executable
  private var weights: [TensorData] = []
  /// What a person should know of how the weights are held.
  package private(set) var notices: [String] = []
  private let tokens: TensorData
  private let targets: TensorData
  /// As they are before a text, which each window overwrites.
  private let caches: [TensorData]

  /// - Parameters:
  ///   - batch: windows at a time.
  ///   - length: tokens in a window.
  ///   - storage: how a cache keeps the keys and values that a window's tokens read; nil: they are read as they are.
  ///   - exactProducts: whether products with quantised weights keep activations as they are.
  package init(
    _ model: any LanguageModel, _ store: WeightStore, batch: Int, length: Int, storage: CacheStorage? = nil,
    exactProducts: Bool = false, backend: any Backend
  ) throws {
    let tokens = Tensor.input("tokens", TensorType(.int32, [batch, length]))
    let targets = Tensor.input("targets", TensorType(.int32, [batch, length]))
    let context = Self.context(batch: batch, length: length, storage)
    let losses = model.loss(tokens, targets: targets, store.root, context)
    let counted = (targets .>= 0).cast(.float32).sum()
    let caches = context.caches.map(\.past)
    executable = try backend.compile(
      Program(
        inputs: [tokens, targets] + caches + store.parameters.map { store.given($0.name) },
        outputs: [losses.sum(), counted], options: .init(exactBlocks: exactProducts)))
    self.tokens = TensorData(tokens.type)
    self.targets = TensorData(targets.type)
    self.caches = caches.map { TensorData($0.type) }
  }

  /// A model on disk, on windows of `length` tokens, its weights as they are there or in another precision.
  package convenience init(
    _ pretrained: PretrainedModel, precision: WeightPrecision = .stored, batch: Int, length: Int,
    storage: CacheStorage? = nil, exactProducts: Bool = false, backend: any Backend
  ) throws {
    let binding = try pretrained.weights(precision)
    try self.init(
      pretrained.model, binding.store, batch: batch, length: length, storage: storage, exactProducts: exactProducts,
      backend: backend)
    weights = binding.values
    notices = binding.notices
  }

  /// e to the loss: the number of tokens that the model hesitates between, so to speak.
  public static func perplexity(_ loss: Double) -> Double { exp(loss) }

  /// The mean loss in nats per token over validation windows, and how many tokens it is over; nil if there are none.
  package func loss(
    _ dataset: TokenDataset, batches: Int, weights: [TensorData]
  ) throws -> (loss: Double, tokens: Int)? {
    let (batch, length) = (tokens.shape[0], tokens.shape[1])
    let (asked, overflows) = batches.multipliedReportingOverflow(by: batch)
    let windows = min(dataset.validationWindows(of: length), overflows ? .max : asked)
    guard windows > 0, batches > 0 else { return nil }
    var (sum, count) = (0.0, 0.0)
    for first in stride(from: 0, to: windows, by: batch) {
      let found = dataset.validationBatch(
        first: first, batch: batch, length: length, inputs: tokens.pointer.assumingMemoryBound(to: Int32.self),
        targets: targets.pointer.assumingMemoryBound(to: Int32.self))
      for index in (found * length)..<(batch * length) { targets[index] = .integer(-1) }
      let result = try run(weights)
      sum += result.sum
      count += result.count
    }
    return (sum / count, Int(count))
  }

  /// The mean loss in nats per token of the model that was loaded over a text, in windows that follow each other; nil if it has no two tokens.
  public func loss(of text: [Int32]) throws -> (loss: Double, tokens: Int)? {
    let (batch, length) = (tokens.shape[0], tokens.shape[1])
    guard text.count > 1 else { return nil }
    var (sum, count) = (0.0, 0.0)
    for start in stride(from: 0, to: text.count - 1, by: batch * length) {
      for index in 0..<(batch * length) {
        let place = start + index
        tokens[index] = .integer(Int64(place < text.count ? text[place] : 0))
        targets[index] = .integer(Int64(place + 1 < text.count ? text[place + 1] : -1))
      }
      let result = try run(weights)
      sum += result.sum
      count += result.count
    }
    return (sum / count, Int(count))
  }

  /// The logits of a text of at most the context: float32 [1, tokens, vocabulary]; for comparing with other programs.
  package static func logits(
    of text: [Int32], _ model: any LanguageModel, _ binding: WeightBinding, storage: CacheStorage? = nil,
    exactProducts: Bool = false, backend: any Backend
  ) throws -> TensorData {
    let store = binding.store
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, text.count]))
    let context = context(batch: 1, length: text.count, storage)
    let logits = model.logits(tokens, store.root, context)
    let shaped = logits.reshaped(1, text.count, model.vocabulary)
    let caches = context.caches.map(\.past)
    let program = Program(
      inputs: [tokens] + caches + store.parameters.map { store.given($0.name) }, outputs: [shaped],
      options: .init(exactBlocks: exactProducts))
    let inputs = [TensorData(text, shape: [1, text.count])] + caches.map { TensorData($0.type) } + binding.values
    return try backend.compile(program).run(inputs)[0]
  }

  /// Texts that begin with the first of `length` tokens.
  private static func context(batch: Int, length: Int, _ storage: CacheStorage?) -> ModelContext {
    let start = Tensor([Int32](repeating: 0, count: batch))
    return storage.map { .cached(start: start, capacity: length, storage: $0) } ?? .training()
  }

  private func run(_ weights: [TensorData]) throws -> (sum: Double, count: Double) {
    let outputs = try executable.run([tokens, targets] + caches + weights)
    return (outputs[0].item, outputs[1].item)
  }
}
