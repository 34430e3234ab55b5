// Text from a model, token by token, through a cache of keys and values.
//
// A prompt is read in one pass of a program for its length (rounded up to a power of two); then each token is one run of a
// program that updates the caches in place. A text that outgrows the model's context goes on from its last half.

package import Formats
public import Models
public import Networks
public import Tensors

/// Writes text with a model.
public final class Generator {
  private let model: GPT
  private let store: WeightStore
  private let weights: [TensorData]
  private let backend: any Backend
  private let capacity: Int
  private var prefills: [Int: any Executable] = [:]
  private var decoder: (any Executable)?
  private var caches: [TensorData] = []
  private let token = TensorData(TensorType(.int32, [1, 1]))
  private let position = TensorData(TensorType(.int32, [1]))

  /// - Parameters:
  ///   - weights: what the model computes with (working copies where there are any), in the order of `store`'s parameters.
  package init(_ model: GPT, _ store: WeightStore, weights: [TensorData], backend: any Backend) {
    self.model = model
    self.store = store
    self.weights = weights
    self.backend = backend
    capacity = model.configuration.context
  }

  /// Loads a model from weights by name, float32, to be computed with in `precision`.
  public convenience init(
    _ configuration: GPTConfiguration, masters: [String: TensorData], precision: Precision, backend: any Backend
  ) throws {
    let model = GPT(configuration)
    let store = WeightStore(compute: precision.element)
    model.declare(in: store)
    self.init(model, store, weights: try store.given(masters), backend: backend)
  }

  /// Continues `prompt` by up to `count` tokens, or until `end`.
  ///
  /// - Parameter receive: called with each token as it is chosen; false stops.
  /// - Returns: the new tokens, `end` left out.
  @discardableResult
  public func generate(
    _ prompt: [Int32], count: Int, end: Int32?, sampler: inout Sampler, receive: (Int32) -> Bool = { _ in true }
  ) throws -> [Int32] {
    precondition(!prompt.isEmpty, "a prompt has at least one token")
    var text = prompt
    var result: [Int32] = []
    var logits = try read(Array(text.suffix(capacity)))
    var filled = min(text.count, capacity)
    while result.count < count {
      let next = sampler.next(logits)
      if next == end { break }
      result.append(next)
      text.append(next)
      guard receive(next), result.count < count else { break }
      if filled == capacity {
        let tail = Array(text.suffix(max(1, capacity / 2)))
        logits = try read(tail)
        filled = tail.count
      } else {
        logits = try decode(next, at: filled)
        filled += 1
      }
    }
    return result
  }

  // MARK: Programs

  /// Reads a whole text into the caches and gives the logits of what follows it.
  private func read(_ tokens: [Int32]) throws -> [Float] {
    var length = 16
    while length < tokens.count { length *= 2 }
    length = min(length, capacity)
    let executable = try prefills[length] ?? prefill(length)
    prefills[length] = executable
    let padded = TensorData(tokens + [Int32](repeating: 0, count: length - tokens.count), shape: [1, length])
    let outputs = try executable.run([padded, TensorData([Int32(tokens.count - 1)], shape: [1])] + weights)
    if caches.isEmpty { caches = outputs.dropFirst().map { TensorData($0.type) } }
    for (cache, output) in zip(caches, outputs.dropFirst()) { cache.assign(output) }
    return outputs[0].floats
  }

  private func decode(_ next: Int32, at place: Int) throws -> [Float] {
    let executable = try decoder ?? decoding()
    decoder = executable
    token[0] = .integer(Int64(next))
    position[0] = .integer(Int64(place))
    return try executable.run([token, position] + weights + caches)[0].floats
  }

  private func prefill(_ length: Int) throws -> any Executable {
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, length]))
    let last = Tensor.input("last", TensorType(.int32, [1]))
    let context = ModelContext.prefill(capacity: capacity)
    let logits = model.logits(tokens, store.root, context, rows: last)
    return try backend.compile(
      Program(inputs: [tokens, last] + given, outputs: [logits] + context.caches.flatMap { [$0.keys, $0.values] }))
  }

  private func decoding() throws -> any Executable {
    let tokens = Tensor.input("token", TensorType(.int32, [1, 1]))
    let position = Tensor.input("position", TensorType(.int32, [1]))
    let past = caches.indices.map { Tensor.input("cache \($0)", caches[$0].type) }
    let pairs = stride(from: 0, to: past.count, by: 2).map { KeyValueCache(keys: past[$0], values: past[$0 + 1]) }
    let context = ModelContext.decode(positions: position, caches: pairs)
    let logits = model.logits(tokens, store.root, context)
    let inputs = [tokens, position] + given + past
    let outputs = [logits] + context.caches.flatMap { [$0.keys, $0.values] }
    let donations = past.indices.map { (1 + $0, inputs.count - past.count + $0) }
    return try backend.compile(
      Program(inputs: inputs, outputs: outputs, donating: Dictionary(uniqueKeysWithValues: donations)))
  }

  private var given: [Tensor] { store.parameters.map { store.given($0.name) } }
}
