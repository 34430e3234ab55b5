// How a model meets its surroundings: the same model code trains, reads a prompt and writes one token after another, and
// only what it asks of its context differs.
//
// Invariant: decoding token by token through the caches gives what one pass over the whole sequence gives.

public import Tensors

/// The keys and values of one layer's past, each [batch, kvHeads, capacity, head size].
public struct KeyValueCache: Sendable {
  public var keys: Tensor
  public var values: Tensor

  public init(keys: Tensor, values: Tensor) {
    self.keys = keys
    self.values = values
  }
}

/// What surrounds one pass of a model. One object a pass: it counts the layers' caches and the random streams.
public final class ModelContext {
  private enum Mode {
    case training(segments: Tensor?)
    case prefill(capacity: Int)
    case decode([KeyValueCache])
  }

  private let mode: Mode
  /// int32 [positions] or [batch, positions] where they were given.
  private let givenPositions: Tensor?
  /// An int64 scalar, new for each pass; nil: nothing is dropped.
  private let dropoutKey: Tensor?
  private var dropouts: UInt64 = 0
  /// Whether layers compute their inner values again for the backward pass instead of keeping them.
  public let rematerialise: Bool
  /// After a prefill or decode pass: each layer's keys and values, the new ones included.
  public private(set) var caches: [KeyValueCache] = []

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

  /// Whole sequences at once, whose keys and values are kept in `caches` for decoding.
  ///
  /// Shorter prompts of a batch are padded at the end; what the padding leaves in the caches is not seen, because decoding
  /// goes on at each prompt's own length.
  public static func prefill(capacity: Int) -> ModelContext { ModelContext(.prefill(capacity: capacity)) }

  /// One token of each sequence.
  ///
  /// - Parameters:
  ///   - positions: int32 [batch]: where in its sequence each token stands, less than the caches' capacity.
  ///   - caches: one a layer, as a pass before left them.
  public static func decode(positions: Tensor, caches: [KeyValueCache]) -> ModelContext {
    ModelContext(.decode(caches), positions: positions.reshaped(positions.shape[0], 1))
  }

  /// Where in their sequences tokens of `shape` [batch, positions] stand: int32 [positions] or [batch, positions].
  public func positions(_ shape: Shape) -> Tensor { givenPositions ?? .iota([shape[1]]) }

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
  ///   - layer: counted from 0; layers are called in order.
  ///   - sinks: float32 [heads]: a logit for each head that takes weight and gives nothing.
  /// - Returns: [batch, positions, heads, size].
  public func attend(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, layer: Int, options: Attention, sinks: Tensor? = nil
  ) -> Tensor {
    switch mode {
    case .training(let segments):
      return .attention(q, k, v, options, segments: segments, sinks: sinks)
    case .prefill(let capacity):
      precondition(layer == caches.count, "layer \(layer) attends after \(caches.count) layers")
      precondition(k.shape[1] <= capacity, "\(k.shape[1]) positions do not fit a cache of \(capacity)")
      let room = [Padding(), Padding(), Padding(after: capacity - k.shape[1]), Padding()]
      caches.append(
        KeyValueCache(keys: k.permuted(0, 2, 1, 3).padded(room), values: v.permuted(0, 2, 1, 3).padded(room)))
      return .attention(q, k, v, options, sinks: sinks)
    case .decode(let past):
      precondition(layer == caches.count && layer < past.count, "layer \(layer) of \(past.count) caches")
      let cache = past[layer].updated(keys: k, values: v, at: givenPositions!)
      caches.append(cache)
      return cache.attend(q, at: givenPositions!, options: options, sinks: sinks)
    }
  }
}

extension KeyValueCache {
  /// With the rows of one token, [batch, 1, kvHeads, size], at each sequence's position, int32 [batch, 1].
  fileprivate func updated(keys k: Tensor, values v: Tensor, at positions: Tensor) -> KeyValueCache {
    let here = (Tensor.iota([keys.shape[2]]) .== positions).reshaped(k.shape[0], 1, keys.shape[2], 1)
    return KeyValueCache(
      keys: here.select(k.permuted(0, 2, 1, 3).cast(keys.element), keys),
      values: here.select(v.permuted(0, 2, 1, 3).cast(values.element), values))
  }

  /// Attention of one query for each sequence, q [batch, 1, heads, size], to all that stands up to its position.
  fileprivate func attend(_ q: Tensor, at positions: Tensor, options: Attention, sinks: Tensor?) -> Tensor {
    let (batch, heads, size) = (q.shape[0], q.shape[2], q.shape[3])
    let (groups, capacity) = (keys.shape[1], keys.shape[2])
    let accumulator = q.element.accumulator
    // The query heads of a group stand next to each other, so that they are the rows of one product.
    let rows = q.cast(keys.element).reshaped(batch, groups, heads / groups, size)
    var scores = rows.matmul(keys, transposeB: true, type: accumulator) * options.scale
    if let softcap = options.softcap { scores = (scores / softcap).tanh() * softcap }
    let place = Tensor.iota([capacity])
    var seen = place .<= positions
    if let window = options.window { seen = seen & (place .> positions - Double(window)) }
    scores = seen.reshaped(batch, 1, 1, capacity).select(scores, .full(-.infinity, .scalar, accumulator))
    var shares: Tensor
    if let sinks {
      let sink = sinks.cast(accumulator).reshaped(1, groups, heads / groups, 1)
        .broadcast(to: [batch, groups, heads / groups, 1])
      shares = Tensor.concatenate([scores, sink], axis: -1).softmax().sliced(0..<capacity, axis: -1)
    } else {
      shares = scores.softmax()
    }
    return shares.cast(values.element).matmul(values).cast(q.element).reshaped(batch, 1, heads, size)
  }
}
