// A pipeline: stages of shared memory that one side fills and the other side uses, with two barriers a stage.
//
// `full` counts one arrival, the filler's, and the bytes of the copies; `empty` counts one arrival of each user. The bytes are the
// sum over the copies of a fill and the number of users is the pipeline's own, so neither can be mistyped. A filler begins with
// the parity that passes on fresh barriers, so nobody has to arrive in advance.
//
// Invariant: the k-th fill of a stage waits for the users' k-1-th release of it, a use for the k-th fill.

/// Stages of shared memory between a filler and users.
public struct Pipeline {
  public let stages: Int
  private let full: Pointer<U64, Shared>
  private let empty: Pointer<U64, Shared>
  private let builder: KernelBuilder
  /// Who is waited for: across blocks if users are.
  private let scope: KernelBuilder.Scope

  /// Sets the barriers aside and up; afterwards the block, or the cluster, synchronises (`Pipeline.publish`).
  ///
  /// - Parameters:
  ///   - users: how many arrivals release a stage: groups of users, times the blocks whose users share this one's stages.
  ///   - spansCluster: whether users of other blocks release stages of this one.
  public init(_ k: KernelBuilder, stages: Int, users: Int, spansCluster: Bool = false) {
    self.stages = stages
    builder = k
    scope = spansCluster ? .cluster : .block
    full = k.shared(U64.self, count: stages, alignment: 8)
    empty = k.shared(U64.self, count: stages, alignment: 8)
    k.when(k.thread.x .== 0) {
      for stage in 0..<stages {
        Barrier(full.advanced(stage)).initialise(arrivals: 1)
        Barrier(empty.advanced(stage)).initialise(arrivals: users)
      }
      k.fenceBarriers()
    }
  }

  /// Lets all threads see the barriers of the pipelines that were made; by all of them.
  public static func publish(_ k: KernelBuilder, cluster: Bool) {
    if cluster { k.synchroniseCluster() } else { k.synchronise() }
  }

  func full(_ stage: Value<U32>) -> Barrier { Barrier(full + stage) }
  func empty(_ stage: Value<U32>) -> Barrier { Barrier(empty + stage) }

  /// Where a side of the pipeline is.
  public func cursor() -> Cursor {
    Cursor(stage: builder.variable(Value<U32>(0)), parity: builder.variable(Value<U32>(0)), stages: stages, builder)
  }

  /// Waits until the stage may be written again.
  public func waitUntilEmpty(_ cursor: Cursor) { empty(cursor.stage).wait(parity: cursor.parity ^ 1, scope) }

  /// Fills a stage by tensor copies, by one thread: waits for the stage, promises the bytes, copies.
  public func fill(_ cursor: Cursor, _ copies: [TileCopy]) {
    waitUntilEmpty(cursor)
    full(cursor.stage).fill(copies)
  }

  /// Waits until the stage is filled.
  public func waitUntilFull(_ cursor: Cursor) { full(cursor.stage).wait(parity: cursor.parity) }

  /// Gives a stage back; by one thread of each group of users.
  ///
  /// - Parameter block: of the cluster, whose filler waits for it; nil: this one's.
  public func release(stage: Value<U32>, toBlock block: Value<U32>? = nil) {
    if let block { empty(stage).arrive(inBlock: block) } else { empty(stage).arrive() }
  }

  /// A stage and the parity of its round.
  public struct Cursor {
    public let stage: Value<U32>
    public let parity: Value<U32>
    let stages: Int
    let builder: KernelBuilder

    init(stage: Value<U32>, parity: Value<U32>, stages: Int, _ builder: KernelBuilder) {
      (self.stage, self.parity, self.stages, self.builder) = (stage, parity, stages, builder)
    }

    /// On to the next stage.
    public func advance() {
      stage += 1
      let wraps = stage .== Value(stages)
      stage.assign(builder.select(wraps, 0, stage))
      parity.assign(builder.select(wraps, parity ^ 1, parity))
    }
  }
}

extension Barrier {
  /// Arrives, promises the bytes of the copies, and starts them: by one thread.
  public func fill(_ copies: [TileCopy]) {
    let builder = Value<U32>.builder(pointer.base.owner)
    arrive(expecting: Value(copies.reduce(0) { $0 + $1.bytes }))
    for copy in copies { copy.emit(builder, self) }
  }
}

/// Tensor copies that bring one tile.
public struct TileCopy {
  /// What a fill's barrier waits for: the whole tile, also where it reaches out of the tensor.
  public let bytes: Int
  let emit: (KernelBuilder, Barrier) -> Void

  /// - Parameters:
  ///   - map: made by the tile's layout.
  ///   - column: of the tile's first element in the matrix.
  ///   - row: of the tile's first element in the matrix.
  ///   - more: further coordinates, as the batch.
  ///   - blocks: a bit for each block of the cluster that receives the tile, and the predicate that says whether this block is the
  ///     one that sends it. Each block's barrier hears of its own bytes.
  ///   - isPair: whether two blocks multiply together, the first of which has the barrier for both.
  public init<E: ElementOfMemory>(
    _ tile: SharedTile<E>, _ map: Value<U64>, column: Value<S32>, row: Value<S32>, more: [Value<S32>] = [],
    multicast: (blocks: Value<U16>, isSender: Value<Predicate>)? = nil, policy: Value<U64>? = nil,
    isPair: Bool = false
  ) {
    bytes = tile.layout.bytes
    emit = { k, barrier in
      let copy = {
        for panel in 0..<tile.layout.panels {
          let first = panel == 0 ? column : column + Value(panel * tile.layout.panelColumns)
          k.copyTensor(
            to: tile.panel(panel), from: map, at: [first, row] + more, barrier, blocks: multicast?.blocks,
            policy: policy, pair: isPair)
        }
      }
      if let multicast { k.when(multicast.isSender, copy) } else { copy() }
    }
  }
}
