// A step as runs of two programs: hidden states of all its tokens, and logits of those behind which a token is wanted.
//
// Both are planned once for the most rows and run with as many as there are. Keys and values are written in place, in pools
// that a step's block tables point into. Where texts have adapters, the hidden states come from a third program, which has
// them as inputs.

internal import Models
internal import Networks
internal import Tensors

/// Runs steps of a model. Not for concurrent use.
final class StepRunner {
  private let limits: Scheduler.Limits
  private let model: any LanguageModel
  private let store: WeightStore
  private let storage: CacheStorage
  private let backend: any Backend
  private let states: any Executable
  /// For steps with adapters, and what stands in their places.
  private var adapted: (pool: AdapterPool, states: any Executable)?
  private var placed: [LowRankAdapter?]
  private let logits: any Executable
  private let weights: (states: [TensorData], logits: [TensorData])
  private let pools: [TensorData]
  let memory: BlockMemory
  private let width: Int
  let vocabulary: Int
  /// Inputs of a run, as large as the largest.
  private let rows: [TensorData]
  private let tables: TensorData
  /// The hidden states whose logits are wanted.
  private let wanted: TensorData

  /// - Parameter limits: `blocks` and all others.
  init(
    _ model: any LanguageModel, _ weights: WeightBinding, _ limits: Scheduler.Limits, storage: CacheStorage,
    backend: any Backend
  ) throws {
    (self.limits, self.model, self.storage, self.backend) = (limits, model, storage, backend)
    vocabulary = model.vocabulary
    let store = weights.store
    self.store = store
    placed = Array(repeating: nil, count: limits.adapters)
    let graph = StepRunner.trace(model, store, limits, storage)
    width = graph.states.shape[1]
    pools = graph.caches.map { TensorData($0.past.type) }
    memory = BlockMemory(pools, blocks: limits.blocks)
    rows = graph.rows.map { TensorData($0.type) }
    tables = TensorData(graph.tables.type)
    states = try backend.compile(graph.program(store))

    let hidden = Tensor.input(
      "hidden", TensorType(graph.states.element, Shape([limits.running + limits.drafted, width], varies: true)))
    wanted = TensorData(hidden.type)
    logits = try backend.compile(
      Program(
        inputs: [hidden] + store.parameters.map { store.given($0.name) },
        outputs: [model.logits(of: hidden, store.root)]))
    self.weights = (weights.values, weights.values)
  }

  /// Runs a step that nothing depends on, which reads all weights.
  ///
  /// - Precondition: no block is used.
  func warm() throws {
    let part = EngineStep.Part(
      id: 0, start: 0, tokens: [0], blocks: [0], slot: nil, isLast: true, isWriting: false)
    try run(EngineStep(parts: [part])) { _, _, _ in }
  }

  /// Bytes of the pools that one block takes.
  static func bytesOfBlock(
    _ model: any LanguageModel, _ weights: WeightBinding, _ limits: Scheduler.Limits, _ storage: CacheStorage
  ) -> Int {
    var one = limits
    one.blocks = 1
    return trace(model, weights.store, one, storage).caches.reduce(0) { $0 + $1.past.type.bytes }
  }

  struct Graph {
    /// tokens, positions, slots, sequences: int32, one for each row.
    var rows: [Tensor]
    var tables: Tensor
    /// [rows, width]
    var states: Tensor
    var caches: [CacheTensor]

    /// - Parameter extra: inputs behind the weights.
    func program(_ store: WeightStore, extra: [Tensor] = []) -> Program {
      let inputs = rows + [tables] + store.parameters.map { store.given($0.name) } + extra
      return Program(
        inputs: inputs + caches.map(\.past), outputs: [states] + caches.map(\.new),
        donating: Dictionary(uniqueKeysWithValues: caches.indices.map { (1 + $0, inputs.count + $0) }))
    }
  }

  static func trace(
    _ model: any LanguageModel, _ store: WeightStore, _ limits: Scheduler.Limits, _ storage: CacheStorage,
    _ pool: AdapterPool? = nil
  ) -> Graph {
    func each(_ name: String, _ shape: Shape) -> Tensor { .input(name, TensorType(.int32, shape)) }
    let rows = limits.tokens
    let tokens = each("tokens", Shape([rows, 1], varies: true))
    let places = ["positions", "slots", "sequences"].map { each($0, Shape([rows], varies: true)) }
    let blocks = (limits.context + limits.blockSize - 1) / limits.blockSize
    let tables = each("tables", [limits.running, blocks])
    let context = ModelContext.paged(
      PagedRows(
        positions: places[0], slots: places[1], sequences: places[2], tables: tables, blockSize: limits.blockSize,
        blocks: limits.blocks), storage: storage)
    let states = model.hidden(tokens, pool?.adapted(store.root) ?? store.root, context)
    return Graph(rows: [tokens] + places, tables: tables, states: states, caches: context.caches)
  }

  /// Sees to it that each of these adapters can take part in steps.
  ///
  /// - Parameter adapters: all that can be asked for.
  func makeRoom(for adapters: [LowRankAdapter]) throws {
    if let pool = adapted?.pool, adapters.allSatisfy(pool.hasRoom) { return }
    let pool = AdapterPool(adapters + placed.compactMap(\.self), places: limits.adapters)
    let graph = Self.trace(model, store, limits, storage, pool)
    let states = try backend.compile(graph.program(store, extra: pool.inputs))
    for (place, adapter) in placed.enumerated() {
      if let adapter { pool.write(adapter, to: place) }
    }
    adapted = (pool, states)
  }

  /// Puts an adapter, for which there is room, into a place.
  func place(_ adapter: LowRankAdapter, in slot: Int) {
    adapted!.pool.write(adapter, to: slot)
    placed[slot] = adapter
  }

