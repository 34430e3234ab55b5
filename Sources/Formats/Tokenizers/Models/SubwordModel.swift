// What turns one piece of text into tokens: byte-pair encoding over bytes or characters, Unigram, WordPiece, whole words.
//
// Invariant: the tokens of a piece depend on the piece alone, so pieces can be cached. Values are immutable; everything
// that changes is in the scratch, which belongs to one thread at a time.

protocol SubwordModel: Sendable {
  /// Changes with everything that encoding depends on.
  var fingerprint: UInt64 { get }

  /// Appends the tokens of a piece that is not empty.
  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch)

  /// Calls `body` with parts of a piece that can be encoded one by one; the piece itself if there is no such cut.
  func forEachPart(of piece: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void)
}

extension SubwordModel {
  func forEachPart(of piece: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) { body(0..<piece.count) }
}

/// What becomes of text that no token covers.
struct Fallback: Sendable {
  /// The tokens `<0x00>` ... `<0xFF>`; nil: there are none.
  var bytes: [Int32]?
  /// The token for what is unknown; nil: it is left out.
  var unknown: Int32?
  /// Whether a run of unknown characters is one token.
  var fusesUnknown = false

  /// Appends what stands for `text`; `start` is the number of tokens that the scratch had when the piece began.
  func append(_ text: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, since start: Int) {
    if let bytes {
      for byte in text { scratch.append(bytes[Int(byte)]) }
    } else if let unknown {
      if fusesUnknown, scratch.count > start, scratch.output[scratch.count - 1] == unknown { return }
      scratch.append(unknown)
    }
  }
}
