// Decoding as SentencePiece does it: U+2581 becomes a space, the one in front of the text vanishes, byte pieces are put
// together to characters, and a byte that belongs to none becomes U+FFFD.

/// What decoding needs to know of a SentencePiece model.
struct SentencePieceDecoding: Sendable {
  /// Whether the space in front of the text was not in it.
  var stripsFirstSpace = true
  /// Whether all spaces in front are stripped, even from several pieces.
  var stripsAllFirstSpaces = false
  var unknown: Int32?
  /// What the unknown token looks like.
  var unknownSurface: [UInt8] = Array(" \u{2047} ".utf8)
  /// The value of each byte piece.
  var bytes: [Int32: UInt8] = [:]

  /// The bytes of a token in the middle of a text.
  func bytes(of token: Int32, _ spelling: [UInt8]) -> [UInt8] {
    if let byte = bytes[token] { return [byte] }
    if token == unknown { return unknownSurface }
    return Self.spaces.replacing(spelling, with: [0x20])
  }

  private static let spaces = TextPattern.literal(SentencePieceNormalizer.space)
}

struct SentencePieceDecoder: SteadyingDecoder {
  private let decoding: SentencePieceDecoding
  private let spellings: TokenTable
  private let skipped: Set<Int32>
  private var isAtStart = true
  private var pending: [UInt8] = []

  init(_ decoding: SentencePieceDecoding, spellings: TokenTable, skipped: Set<Int32>) {
    self.decoding = decoding
    self.spellings = spellings
    self.skipped = skipped
  }

  var isSteady: Bool { !isAtStart && pending.isEmpty }

  mutating func push(_ token: Int32, into bytes: inout [UInt8]) {
    guard token >= 0, Int(token) < spellings.count, !skipped.contains(token) else { return }
    if let byte = decoding.bytes[token] {
      pending.append(byte)
      isAtStart = false
      flush(keeping: StreamingDecoder.openTail(pending), into: &bytes)
      return
    }
    flush(keeping: 0, into: &bytes)
    var spelling = Array(spellings[token])
    var strippedOne = false
    if isAtStart, decoding.stripsFirstSpace, token != decoding.unknown,
      spelling.starts(with: SentencePieceNormalizer.space)
    {
      spelling.removeFirst(SentencePieceNormalizer.space.count)
      strippedOne = !decoding.stripsAllFirstSpaces
    }
    let text = decoding.bytes(of: token, spelling)
    if strippedOne || !text.isEmpty { isAtStart = false }
    bytes.append(contentsOf: text)
  }

  mutating func finish(into bytes: inout [UInt8]) { flush(keeping: 0, into: &bytes) }

  /// Puts out the pending bytes but for the last `kept`, each that is part of no character as U+FFFD.
  private mutating func flush(keeping kept: Int, into bytes: inout [UInt8]) {
    let end = pending.count - kept
    guard end > 0 else { return }
    pending.withUnsafeBufferPointer { buffer in
      UTF8Scan.forEachScalar(in: UnsafeBufferPointer(rebasing: buffer[..<end])) { UTF8Scan.append($0, to: &bytes) }
    }
    pending.removeFirst(end)
  }
}
