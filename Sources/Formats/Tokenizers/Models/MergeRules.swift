// The merge loop: which two neighbours join next.
//
// Invariant of both loops: always the pair with the lowest rank, the leftmost of equals, exactly as the published
// encoders do; the short loop scans for it (quadratic, but pieces are words), the long one keeps a heap (n log n).

/// Ranks and results of all merges, for encoding.
final class MergeRules: @unchecked Sendable {
  /// Pieces up to this many bytes take the scanning loop.
  static let shortPiece = 96

  /// No merge; larger than every packed value.
  private static let none = UInt64.max
  private static let rankBits: UInt64 = 0xFFFF_FFFF_0000_0000

  /// rank << 32 | result
  private let pairs: PairTable

  /// Rules whose values are rank << 32 | result.
  init(pairs: consuming PairTable) { self.pairs = pairs }

  /// The rules of a vocabulary of byte strings.
  convenience init(table: TokenTable, merges: BytePairEncoding.Merges) throws(FormatsError) {
    switch merges {
    case .list(let list): self.init(pairs: try Self.ranked(list, table))
    case .vocabulary: self.init(pairs: Self.derived(table) { UInt64($0) })
    }
  }

  private static func ranked(
    _ list: [(left: Int32, right: Int32)], _ table: TokenTable
  ) throws(FormatsError) -> PairTable {
    var pairs = PairTable(minimumCapacity: list.count)
    var joined: [UInt8] = []
    for (rank, merge) in list.enumerated() {
      guard (0..<table.count).contains(Int(merge.left)), (0..<table.count).contains(Int(merge.right)) else {
        throw FormatsError(.malformed, "Merge \(rank) joins tokens that are not in the vocabulary.")
      }
      joined.removeAll(keepingCapacity: true)
      joined.append(contentsOf: table[merge.left])
      joined.append(contentsOf: table[merge.right])
      guard let result = joined.withUnsafeBytes({ table.token(of: $0) }) else {
        throw FormatsError(
          .malformed,
          "Merge \(rank) makes '\(String(decoding: joined, as: UTF8.self))', which is not in the vocabulary.")
      }
      _ = pairs.insert(merge.left, merge.right, UInt64(rank) << 32 | UInt64(result))
    }
    return pairs
  }

  /// A rule for each two tokens that make a third, with the rank that `rank` gives that one.
  static func derived(_ table: TokenTable, rank: (Int32) -> UInt64) -> PairTable {
    var pairs = PairTable(minimumCapacity: table.count * 3)
    table.bytes.withUnsafeBytes { all in
      for result in 0..<table.count {
        let start = Int(table.offsets[result])
        let end = Int(table.offsets[result + 1])
        guard end - start >= 2 else { continue }
        for middle in start + 1..<end {
          guard let left = table.token(of: UnsafeRawBufferPointer(rebasing: all[start..<middle])),
            let right = table.token(of: UnsafeRawBufferPointer(rebasing: all[middle..<end]))
          else { continue }
          _ = pairs.insert(left, right, rank(Int32(result)) << 32 | UInt64(result))
        }
      }
    }
    return pairs
  }

  @inline(__always)
  private func merge(_ left: Int32, _ right: Int32) -> UInt64 { pairs[left, right] ?? Self.none }

  /// Merges the first `count >= 1` tokens of the scratch's symbols and appends what comes out.
  func merge(_ count: Int, _ scratch: EncodingScratch) {
    if count <= Self.shortPiece { mergeShort(count, scratch) } else { mergeLong(count, scratch) }
  }

  private func mergeShort(_ count: Int, _ scratch: EncodingScratch) {
    let tokens = scratch.symbols.tokens.baseAddress!
    let merges = scratch.symbols.pairs.baseAddress!
    var length = count
    for position in 0..<count - 1 { merges[position] = merge(tokens[position], tokens[position + 1]) }
    while length > 1 {
      var best = merges[0] >> 32
      var at = 0
      var position = 1
      while position < length - 1 {
        let rank = merges[position] >> 32
        if rank < best {
          best = rank
          at = position
        }
        position += 1
      }
      let merged = merges[at]
      if merged == Self.none { break }
      tokens[at] = Int32(truncatingIfNeeded: merged)
      length -= 1
      position = at + 1
      while position < length {
        tokens[position] = tokens[position + 1]
        merges[position - 1] = merges[position]
        position += 1
      }
      // merges[p] belongs to the pair (p, p + 1); only the two around the new token change.
      if at > 0 { merges[at - 1] = merge(tokens[at - 1], tokens[at]) }
      if at + 1 < length { merges[at] = merge(tokens[at], tokens[at + 1]) }
    }
    for position in 0..<length { scratch.append(tokens[position]) }
  }

  private func mergeLong(_ count: Int, _ scratch: EncodingScratch) {
    let tokens = scratch.symbols.tokens.baseAddress!
    let merges = scratch.symbols.pairs.baseAddress!
    let next = scratch.symbols.next.baseAddress!
    let previous = scratch.symbols.previous.baseAddress!
    for position in 0..<count {
      next[position] = position + 1 < count ? Int32(position + 1) : -1
      previous[position] = Int32(position - 1)
    }
    // Entries are rank << 32 | position; one is stale if the pair at its position has another rank by now.
    var heap = MinimumHeap<UInt64>(minimumCapacity: count)
    for position in 0..<count {
      merges[position] = position + 1 < count ? merge(tokens[position], tokens[position + 1]) : Self.none
      if merges[position] != Self.none { heap.insert(merges[position] & Self.rankBits | UInt64(position)) }
    }
    func renew(_ position: Int) {
      merges[position] = next[position] < 0 ? Self.none : merge(tokens[position], tokens[Int(next[position])])
      if merges[position] != Self.none { heap.insert(merges[position] & Self.rankBits | UInt64(position)) }
    }
    while let entry = heap.removeMinimum() {
      let position = Int(entry & 0xFFFF_FFFF)
      guard merges[position] != Self.none, merges[position] >> 32 == entry >> 32 else { continue }
      tokens[position] = Int32(truncatingIfNeeded: merges[position])
      let gone = Int(next[position])
      next[position] = next[gone]
      if next[gone] >= 0 { previous[Int(next[gone])] = Int32(position) }
      merges[gone] = Self.none
      renew(position)
      if previous[position] >= 0 { renew(Int(previous[position])) }
    }
    var position = 0
    while position >= 0 {
      scratch.append(tokens[position])
      position = Int(next[position])
    }
  }
}
