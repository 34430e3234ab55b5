// How a model meets its surroundings: the same model code trains, reads a prompt and writes one token after another, and
// only what it asks of its context differs.
//
// Invariant: going on through the caches, by any number of tokens at a time, gives what one pass over the whole sequence
// gives.

public import Tensors

/// What surrounds one pass of a model. One object a pass: it counts the layers' caches and the random streams.
public final class ModelContext {
  private enum Mode {
    case training(segments: Tensor?)
    case cached(Cached)
  }

  private struct Cached {
    var capacity: Int
    var storage: CacheStorage
    /// int32 [batch]
    var start: Tensor
  }

  private let mode: Mode
  /// int32 [positions] or [batch, positions] where they were given.
  private let givenPositions: Tensor?
  /// An int64 scalar, new for each pass; nil: nothing is dropped.
  private let dropoutKey: Tensor?
  private var dropouts: UInt64 = 0
  /// Whether layers compute their inner values again for the backward pass instead of keeping them.
  public let rematerialise: Bool
  /// What a cached pass reads and writes, in the order of the layers.
  public private(set) var caches: [CacheTensor] = []

  private init(_ mode: Mode, positions: Tensor? = nil, dropoutKey: Tensor? = nil, rematerialise: Bool = false) {
    self.mode = mode
    self.givenPositions = positions
    self.dropoutKey = dropoutKey
    self.rematerialise = rematerialise
  }

  /// Whole sequences at once.
  ///
  /// - Parameters:
  ///   - dropoutKey: int64 scalar, another one for each pass; nil for evaluation, which drops nothing.
  ///   - positions: int32 [batch, positions], where sequences are packed; 0, 1, 2, ... if nil.
  ///   - segments: int32 [batch, positions]: positions of different segments do not see each other.
  public static func training(
    dropoutKey: Tensor? = nil, positions: Tensor? = nil, segments: Tensor? = nil, rematerialise: Bool = false
  ) -> ModelContext {
    ModelContext(
      .training(segments: segments), positions: positions, dropoutKey: dropoutKey, rematerialise: rematerialise)
  }

  /// Some tokens that follow on others, whose keys and values stand in caches.
  ///
  /// - Parameters:
  ///   - start: int32 [batch]: how many tokens of each sequence stand in the caches already.
  ///   - capacity: positions of the caches, at least those of `start` and of this pass.
  ///   - storage: how keys and values are kept.
  public static func cached(start: Tensor, capacity: Int, storage: CacheStorage) -> ModelContext {
    ModelContext(.cached(Cached(capacity: capacity, storage: storage, start: start)))
  }

  /// Where in their sequences tokens of `shape` [batch, positions] stand: int32 [positions] or [batch, positions].
  public func positions(_ shape: Shape) -> Tensor {
    if let givenPositions { return givenPositions }
    let places = Tensor.iota([shape[1]])
    guard case .cached(let cached) = mode else { return places }
    return cached.start.reshaped(shape[0], 1) + places
  }

  /// Positions of the caches, if there are any.
  public var capacity: Int? {
    if case .cached(let cached) = mode { cached.capacity } else { nil }
  }

  /// Zeroes a fraction of the elements in training, each call with its own random stream.
  public func dropout(_ x: Tensor, rate: Double) -> Tensor {
    guard rate > 0, let dropoutKey else { return x }
    dropouts += 1
    return x.dropout(rate, key: dropoutKey, stream: dropouts)
  }

  /// Attention of q [batch, positions, heads, size] to the keys and values of this pass, [batch, positions, kvHeads, size],
  /// and of those before it.
  ///
  /// - Parameters:
  ///   - v: nil: the keys are the values, too (latent attention), and are kept once.
  ///   - layer: counted from 0; layers are called in order.
  ///   - sinks: float32 [heads]: a logit for each head that takes weight and gives nothing.
  /// - Returns: [batch, positions, heads, size].
  public func attend(
    _ q: Tensor, _ k: Tensor, _ v: Tensor?, layer: Int, options: Attention, sinks: Tensor? = nil
  ) -> Tensor {
    switch mode {
    case .training(let segments):
      return .attention(q, k, v ?? k, options, segments: segments, sinks: sinks)
    case .cached(let cached):
      let keys = append(k, "cache.\(layer).keys", cached)
      let values = v.map { append($0, "cache.\(layer).values", cached) } ?? keys
      let lengths = cached.start + Double(k.shape[1])
      let element = cached.storage.computed(with: q.element)
      return Tensor.attention(
        q.cast(element), keys.rows, values.rows, options, sinks: sinks, lengths: lengths,
        scales: keys.scales.map { ($0, values.scales!) }
      ).cast(q.element)
    }
  }

  /// Writes the rows of this pass, [batch, positions, kvHeads, size], behind those in a cache.
  private func append(_ rows: Tensor, _ name: String, _ cached: Cached) -> (rows: Tensor, scales: Tensor?) {
    func write(_ rows: Tensor, _ name: String) -> Tensor {
      var shape = rows.shape
      shape[1] = cached.capacity
      let past = Tensor.input(name, TensorType(rows.element, shape))
      let new = past.updated(rows, at: cached.start, axis: 1)
      caches.append(CacheTensor(past: past, new: new))
      return new
    }
    switch cached.storage {
    case .float(let element): return (write(rows.cast(element), name), nil)
    case .int8:
      let (steps, scales) = rows.quantizedRows()
      return (write(steps, name), write(scales, name + ".scales"))
    }
  }
}

/// How the keys and values of a cache are kept.
public enum CacheStorage: Hashable, Sendable {
  /// As floats of this type.
  case float(ElementType)
  /// As int8 with a float32 factor for each position and head.
  case int8

  /// The type of the queries that meet them.
  fileprivate func computed(with element: ElementType) -> ElementType {
    switch self {
    case .float(let stored): stored
    case .int8: element
    }
  }
}

/// A part of a cache, [batch, capacity, ...], before and after a pass: an input of its program, and the output that takes over
/// its memory.
public struct CacheTensor: Sendable {
  public let past: Tensor
  public let new: Tensor
}
