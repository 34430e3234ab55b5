// Byte-pair encoding over bytes, without the question of how a text is cut: the model that GPT-2 and its descendants share.

/// Vocabulary and merges. A byte without a token, if there is one, is left out.
final class ByteLevelModel: SubwordModel, @unchecked Sendable {  // the pointer is never written after `init`
  let table: TokenTable
  let merges: BytePairEncoding.Merges
  /// Whether a piece that is a token as a whole is that token even where merging would not get there.
  let takesWholePieces: Bool
  /// Whether every byte has a token.
  let isComplete: Bool
  private let rules: MergeRules
  private let byteTokens: UnsafeMutablePointer<Int32>

  /// Throws `FormatsError` where a merge has no result. nil for `takesWholePieces` is the custom of the kind of merges.
  init(table: TokenTable, merges: BytePairEncoding.Merges, takesWholePieces: Bool? = nil) throws(FormatsError) {
    let single = (0..<256).map { byte in [UInt8(byte)].withUnsafeBytes { table.token(of: $0) } ?? -1 }
    isComplete = !single.contains(-1)
    self.table = table
    self.merges = merges
    if case .vocabulary = merges {
      self.takesWholePieces = true
    } else {
      self.takesWholePieces = takesWholePieces ?? false
    }
    rules = try MergeRules(table: table, merges: merges)
    byteTokens = .allocate(capacity: 256)
    byteTokens.initialize(from: single, count: 256)
  }

  deinit { byteTokens.deallocate() }

  var fingerprint: UInt64 {
    var hash = Hashing.fold(table.fingerprint, takesWholePieces ? 1 : 0)
    if case .list(let pairs) = merges {
      for pair in pairs { hash = Hashing.fold(hash, UInt64(UInt32(pair.left)) << 32 | UInt64(UInt32(pair.right))) }
    }
    return hash
  }

  /// Appends the tokens of a text that a rule cuts.
  func encode(_ text: UnsafeBufferPointer<UInt8>, _ rule: SplitRule, _ scratch: EncodingScratch) {
    let base = text.baseAddress
    rule.forEachPiece(of: text) { piece in
      encodePiece(base! + piece.lowerBound, piece.count, text.count - piece.lowerBound, scratch)
    }
  }

  /// Encodes one piece of `count` bytes; `readable` bytes may be read from its start.
  @inline(__always)
  private func encodePiece(_ piece: UnsafePointer<UInt8>, _ count: Int, _ readable: Int, _ scratch: EncodingScratch) {
    if count <= PieceCache.longestPiece {
      let key = PieceCache.key(piece, count, readable)
      if scratch.appendCached(key) { return }
      let first = scratch.count
      encode(UnsafeBufferPointer(start: piece, count: count), scratch)
      scratch.remember(key, from: first)
    } else {
      encode(UnsafeBufferPointer(start: piece, count: count), scratch)
    }
  }

  @inline(never)
  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    if takesWholePieces, let token = table.token(of: UnsafeRawBufferPointer(piece)) {
      scratch.append(token)
      return
    }
    scratch.symbols.reserve(piece.count)
    let tokens = scratch.symbols.tokens.baseAddress!
    var count = 0
    for byte in piece {
      tokens[count] = byteTokens[Int(byte)]
      if tokens[count] >= 0 { count += 1 }
    }
    if count > 0 { rules.merge(count, scratch) }
  }
}
