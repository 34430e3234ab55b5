// A block's part of tensor memory: what it may still allocate, and the order of its products.
//
// Invariant: products, copies and commits of a block, or of the two blocks of a pair, land in the order of their issue.

internal import KernelLanguage

/// What a block of sm_100 has done with tensor memory.
final class TensorBlock: Waitable {
  private unowned let block: ThreadBlock
  /// Of the block's multiprocessor.
  let memory: TensorMemory
  /// The chain that products land in.
  let chain: Int
  var hasRelinquished = false
  /// Of the last allocation; later ones may not be larger.
  var lastColumns = TensorMemory.columns
  /// `.cta_group` of the first instruction that had one: all of a kernel have the same.
  private var group: Int?
  /// An allocation together with the other block of the pair: what is asked for, and what came of it.
  var requested: Int?
  var granted: Int?

  init(_ block: ThreadBlock) {
    self.block = block
    let launch = block.cluster.launch
    memory = launch.tensorMemories[block.multiprocessor] ?? TensorMemory()
    launch.tensorMemories[block.multiprocessor] = memory
    chain = launch.effects.newChain()
  }

  var waitDescription: String {
    "tcgen05.alloc of \(requested ?? 0) columns by the other block of its pair, with .cta_group::2"
  }

  /// Throws unless all instructions of the block are for so many blocks.
  func require(group: Int) throws(EmulatorError) {
    guard self.group ?? group == group else {
      throw EmulatorError(
        .tensorMemory,
        "tcgen05 with .cta_group::\(group) in a kernel that has used .cta_group::\(self.group!): all have the same")
    }
    self.group = group
  }

  /// The block that this one is paired with: its rank differs in the last bit.
  func peer() throws(EmulatorError) -> ThreadBlock {
    let rank = block.rank ^ 1
    guard rank < block.cluster.blocks.count else {
      throw EmulatorError(
        .tensorMemory,
        "block \(block.name) has no peer for .cta_group::2: launch clusters with an even number of blocks")
    }
    let peer = block.cluster.blocks[rank]
    guard !peer.isFinished else {
      throw EmulatorError(
        .exitedPeer,
        "block \(peer.name) has exited while its peer still uses both: close with barrier.cluster.arrive and .wait")
    }
    return peer
  }

  /// The blocks of a pair, the even one first, or this block alone.
  func blocks(group: Int) throws(EmulatorError) -> [ThreadBlock] {
    if group == 1 { return [block] }
    let peer = try peer()
    return block.rank < peer.rank ? [block, peer] : [peer, block]
  }

  /// Throws if the block ends with columns that it has not given back.
  func requireFreed() throws(EmulatorError) {
    let columns = memory.columns(of: block)
    guard columns.isEmpty else {
      throw EmulatorError(
        .tensorMemory,
        "block \(block.name) exits without having given back \(columns.map { "\($0.count)" }.joined(separator: " and ")) columns of "
          + "tensor memory: run tcgen05.dealloc before the end")
    }
  }
}
