// The programs of a head: what is read of the model becomes states, states and tokens become the next states, those logits.
//
// Planned and run as a model's steps are (`StepRunner`); the states of a run are kept for the next.

internal import Models
internal import Networks
internal import Tensors

/// Runs a head over the positions of many texts. Not for concurrent use.
final class HeadRunner {
  let head: any DraftHead
  private let limits: Scheduler.Limits
  private let read: any Executable
  private let next: any Executable
  private let logits: any Executable
  private let weights: [TensorData]
  private let inputs: StepInputs
  /// Of the rows of a run: what is read of the model, and the states that it begins with.
  private let features: TensorData
  private let states: TensorData
  /// The states of the rows of a run whose logits are wanted.
  private let wanted: TensorData
  let pools: [TensorData]

  /// - Parameter limits: of the model that it drafts for.
  init(_ head: any DraftHead, _ weights: WeightBinding, _ limits: Scheduler.Limits, backend: any Backend) throws {
    (self.head, self.limits, self.weights) = (head, limits, weights.values)
    let store = weights.store
    let given = store.parameters.map { store.given($0.name) }
    func rows(_ name: String, _ count: Int, _ width: Int) -> Tensor {
      .input(name, TensorType(store.activations, Shape([count, width], varies: true)))
    }
    let features = rows("features", limits.tokens, head.features)
    read = try backend.compile(
      Program(inputs: [features] + given, outputs: [head.states(of: features, store.root)]))
    let graph = Self.trace(head, weights, limits)
    let inputs = graph.layout.inputs + [graph.given] + given
    next = try backend.compile(
      Program(
        inputs: inputs + graph.caches.map(\.past), outputs: [graph.states] + graph.caches.map(\.new),
        donating: Dictionary(uniqueKeysWithValues: graph.caches.indices.map { (1 + $0, inputs.count + $0) })))
    let last = rows("states", limits.sequences, head.width)
    logits = try backend.compile(
      Program(inputs: [last] + given, outputs: [head.logits(of: last, store.root)]))
    self.inputs = StepInputs(graph.layout)
    (self.features, states, wanted) = (TensorData(features.type), TensorData(graph.given.type), TensorData(last.type))
    pools = graph.caches.map { TensorData($0.past.type) }
  }

  /// Reads all weights.
  func warm() { weights.touch(scratch: wanted) }

  private static func trace(
    _ head: any DraftHead, _ weights: WeightBinding, _ limits: Scheduler.Limits
  ) -> (layout: StepLayout, given: Tensor, states: Tensor, caches: [CacheTensor]) {
    let layout = StepLayout(limits)
    let given = Tensor.input(
      "states", TensorType(weights.store.activations, Shape([limits.tokens, head.width], varies: true)))
    let context = ModelContext.paged(layout.paged, storage: weights.usualStorage)
    let states = head.next(given, layout.tokens, weights.store.root, context)
    return (layout, given, states, context.caches)
  }

  /// Bytes of the pools that one block takes.
  static func bytesOfBlock(_ head: any DraftHead, _ weights: WeightBinding, _ limits: Scheduler.Limits) -> Int {
    var one = limits
    one.blocks = 1
    return trace(head, weights, one).caches.reduce(0) { $0 + $1.past.type.bytes }
  }

  /// Where the states of a run's rows come from, one row after another.
  enum Origin {
    /// What was read of the model.
    case features([UInt8])
    /// States that earlier runs gave.
    case states([UInt8])
  }

  /// Runs the head over texts.
  ///
  /// - Parameters:
  ///   - step: of parts without branches; of those that are a text's last the logits behind the last token are wanted.
  ///   - receive: given the number of a part, its last state as bytes, and its logits, one for each of `head.tokens`.
  func run(
    _ step: EngineStep, from origin: Origin,
    receive: (_ part: Int, UnsafeRawBufferPointer, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    let count = step.count
    precondition(count <= limits.tokens && step.parts.count <= limits.sequences, "\(count) rows")
    if count == 0 { return }
    let begin: TensorData
    switch origin {
    case .features(let rows):
      features.begin(with: rows)
      begin = try read.run([features.prefix(count)] + weights, extent: count)[0]
    case .states(let rows):
      states.begin(with: rows)
      begin = states.prefix(count)
    }
    let new = try next.run(inputs.values(step) + [begin] + weights + pools, extent: count)[0]
    let bytes = new.rowBytes
    var (row, place) = (0, 0)
    for part in step.parts {
      row += part.tokens.count
      guard part.isLast else { continue }
      (wanted.pointer + place * bytes).copyMemory(from: new.pointer + (row - 1) * bytes, byteCount: bytes)
      place += 1
    }
    if place == 0 { return }
    let result = try logits.run([wanted.prefix(place)] + weights, extent: place)[0]
    let size = result.shape[1]
    let values = result.pointer.assumingMemoryBound(to: Float.self)
    for (place, part) in step.parts.indices.filter({ step.parts[$0].isLast }).enumerated() {
      try receive(
        part, UnsafeRawBufferPointer(start: wanted.pointer + place * bytes, count: bytes),
        UnsafeBufferPointer(start: values + place * size, count: size))
    }
  }
}

extension TensorData {
  /// Takes over its first bytes.
  fileprivate func begin(with new: [UInt8]) {
    precondition(new.count <= type.bytes, "\(new.count) bytes for \(type)")
    new.withUnsafeBytes { if $0.count > 0 { pointer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
  }
}
