// Pipelines around the products of sm_100a: what a product has read, or written to tensor memory, is told by a commit, not by an
// arrival: it may still be under way when the thread goes on.

extension Pipeline {
  /// Gives a stage back as soon as this thread's products have read it.
  ///
  /// - Parameter pair: whether two blocks multiply together, whose stages are given back together.
  public func releaseAfterProducts(stage: Value<U32>, pair: Bool = false) {
    let builder = Value<U32>.builder(stage.owner)
    builder.commitTensor(empty(stage), blocks: pair ? builder.variable(Value<U16>(0b11)) : nil, pair: pair)
  }

  /// Lets the users have a stage as soon as this thread's products have written it.
  public func fillAfterProducts(stage: Value<U32>, pair: Bool = false) {
    let builder = Value<U32>.builder(stage.owner)
    builder.commitTensor(full(stage), blocks: pair ? builder.variable(Value<U16>(0b11)) : nil, pair: pair)
  }

  /// Fills a stage of two blocks that multiply together, each with copies of its own; by one thread of each block. The first block's
  /// barrier hears of all bytes.
  public func fillPair(_ cursor: Cursor, _ copies: [TileCopy], rank: Value<U32>) {
    waitUntilEmpty(cursor)
    let builder = Value<U32>.builder(rank.owner)
    let barrier = full(cursor.stage)
    builder.when(rank .== 0) { barrier.arrive(expecting: Value(2 * copies.reduce(0) { $0 + $1.bytes })) }
    let ofFirst = Barrier(Pointer(barrier.pointer.inBlock(0).base))
    for copy in copies { copy.emit(builder, ofFirst) }
  }
}
