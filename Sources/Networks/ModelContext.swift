// How a model meets its surroundings: the same model code trains, reads a prompt and writes one token after another, and
// only what it asks of its context differs.
//
// Invariant: going on through the caches, by any number of tokens at a time, gives what one pass over the whole sequence
// gives. Through pages, tokens of many sequences go on together, and each gets the bits that it would get alone.

public import Tensors

/// What surrounds one pass of a model. One object a pass: it counts the layers' caches and the random streams.
public final class ModelContext {
  private enum Mode {
    case training(segments: Tensor?)
    case cached(Cached)
    case paged(PagedRows, CacheStorage)
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
  private var watched: Set<Int> = []
  /// What the watched layers were given, by their numbers: [batch, positions, width].
  package private(set) var seen: [Int: Tensor] = [:]

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

  /// Tokens of many sequences, whose keys and values stand in blocks of pools: those of this pass are written there, too.
  ///
  /// - Parameters:
  ///   - rows: where the tokens of this pass stand and are written; the tokens are [rows, 1], or [1, rows]. A model that reads
  ///     short and long texts in different ways (`RotaryScaling.longRope`) reads all as long ones if `rows.capacity` is; one
  ///     whose frequencies grow with the text (`RotaryScaling.dynamic`) takes each token to be its text's last.
  ///   - storage: how keys and values are kept.
  public static func paged(_ rows: PagedRows, storage: CacheStorage) -> ModelContext {
    ModelContext(.paged(rows, storage), positions: rows.positions)
  }

  /// Where in their sequences tokens of `shape` [batch, positions] stand: int32 [positions] or [batch, positions].
  public func positions(_ shape: Shape) -> Tensor {
    if let givenPositions { return isPaged ? givenPositions.reshaped(shape.dimensions) : givenPositions }
    let places = Tensor.iota([shape[1]])
    guard case .cached(let cached) = mode else { return places }
    return cached.start.reshaped(shape[0], 1) + places
  }

  /// Positions that a sequence has room for in the caches, if there are any.
  public var capacity: Int? {
    switch mode {
    case .training: nil
    case .cached(let cached): cached.capacity
    case .paged(let rows, _): rows.capacity
    }
  }

  /// Keeps what these layers will be given.
  package func watch(_ layers: [Int]) { watched = Set(layers) }

  /// A layer is given this; what the last gives has the number behind its own.
  package func note(_ x: Tensor, before layer: Int) {
    if watched.contains(layer) { seen[layer] = x }
  }

  /// Whether tokens of different sequences are read together, so that nothing may depend on more than the token's own.
  public var isPaged: Bool {
    if case .paged = mode { true } else { false }
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
    case .paged(let rows, let storage):
      let keys = write(k, "cache.\(layer).keys", rows, storage)
      let values = v.map { write($0, "cache.\(layer).values", rows, storage) } ?? keys
      return Tensor.pagedAttention(
        q.flattened(from: 0, through: 1).cast(storage.computed(with: q.element)), keys.rows, values.rows, options,
        blockSize: rows.blockSize, positions: rows.positions, sequences: rows.sequences, tables: rows.tables,
        sinks: sinks, scales: keys.scales.map { ($0, values.scales!) }
      ).cast(q.element).reshaped(q.shape.dimensions)
    }
  }

  /// Writes the rows of this pass, [batch, positions, kvHeads, size], to their slots in a pool.
  private func write(
    _ rows: Tensor, _ name: String, _ paged: PagedRows, _ storage: CacheStorage
  ) -> (rows: Tensor, scales: Tensor?) {
    store(rows.flattened(from: 0, through: 1), name, storage) { rows, name in
      var shape = Shape(rows.shape.dimensions)
      shape[0] = paged.blocks * paged.blockSize
      return (.input(name, TensorType(rows.element, shape)), paged.slots, 0)
    }
  }

  /// Writes the rows of this pass, [batch, positions, kvHeads, size], behind those in a cache.
  private func append(_ rows: Tensor, _ name: String, _ cached: Cached) -> (rows: Tensor, scales: Tensor?) {
    store(rows, name, cached.storage) { rows, name in
      var shape = rows.shape
      shape[1] = cached.capacity
      return (.input(name, TensorType(rows.element, shape)), cached.start, 1)
    }
  }

  /// Writes rows to a cache in the form in which it keeps them; `place` says of a part of it what it was before the pass, and
  /// at which index of which axis the rows go.
  private func store(
    _ rows: Tensor, _ name: String, _ storage: CacheStorage,
    place: (_ rows: Tensor, _ name: String) -> (past: Tensor, index: Tensor, axis: Int)
  ) -> (rows: Tensor, scales: Tensor?) {
    func write(_ rows: Tensor, _ name: String) -> Tensor {
      let (past, index, axis) = place(rows, name)
      let new = past.updated(rows, at: index, axis: axis)
      caches.append(CacheTensor(past: past, new: new))
      return new
    }
    switch storage {
    case .float(let element): return (write(rows.cast(element), name), nil)
    case .int8:
      let (steps, scales) = rows.quantizedRows()
      return (write(steps, name), write(scales, name + ".scales"))
    }
  }
}

/// The tokens of one pass over pages: whose they are, where they stand, and where their keys and values are.
///
/// A program for up to n tokens is made of placeholders whose leading dimension varies (`Shape`): one pass takes tokens that
/// are decoded and pieces of prompts alike.
public struct PagedRows {
  /// int32 [n]: each token's place in its sequence; it sees all before it, which were written in this pass or earlier.
  /// Negative: it sees nothing.
  public var positions: Tensor
  /// int32 [n]: the slot of the pools that its keys and values are written to, a block's number times `blockSize` plus a place
  /// in the block; no two are equal. Negative: they are not written.
  public var slots: Tensor
  /// int32 [n]: which of the tables is its sequence's.
  public var sequences: Tensor
  /// int32 [sequences, blocks]: the blocks of a sequence in the order of its positions; numbers behind its last block do not
  /// matter.
  public var tables: Tensor
  /// Positions in a block.
  public var blockSize: Int
  /// Blocks of each pool.
  public var blocks: Int

  public init(
    positions: Tensor, slots: Tensor, sequences: Tensor, tables: Tensor, blockSize: Int, blocks: Int
  ) {
    self.positions = positions
    self.slots = slots
    self.sequences = sequences
    self.tables = tables
    self.blockSize = blockSize
    self.blocks = blocks
  }

  /// The most positions of a sequence.
  public var capacity: Int { tables.shape[1] * blockSize }
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

/// A part of a cache, [batch, capacity, ...] or a pool [slots, ...], before and after a pass: an input of its program, and the output that takes over
/// its memory.
public struct CacheTensor: Sendable {
  public let past: Tensor
  public let new: Tensor
}
