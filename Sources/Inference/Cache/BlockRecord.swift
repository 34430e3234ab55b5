// A block of the cache outside of it: as a file's contents, or on its way to another engine.
//
// 8 bytes that say what it is, the block's key, the XXH64 of what follows, and the block's part of every pool, one after the other.
//
// Invariant: what is damaged anywhere, or is another block's, is not read.

internal import Core
package import Tensors

/// The parts of a record.
package enum BlockRecord {
  static let magic = Array("tchnkv1\n".utf8)
  /// Bytes in front of the contents.
  package static let headerBytes = magic.count + 32 + 8

  /// What stands in front of contents.
  package static func header(_ key: BlockKey, _ contents: [UInt8]) -> [UInt8] {
    magic + key.bytes + withUnsafeBytes(of: Checksum.of(contents).littleEndian) { Array($0) }
  }

  /// The checksum of what follows on a header; nil: it is no header, or another block's.
  static func checksum(in header: UnsafeRawBufferPointer, of key: BlockKey) -> UInt64? {
    let expected = magic + key.bytes
    guard header.count >= headerBytes, header.prefix(expected.count).elementsEqual(expected) else { return nil }
    return UInt64(littleEndian: header.loadUnaligned(fromByteOffset: expected.count, as: UInt64.self))
  }

  /// The contents of a whole record; nil: it is not this block's, or damaged.
  static func contents(of record: UnsafeRawBufferPointer, _ key: BlockKey, bytes: Int) -> UnsafeRawBufferPointer? {
    guard record.count == headerBytes + bytes, let sum = checksum(in: record, of: key) else { return nil }
    let contents = UnsafeRawBufferPointer(rebasing: record[headerBytes...])
    return Checksum.of(contents) == sum ? contents : nil
  }
}

/// The memory in which the blocks of a cache stand: a part of every pool each. The engine's thread alone uses it.
package struct BlockMemory: Sendable {
  private let pools: [TensorData]
  /// Bytes of a block in each pool.
  private let sizes: [Int]
  /// Bytes of a block.
  let bytes: Int

  /// - Parameter blocks: in each pool.
  package init(_ pools: [TensorData], blocks: Int) {
    self.pools = pools
    sizes = pools.map { $0.type.bytes / blocks }
    bytes = sizes.reduce(0, +)
  }

  /// A copy of a block.
  func read(_ block: Int32) -> [UInt8] {
    var contents: [UInt8] = []
    contents.reserveCapacity(bytes)
    for (pool, size) in zip(pools, sizes) {
      contents += UnsafeRawBufferPointer(start: pool.pointer + Int(block) * size, count: size)
    }
    return contents
  }

  /// - Precondition: the contents are a block's.
  func write(_ contents: UnsafeRawBufferPointer, to block: Int32) {
    precondition(contents.count == bytes, "\(contents.count) bytes for a block of \(bytes)")
    guard var start = contents.baseAddress else { return }
    for (pool, size) in zip(pools, sizes) {
      (pool.pointer + Int(block) * size).copyMemory(from: start, byteCount: size)
      start += size
    }
  }
}
