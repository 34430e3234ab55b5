// How a text is cut into pieces before byte pairs are merged; merges never cross a piece.
//
// Each rule is the hand-written scanner of a regular expression that a family of models uses; the expressions are given
// with the scanners. Tests compare them with regex engines (fixtures made by Scripts/make-tokenizer-fixtures.py).

/// The splitting rules that are known.
public enum SplitRule: String, Sendable, CaseIterable {
  /// GPT-2, GPT-3, Whisper.
  case gpt2
  /// GPT-4 as tiktoken has it; unlike `.llama3` it keeps whitespace at the very end of a text in one piece.
  case cl100k
  /// Llama 3 and other models of Hugging Face with the GPT-4 rule.
  case llama3
  /// Qwen 2 and 3: the GPT-4 rule with digits one by one.
  case qwen2
  /// GPT-4o: letters by case, marks belong to words.
  case o200k

  /// The regular expression behind the rule, as Hugging Face's tokenizers write it.
  package var pattern: String {
    switch self {
    case .gpt2: #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .cl100k:  // tiktoken writes `\s++$`; the `$` of other engines would also match before a newline
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z"#
        + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
    case .llama3:
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    case .qwen2:
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    case .o200k:
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
        + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
        + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
  }

  /// The rule of a regular expression as it is spelled in the wild.
  package init?(pattern: String) {
    // Spellings that mean the same: GPT-2's with character classes of one, and the order of the contractions.
    if pattern == #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"# {
      self = .gpt2
      return
    }
    guard let rule = Self.allCases.first(where: { $0.pattern == pattern }) else { return nil }
    self = rule
  }

  /// Cuts `text` and gives the end of each piece in order; every byte belongs to exactly one piece.
  package func pieceEnds(_ text: UnsafeBufferPointer<UInt8>) -> [Int] {
    var ends: [Int] = []
    forEachPiece(of: text) { ends.append($0.upperBound) }
    return ends
  }

  /// Calls `body` with the range of each piece.
  @inline(__always)
  func forEachPiece(of text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    switch self {
    case .gpt2: Self.scan(text, GPT2Scanner(), body)
    case .cl100k: Self.scan(text, GPT4Scanner(digits: 3, keepsFinalSpace: true), body)
    case .llama3: Self.scan(text, GPT4Scanner(digits: 3, keepsFinalSpace: false), body)
    case .qwen2: Self.scan(text, GPT4Scanner(digits: 1, keepsFinalSpace: false), body)
    case .o200k: Self.scan(text, GPT4oScanner(), body)
    }
  }

  @inline(__always)
  private static func scan<Scanner: PieceScanner>(
    _ text: UnsafeBufferPointer<UInt8>, _ scanner: Scanner, _ body: (Range<Int>) -> Void
  ) {
    guard let base = text.baseAddress else { return }
    let cursor = TextCursor(text: base, end: text.count, ascii: CharacterClasses.ascii)
    var position = 0
    while position < text.count {
      let end = scanner.pieceEnd(cursor, position)
      body(position..<end)
      position = end
    }
  }
}
