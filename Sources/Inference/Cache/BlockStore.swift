// Where blocks of keys and values are kept beyond the pool.
//
// Invariant: a key stands for all that a block's contents depend on: what keeps texts apart, and every token up to the block's
// end. Equal keys, equal bits.

internal import Crypto

/// Names the contents of a block.
package struct BlockKey: Hashable, Sendable {
  /// SHA-256.
  package let bytes: [UInt8]

  package init(bytes: [UInt8]) { self.bytes = bytes }

  /// Before the first block.
  init(_ root: PrefixTree.Root) {
    var hash = SHA256()
    for name in [root.adapter, root.salt] {
      // With their lengths, so that no two pairs give the same bytes.
      withUnsafeBytes(of: UInt64(name.utf8.count).littleEndian) { hash.update(bufferPointer: $0) }
      hash.update(data: Array(name.utf8))
    }
    bytes = Array(hash.finalize())
  }

  /// Of the block that follows with some tokens.
  func following(_ tokens: ArraySlice<Int32>) -> BlockKey {
    var hash = SHA256()
    hash.update(data: bytes)
    tokens.withUnsafeBytes { hash.update(bufferPointer: $0) }
    return BlockKey(bytes: Array(hash.finalize()))
  }
}

/// Keeps copies of blocks.
package protocol BlockStore: AnyObject, Sendable {
  func contains(_ key: BlockKey) -> Bool

  /// Copies what is kept into a block of the pool.
  ///
  /// - Returns: whether it was there; if not, the block holds anything.
  func load(_ key: BlockKey, into block: Int32) -> Bool

  /// Keeps a copy of a block, soon.
  func save(_ key: BlockKey, from block: Int32)
}
