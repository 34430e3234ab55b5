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
  /// The layers whose inputs drafts are made from.
  private let watched: [Int]
  private let states: any Executable
  /// For steps with adapters, and what stands in their places.
  private var adapted: (pool: AdapterPool, states: any Executable)?
  private var placed: [LowRankAdapter?]
  private let logits: any Executable
  private let weights: (states: [TensorData], logits: [TensorData])
  let pools: [TensorData]
  let memory: BlockMemory
  private let width: Int
  let vocabulary: Int
  private let inputs: StepInputs
  /// Of each row of the last step, what drafts are made from: the watched layers' inputs side by side, or the hidden states.
  ///
  /// - Precondition: no other step has begun.
  private(set) var features: TensorData?
  /// The hidden states whose logits are wanted.
  private let wanted: TensorData

  /// - Parameters:
  ///   - limits: `blocks` and all others.
  ///   - watched: layers whose inputs are `features`.
  init(
    _ model: any LanguageModel, _ weights: WeightBinding, _ limits: Scheduler.Limits, storage: CacheStorage,
    watched: [Int] = [], backend: any Backend
  ) throws {
    (self.limits, self.model, self.storage, self.backend) = (limits, model, storage, backend)
    self.watched = watched
    vocabulary = model.vocabulary
    let store = weights.store
    self.store = store
    placed = Array(repeating: nil, count: limits.adapters)
    let graph = StepRunner.trace(model, store, limits, storage, watched: watched)
    width = graph.states.shape[1]
    pools = graph.caches.map { TensorData($0.past.type) }
    memory = BlockMemory(pools, blocks: limits.blocks)
    inputs = StepInputs(graph.layout)
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

  /// Reads all weights, and runs a step that nothing depends on.
  ///
  /// - Precondition: no block is used.
  func warm() throws {
    // The step reads few of the experts and of the embedding.
    weights.states.touch(scratch: wanted)
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
    var layout: StepLayout
    /// [rows, width]
    var states: Tensor
    /// [rows, watched layers · width]; nil: none are watched.
    var features: Tensor?
    var caches: [CacheTensor]

    /// - Parameter extra: inputs behind the weights.
    func program(_ store: WeightStore, extra: [Tensor] = []) -> Program {
      let inputs = layout.inputs + store.parameters.map { store.given($0.name) } + extra
      let outputs = [states] + (features.map { [$0] } ?? [])
      return Program(
        inputs: inputs + caches.map(\.past), outputs: outputs + caches.map(\.new),
        donating: Dictionary(uniqueKeysWithValues: caches.indices.map { (outputs.count + $0, inputs.count + $0) }))
    }
  }

  static func trace(
    _ model: any LanguageModel, _ store: WeightStore, _ limits: Scheduler.Limits, _ storage: CacheStorage,
    _ pool: AdapterPool? = nil, watched: [Int] = []
  ) -> Graph {
    let layout = StepLayout(limits)
    let context = ModelContext.paged(layout.paged, storage: storage)
    context.watch(watched)
    let states = model.hidden(layout.tokens, pool?.adapted(store.root) ?? store.root, context)
    let seen = watched.map { context.seen[$0]!.flattened(from: 0, through: 1) }
    return Graph(
      layout: layout, states: states, features: seen.isEmpty ? nil : .concatenate(seen, axis: -1),
      caches: context.caches)
  }

  /// Sees to it that each of these adapters can take part in steps.
  ///
  /// - Parameter adapters: all that can be asked for.
  func makeRoom(for adapters: [LowRankAdapter]) throws {
    if let pool = adapted?.pool, adapters.allSatisfy(pool.hasRoom) { return }
    let pool = AdapterPool(adapters + placed.compactMap(\.self), places: limits.adapters)
    let graph = Self.trace(model, store, limits, storage, pool, watched: watched)
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
    precondition(count <= limits.tokens && step.sequences <= limits.sequences, "\(count) tokens of \(step.sequences)")
    for part in step.parts { for branch in part.branches { prepare(branch, of: part) } }
    let given = inputs.values(step) + weights.states
    let results: [TensorData]
    if let adapted, step.parts.first?.slot != nil {
      adapted.pool.count(step)
      results = try adapted.states.run(given + adapted.pool.values + pools, extent: count)
    } else {
      results = try states.run(given + pools, extent: count)
    }
    let hidden = results[0]
    features = watched.isEmpty ? hidden : results[1]
    var row = 0
    for part in step.parts {
      if isScored(part) { try self.score(part, hidden, row, score) }
      row += part.rows
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

  /// Copies to a branch what the text has in the block that the branch writes first: the positions before its last token's.
  private func prepare(_ branch: EngineStep.Branch, of part: EngineStep.Part) {
    let (block, count) = (part.start / limits.blockSize, part.start % limits.blockSize)
    pools.copyPositions(count, from: part.blocks[block], to: branch.blocks[block], blockSize: limits.blockSize)
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

  /// Copies the rows of each part that it wants.
  private func gather(_ hidden: TensorData, _ step: EngineStep) {
    let bytes = width * hidden.type.element.size
    var (row, place) = (0, 0)
    func copy(_ first: Int, _ count: Int) {
      (wanted.pointer + place * bytes).copyMemory(from: hidden.pointer + first * bytes, byteCount: count * bytes)
      place += count
    }
    for part in step.parts {
      if part.isLast { copy(row + part.firstRow(nil), 1 + part.drafted) }
      for (branch, way) in part.branches.enumerated() where !way.tokens.isEmpty {
        copy(row + part.firstRow(branch) + 1, way.tokens.count)
      }
      row += part.rows
    }
  }
}
