// The two simplest models: a word is looked up whole (WordLevel), or cut greedily into the longest known parts, where those
// inside a word are spelled with a prefix such as `##` (WordPiece: Schuster, Nakajima 2012; Wu et al. 2016).

/// One token a word.
final class WordLevelModel: SubwordModel {
  private let table: TokenTable
  private let unknown: Int32?
  let fingerprint: UInt64

  init(table: TokenTable, unknown: Int32?) {
    self.table = table
    self.unknown = unknown
    fingerprint = Hashing.fold(table.fingerprint, UInt64(bitPattern: Int64(unknown ?? -1)))
  }

  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    if let token = table.token(of: UnsafeRawBufferPointer(piece)) ?? unknown { scratch.append(token) }
  }
}

/// The longest known part first, from left to right; a word that cannot be covered is unknown as a whole.
final class WordPieceModel: SubwordModel {
  private let starts: PieceTrie
  private let continuations: PieceTrie
  private let unknown: Int32
  private let longestWord: Int
  let fingerprint: UInt64

  /// - Parameters:
  ///   - prefix: how tokens that continue a word are spelled in the table.
  ///   - longestWord: in characters; longer words are unknown.
  init(table: TokenTable, unknown: Int32, prefix: [UInt8], longestWord: Int) {
    starts = PieceTrie(table)
    let continuing = (0..<Int32(table.count)).lazy.filter { table[$0].starts(with: prefix) }
    continuations = PieceTrie(continuing.map { (bytes: table[$0].dropFirst(prefix.count), token: $0) })
    self.unknown = unknown
    self.longestWord = longestWord
    fingerprint = Hashing.fold(Hashing.fold(table.fingerprint, UInt64(unknown)), UInt64(longestWord))
  }

  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    let characters = piece.count <= longestWord ? 0 : piece.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    guard characters <= longestWord else { return scratch.append(unknown) }
    let first = scratch.count
    var position = 0
    while position < piece.count {
      let trie = position == 0 ? starts : continuations
      guard let match = trie.longestMatch(piece, from: position) else {
        scratch.removeTokens(from: first)
        return scratch.append(unknown)
      }
      scratch.append(match.token)
      position += match.length
    }
  }
}
