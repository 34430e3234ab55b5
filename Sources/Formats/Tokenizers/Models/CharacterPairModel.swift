// Byte-pair encoding over characters: the BPE of SentencePiece (merges by score) and of `tokenizers` without ByteLevel
// (merges by rank), with what they do about characters that no token covers.

final class CharacterPairModel: SubwordModel {
  struct Settings: Sendable {
    var fallback = Fallback()
    /// Put before every character but the first of a piece, and after the last, to find its token.
    var continuingPrefix: [UInt8] = []
    var endSuffix: [UInt8] = []
    /// Whether a piece that is a token as a whole is that token (`ignore_merges`).
    var takesWholePieces = false
  }

  private let table: TokenTable
  private let rules: MergeRules
  private let settings: Settings
  /// Tokens from this number on are characters that have none of their own, but occur in tokens.
  private let firstVirtual: Int32
  private let cutsBeforeSpaces: Bool
  let fingerprint: UInt64

  /// Merges as a list of pairs in order of rank, with their results.
  init(
    table: TokenTable, merges: [(left: Int32, right: Int32, result: Int32)], settings: Settings
  ) {
    var pairs = PairTable(minimumCapacity: merges.count)
    var hash = table.fingerprint
    for (rank, merge) in merges.enumerated() {
      // Of equal pairs the last counts.
      pairs.set(merge.left, merge.right, UInt64(rank) << 32 | UInt64(UInt32(merge.result)))
      hash = Hashing.fold(hash, UInt64(UInt32(merge.left)) << 32 | UInt64(UInt32(merge.right)))
    }
    self.table = table
    rules = MergeRules(pairs: pairs)
    firstVirtual = Int32(table.count)
    self.settings = settings
    cutsBeforeSpaces =
      settings.continuingPrefix.isEmpty && settings.endSuffix.isEmpty && !settings.takesWholePieces
      && SpaceMark.startsTokens(of: table)
    fingerprint = Self.fingerprint(hash, settings)
  }

  /// Merges of any two tokens that make a third, the one with the highest score first.
  init(table: TokenTable, scores: [Float], settings: Settings) {
    var tokens = (0..<Int32(table.count)).map { Array(table[$0]) }
    for character in Self.missingCharacters(table) { tokens.append(character) }
    let full = TokenTable(tokens)
    // Tokens of equal score have equal ranks: among them the leftmost place in the text decides.
    let order = Set(scores).sorted(by: >)
    let ranks = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($0.element, UInt64($0.offset)) })
    rules = MergeRules(
      pairs: MergeRules.derived(full) { token in Int(token) < scores.count ? ranks[scores[Int(token)]] ?? 0 : 0 })
    self.table = full
    firstVirtual = Int32(table.count)
    self.settings = settings
    cutsBeforeSpaces = SpaceMark.startsTokens(of: table)
    let hash = scores.reduce(table.fingerprint) { Hashing.fold($0, UInt64($1.bitPattern)) }
    fingerprint = Self.fingerprint(hash, settings)
  }

  private static func fingerprint(_ hash: UInt64, _ settings: Settings) -> UInt64 {
    Hashing.string(
      "\(settings.continuingPrefix) \(settings.endSuffix) \(settings.takesWholePieces) "
        + "\(settings.fallback.bytes != nil) \(settings.fallback.unknown ?? -1) \(settings.fallback.fusesUnknown)",
      seed: hash)
  }

  private static func missingCharacters(_ table: TokenTable) -> [[UInt8]] {
    var missing: Set<UInt32> = []
    for token in 0..<Int32(table.count) {
      table[token].withUnsafeBufferPointer { UTF8Scan.forEachScalar(in: $0) { missing.insert($0) } }
    }
    return missing.sorted().compactMap { value in
      var bytes: [UInt8] = []
      UTF8Scan.append(value, to: &bytes)
      return bytes.withUnsafeBytes { table.token(of: $0) } == nil ? bytes : nil
    }
  }

  func forEachPart(of piece: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    guard cutsBeforeSpaces else { return body(0..<piece.count) }
    SpaceMark.forEachWord(of: piece, body)
  }

  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    if settings.takesWholePieces, let token = table.token(of: UnsafeRawBufferPointer(piece)) {
      scratch.append(token)
      return
    }
    let first = scratch.count
    let symbols = symbols(of: piece, scratch)
    if symbols > 0 { rules.merge(symbols, scratch) }
    if firstVirtual < table.count { replaceVirtual(from: first, scratch) }
  }

  /// Fills the scratch's symbols with a token for each character, or what falls back for it; their number.
  private func symbols(of piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) -> Int {
    scratch.symbols.reserve(piece.count)
    let symbols = scratch.symbols.tokens.baseAddress!
    let isDecorated = !settings.continuingPrefix.isEmpty || !settings.endSuffix.isEmpty
    var spelled: [UInt8] = []
    var count = 0
    var position = 0
    while position < piece.count {
      let length = UTF8Scan.scalar(piece.baseAddress!, position, piece.count).length
      let character = UnsafeBufferPointer(rebasing: piece[position..<position + length])
      let token: Int32?
      if isDecorated {
        spelled.removeAll(keepingCapacity: true)
        if position > 0 { spelled.append(contentsOf: settings.continuingPrefix) }
        spelled.append(contentsOf: character)
        if position + length == piece.count { spelled.append(contentsOf: settings.endSuffix) }
        token = spelled.withUnsafeBytes { table.token(of: $0) }
      } else {
        token = table.token(of: UnsafeRawBufferPointer(character))
      }
      position += length
      if let token {
        symbols[count] = token
        count += 1
      } else if let bytes = settings.fallback.bytes {
        for byte in character {
          symbols[count] = bytes[Int(byte)]
          count += 1
        }
      } else if let unknown = settings.fallback.unknown,
        !(settings.fallback.fusesUnknown && count > 0 && symbols[count - 1] == unknown)
      {
        symbols[count] = unknown
        count += 1
      }
    }
    return count
  }

  /// Replaces characters that are no tokens, and have not become part of one, by what falls back for them.
  private func replaceVirtual(from first: Int, _ scratch: EncodingScratch) {
    guard scratch.output[first...].contains(where: { $0 >= firstVirtual }) else { return }
    let tokens = Array(scratch.output[first...])
    scratch.removeTokens(from: first)
    for token in tokens {
      if token < firstVirtual {
        let isUnknown = token == settings.fallback.unknown && settings.fallback.bytes == nil
        if isUnknown, settings.fallback.fusesUnknown, scratch.count > first,
          scratch.output[scratch.count - 1] == token
        {
          continue
        }
        scratch.append(token)
      } else {
        table[token].withUnsafeBufferPointer { settings.fallback.append($0, scratch, since: first) }
      }
    }
  }
}