  /// Computes a step.
  ///
  /// - Parameters:
  ///   - score: given the logits behind each token of the parts that `isScored` says, with the number of the token.
  ///   - receive: given the logits behind the last tokens of each part that is a text's last, as many as it wants, in
  ///     the order of the parts, and the number of the first among all that are wanted.
  func run(
    _ step: EngineStep, isScored: (EngineStep.Part) -> Bool,
    score: (EngineStep.Part, Int, UnsafeBufferPointer<Float>) -> Void,
    receive: (EngineStep.Part, _ row: Int, LogitRows) throws -> Void
  ) throws {
    let (count, wanted) = (step.count, step.wanted)
    precondition(count <= limits.tokens && step.parts.count <= limits.running, "\(count) tokens of \(step.parts.count)")
    fill(step)
    let given = rows.map { $0.prefix(count) }
    let hidden: TensorData
    if let adapted, step.parts.first?.slot != nil {
      adapted.pool.count(step)
      let inputs = given + [tables] + weights.states + adapted.pool.values + pools
      hidden = try adapted.states.run(inputs, extent: count)[0]
    } else {
      hidden = try states.run(given + [tables] + weights.states + pools, extent: count)[0]
    }
    var row = 0
    for part in step.parts {
      if isScored(part) { try self.score(part, hidden, row, score) }
      row += part.tokens.count
    }
    if wanted == 0 { return }
    gather(hidden, step)
    let logits = try logits.run([self.wanted.prefix(wanted)] + weights.logits, extent: wanted)[0]
    let values = logits.pointer.assumingMemoryBound(to: Float.self)
    var next = 0
    for part in step.parts where part.isLast {
      try receive(
        part, next, LogitRows(first: values + next * vocabulary, count: part.wanted, vocabulary: vocabulary))
      next += part.wanted
    }
  }

  /// Runs a step of which nothing but the next tokens is wanted.
  func run(_ step: EngineStep, receive: (EngineStep.Part, _ row: Int, LogitRows) throws -> Void) throws {
    try run(step, isScored: { _ in false }, score: { _, _, _ in }, receive: receive)
  }

  /// The hidden state whose logits are a row of those that a step's parts want, in their order.
  ///
  /// - Precondition: `receive` of that step is being called.
  func state(_ row: Int) -> [Float] {
    let bytes = width * wanted.type.element.size
    return TensorData(TensorType(wanted.type.element, [width]), pointer: wanted.pointer + row * bytes, owner: wanted)
      .floats
  }

  /// Computes the logits behind all tokens of a part, the first of which is a row of the step.
  private func score(
    _ part: EngineStep.Part, _ hidden: TensorData, _ row: Int,
    _ receive: (EngineStep.Part, Int, UnsafeBufferPointer<Float>) -> Void
  ) throws {
    let bytes = width * hidden.type.element.size
    var done = 0
    while done < part.tokens.count {
      let count = min(part.tokens.count - done, wanted.shape[0])
      wanted.pointer.copyMemory(from: hidden.pointer + (row + done) * bytes, byteCount: count * bytes)
      let logits = try logits.run([wanted.prefix(count)] + weights.logits, extent: count)[0]
      let rows = LogitRows(
        first: logits.pointer.assumingMemoryBound(to: Float.self), count: count, vocabulary: vocabulary)
      for offset in 0..<count { withExtendedLifetime(logits) { receive(part, done + offset, rows[offset]) } }
      done += count
    }
  }

  private func fill(_ step: EngineStep) {
    func pointer(_ data: TensorData) -> UnsafeMutablePointer<Int32> { data.pointer.assumingMemoryBound(to: Int32.self) }
    let (tokens, positions, slots, sequences) = (
      pointer(rows[0]), pointer(rows[1]), pointer(rows[2]), pointer(rows[3])
    )
    let table = pointer(tables)
    let size = limits.blockSize
    var row = 0
    for (sequence, part) in step.parts.enumerated() {
      let blocks = table + sequence * tables.shape[1]
      for (index, block) in part.blocks.enumerated() { blocks[index] = block }
      for (offset, token) in part.tokens.enumerated() {
        let position = part.start + offset
        tokens[row] = token
        positions[row] = Int32(position)
        slots[row] = blocks[position / size] * Int32(size) + Int32(position % size)
        sequences[row] = Int32(sequence)
        row += 1
      }
    }
  }

  /// Copies the last rows of each part, as many as it wants.
  private func gather(_ hidden: TensorData, _ step: EngineStep) {
    let bytes = width * hidden.type.element.size
    var (row, place) = (0, 0)
    for part in step.parts {
      row += part.tokens.count
      (wanted.pointer + place * bytes)
        .copyMemory(from: hidden.pointer + (row - part.wanted) * bytes, byteCount: part.wanted * bytes)
      place += part.wanted
    }
  }
}

/// The logits behind a text's last tokens, as long as the step's run is received.
struct LogitRows {
  fileprivate let first: UnsafePointer<Float>
  let count: Int
  fileprivate let vocabulary: Int

  fileprivate init(first: UnsafePointer<Float>, count: Int, vocabulary: Int) {
    (self.first, self.count, self.vocabulary) = (first, count, vocabulary)
  }

  subscript(row: Int) -> UnsafeBufferPointer<Float> {
    precondition((0..<count).contains(row), "row \(row) of \(count)")
    return UnsafeBufferPointer(start: first + row * vocabulary, count: vocabulary)
  }
}

extension TensorData {
  /// The first rows, in place.
  fileprivate func prefix(_ count: Int) -> TensorData {
    var dimensions = shape.dimensions
    dimensions[0] = count
    return TensorData(TensorType(type.element, Shape(dimensions)), pointer: pointer, owner: self)
  }
}
