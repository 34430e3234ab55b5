// How often each piece occurs: what training needs of a corpus, however large.
//
// Open addressing over an arena of bytes; memory grows with the number of distinct pieces, not with the text.

/// A multiset of byte strings.
struct PieceCounts: Sendable {
  private var arena: [UInt8] = []
  private var starts: [Int] = [0]
  private(set) var counts: [Int] = []
  private var hashes: [UInt64] = []
  private var index = [Int32](repeating: -1, count: 1 << 12)

  /// Number of distinct pieces.
  var distinct: Int { counts.count }

  /// The bytes of the distinct piece number `piece`.
  subscript(piece: Int) -> ArraySlice<UInt8> { arena[starts[piece]..<starts[piece + 1]] }

  /// Counts all pieces of a text.
  mutating func add(_ text: UnsafeBufferPointer<UInt8>, rule: SplitRule) {
    rule.forEachPiece(of: text) { add(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: text[$0])), times: 1) }
  }

  /// Adds the counts of another multiset.
  mutating func add(_ other: PieceCounts) {
    other.arena.withUnsafeBytes { bytes in
      for piece in 0..<other.distinct {
        let range = other.starts[piece]..<other.starts[piece + 1]
        add(UnsafeRawBufferPointer(rebasing: bytes[range]), times: other.counts[piece])
      }
    }
  }

  mutating func add(_ piece: UnsafeRawBufferPointer, times: Int) {
    let hash = Hashing.bytes(piece)
    var slot = Int(truncatingIfNeeded: hash) & (index.count - 1)
    while index[slot] >= 0 {
      let known = Int(index[slot])
      if hashes[known] == hash, equals(known, piece) {
        counts[known] += times
        return
      }
      slot = (slot + 1) & (index.count - 1)
    }
    index[slot] = Int32(counts.count)
    arena.append(contentsOf: piece)
    starts.append(arena.count)
    counts.append(times)
    hashes.append(hash)
    if counts.count * 2 > index.count { grow() }
  }

  private func equals(_ known: Int, _ piece: UnsafeRawBufferPointer) -> Bool {
    let start = starts[known]
    guard starts[known + 1] - start == piece.count else { return false }
    return arena.withUnsafeBytes { bytes in
      for position in 0..<piece.count where bytes[start + position] != piece[position] { return false }
      return true
    }
  }

  private mutating func grow() {
    index = [Int32](repeating: -1, count: index.count * 2)
    for known in hashes.indices {
      var slot = Int(truncatingIfNeeded: hashes[known]) & (index.count - 1)
      while index[slot] >= 0 { slot = (slot + 1) & (index.count - 1) }
      index[slot] = Int32(known)
    }
  }
}
