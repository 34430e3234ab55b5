// The unigram language model (Kudo 2018): of all ways to cut a piece into tokens, the one with the highest sum of scores,
// found by Viterbi's algorithm over the positions between characters.
//
// Invariant: of equal sums the one with the earlier last token wins, as in the published encoders. `Score` is the type
// that they add in: Double in Hugging Face's, Float in SentencePiece, so that near ties fall alike.

final class UnigramModel<Score: BinaryFloatingPoint & Sendable>: SubwordModel {
  private let table: TokenTable
  private let trie: PieceTrie
  private let scores: [Score]
  private let unknownScore: Score
  private let fallback: Fallback
  let fingerprint: UInt64

  /// - Parameters:
  ///   - table: tokens without bytes are never matched.
  ///   - scores: one a token.
  ///   - lowest: the score that unknown characters are ten below.
  init(table: TokenTable, scores: [Score], lowest: Score, fallback: Fallback) {
    trie = PieceTrie(minimumCapacity: table.count * 3)
    for token in 0..<Int32(table.count) where !table[token].isEmpty { trie.insert(table[token], token: token) }
    self.table = table
    self.scores = scores
    unknownScore = lowest - 10
    self.fallback = fallback
    var hash = Hashing.fold(table.fingerprint, UInt64(bitPattern: Int64(fallback.unknown ?? -1)))
    for score in scores { hash = Hashing.fold(hash, Double(score).bitPattern) }
    fingerprint = Hashing.fold(hash, fallback.bytes == nil ? 0 : 1)
  }

  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    let count = piece.count
    // The best way to reach each position: its score, where its last token starts, and that token (-1: unknown).
    withUnsafeTemporaryAllocation(of: Score.self, capacity: count + 1) { best in
      withUnsafeTemporaryAllocation(of: Int64.self, capacity: count + 1) { last in
        last.initialize(repeating: -1)
        best.initialize(repeating: 0)
        search(piece, best, last)
        let first = scratch.count
        // The path from the end, written over the front of `last` backwards from its own end.
        var position = count
        var write = count
        while position > 0 {
          let step = last[position]
          last[write] = step
          write -= 1
          position = Int(step >> 32)
        }
        var unknownStart: Int?
        func appendUnknown(upTo end: Int) {
          guard let start = unknownStart else { return }
          unknownStart = nil
          let text = UnsafeBufferPointer(rebasing: piece[start..<end])
          if let token = table.token(of: UnsafeRawBufferPointer(text)) {
            scratch.append(token)
          } else {
            fallback.append(text, scratch, since: first)
          }
        }
        for index in write + 1...count {
          let start = Int(last[index] >> 32)
          let token = Int32(truncatingIfNeeded: last[index])
          // The unknown token as it is spelled is unknown, too, and one with its unknown neighbours.
          if token < 0 || token == fallback.unknown {
            unknownStart = unknownStart ?? start
          } else {
            appendUnknown(upTo: start)
            scratch.append(token)
          }
        }
        appendUnknown(upTo: count)
      }
    }
  }

  private func search(
    _ piece: UnsafeBufferPointer<UInt8>, _ best: UnsafeMutableBufferPointer<Score>,
    _ last: UnsafeMutableBufferPointer<Int64>
  ) {
    var position = 0
    while position < piece.count {
      let scored = best[position]
      let characterEnd = position + UTF8Scan.scalar(piece.baseAddress!, position, piece.count).length
      var hasSingle = false
      trie.forEachMatch(piece, from: position) { end, token in
        let candidate = scored + scores[Int(token)]
        if last[end] < 0 || candidate > best[end] {
          best[end] = candidate
          last[end] = Int64(position) << 32 | Int64(token)
        }
        if end == characterEnd { hasSingle = true }
      }
      if !hasSingle {
        let candidate = scored + unknownScore
        if last[characterEnd] < 0 || candidate > best[characterEnd] {
          best[characterEnd] = candidate
          last[characterEnd] = Int64(position) << 32 | 0xFFFF_FFFF
        }
      }
      position = characterEnd
    }
  }
}
