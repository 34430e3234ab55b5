// Blocks of one text's beginning on their way from one engine to another: a head, then the records of consecutive blocks.
//
//   8 bytes that say what it is | the fingerprint of the cache, 32 digits | bytes of a block | the number of the first | XXH64 of this
//
// Whoever reads knows the text, and so every block's key: nothing is believed that a sender says. A stream may end behind any block.
//
// Invariant: only whole blocks that were asked for come out, in their order, with the bits that were sent; after an error, none.
// No more memory is used than one block has, whatever comes.

internal import Core

/// What must be equal for engines to use each other's blocks.
package struct BlockForm: Sendable, Hashable {
  /// Of the model and of whatever a block's contents depend on besides tokens: 32 digits.
  package let fingerprint: String
  /// Tokens of a block.
  package let tokens: Int
  /// Bytes of a block.
  package let bytes: Int

  package init(fingerprint: String, tokens: Int, bytes: Int) {
    (self.fingerprint, self.tokens, self.bytes) = (fingerprint, tokens, bytes)
  }
}

/// A text by what its blocks depend on. Texts with adapters have no name that engines share, and do not move.
package struct MovedText: Sendable {
  package var tokens: [Int32]
  /// Keeps texts apart, as that of requests.
  package var salt: String

  package init(tokens: [Int32], salt: String = "") { (self.tokens, self.salt) = (tokens, salt) }

  var root: PrefixTree.Root { PrefixTree.Root(salt: salt) }

  /// The keys of its full blocks.
  package func keys(blockSize: Int) -> [BlockKey] {
    var key = BlockKey(root)
    return (0..<(tokens.count / blockSize)).map { block in
      key = key.following(tokens[(block * blockSize)..<((block + 1) * blockSize)])
      return key
    }
  }
}

/// Why a stream of blocks is not read further.
package enum BlockStreamError: Error, Equatable {
  /// It is of another model or another kind of cache.
  case otherForm
  /// It is no such stream, is damaged, ends within a block, or holds what was not asked for.
  case damaged(String)
}

/// Reads a stream of blocks, cut anyhow.
package struct BlockStreamReader {
  private static let magic = Array("tchnkvs1".utf8)
  private static let headBytes = 8 + 32 + 8 + 8 + 8

  private enum Stage {
    case head, header
    case contents(sum: UInt64)
  }

  private let head: [UInt8]
  private let bytes: Int
  private var wanted: ArraySlice<BlockKey>
  private var stage = Stage.head
  private var part: [UInt8] = []
  private var error: BlockStreamError?

  /// - Parameters:
  ///   - wanted: the keys of the blocks that were asked for.
  ///   - first: the number of the first of them in its text.
  package init(_ wanted: ArraySlice<BlockKey>, first: Int, form: BlockForm) {
    (self.wanted, bytes, head) = (wanted, form.bytes, Self.head(form, first: first))
  }

  /// The beginning of a stream.
  package static func head(_ form: BlockForm, first: Int) -> [UInt8] {
    var head = magic + Array(form.fingerprint.utf8)
    for number in [form.bytes, first] { withUnsafeBytes(of: UInt64(number).littleEndian) { head += $0 } }
    withUnsafeBytes(of: Checksum.of(head).littleEndian) { head += $0 }
    return head
  }

  /// Takes the next bytes.
  ///
  /// - Returns: the contents of the blocks that are whole now.
  package mutating func read(_ new: some Sequence<UInt8>) throws(BlockStreamError) -> [[UInt8]] {
    if let error { throw error }
    var result: [[UInt8]] = []
    var rest = Array(new)[...]
    do throws(BlockStreamError) {
      while !rest.isEmpty {
        if case .header = stage, wanted.isEmpty { throw .damaged("it goes on behind the last block") }
        let count = min(needed - part.count, rest.count)
        part += rest.prefix(count)
        rest = rest.dropFirst(count)
        if part.count == needed, let block = try finishPart() { result.append(block) }
      }
    } catch {
      self.error = error
      throw error
    }
    return result
  }

  /// The stream has ended.
  package mutating func finish() throws(BlockStreamError) {
    if case .header = stage, part.isEmpty {} else { error = error ?? .damaged("it ends within a block") }
    if let error { throw error }
  }

  /// Bytes of the part that is being read.
  private var needed: Int {
    switch stage {
    case .head: Self.headBytes
    case .header: BlockRecord.headerBytes
    case .contents: bytes
    }
  }

  /// Looks at a part that is whole: a block, if it is one's contents.
  private mutating func finishPart() throws(BlockStreamError) -> [UInt8]? {
    defer { part = [] }
    switch stage {
    case .head:
      // Equal up to the fingerprint and whole: the other engine's cache is another.
      let isWhole = Checksum.of(Array(part.dropLast(8))) == part.suffix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
      guard part.starts(with: Self.magic), isWhole else { throw .damaged("its head is none") }
      if part[8..<48] != head[8..<48] { throw .otherForm }
      if part != head { throw .damaged("it begins with another block") }
      stage = .header
    case .header:
      guard let sum = part.withUnsafeBytes({ BlockRecord.checksum(in: $0, of: wanted.first!) }) else {
        throw .damaged("a block is not the one that was asked for")
      }
      stage = .contents(sum: sum)
    case .contents(let sum):
      guard Checksum.of(part) == sum else { throw .damaged("a block's contents are not what was sent") }
      wanted.removeFirst()
      stage = .header
      return part
    }
    return nil
  }
}
