// The decoders of tokenizer.json, each as a function of one token's spelling after the other.
//
// Invariant: a chain that is fed all tokens and then finished gives what `tokenizers` gives for the whole list. A step
// that must see what follows (a run of byte tokens, the last token) holds back just that.

/// One step of a chain.
enum DecodingStep: Sendable {
  case byteLevel
  case metaspace(Metaspace)
  case wordPiece(prefix: [UInt8], cleansUp: Bool)
  case bytePairs(suffix: [UInt8])
  case byteFallback
  case fuse
  case strip(content: [UInt8], start: Int, stop: Int)
  case replace(TextPattern, with: [UInt8])
  case connectionist(padding: [UInt8], delimiter: [UInt8], cleansUp: Bool)
  /// Tokens side by side with spaces, where a file names no decoder.
  case spaced
}

extension DecodingStep {
  /// Whether this turns tokens such as `<0x0A>` into bytes.
  var decodesBytes: Bool { if case .byteFallback = self { true } else { false } }
}

/// A step at work.
struct DecodingState: Sendable {
  private let step: DecodingStep
  private var count = 0
  /// Bytes of byte tokens, or the text that may still change.
  private var held: [UInt8] = []
  private var lastToken: [UInt8]?
  private var stripped = 0
  /// Whether all tokens are parts of one text.
  private let isFused: Bool

  init(_ step: DecodingStep, isFused: Bool) {
    self.step = step
    self.isFused = isFused
  }

  /// Whether what this gives for a token depends on that token alone.
  var isSteady: Bool {
    switch step {
    case .byteLevel, .fuse, .replace: true
    case .metaspace, .wordPiece, .spaced: count > 0
    case .bytePairs, .connectionist: false
    case .byteFallback: held.isEmpty
    case .strip(_, let start, let stop): !isFused || stop == 0 && stripped >= start && held.isEmpty
    }
  }

  /// Takes one token and gives what has become certain to `emit`, token by token.
  mutating func push(_ token: [UInt8], _ emit: ([UInt8]) -> Void) {
    defer { count += 1 }
    switch step {
    case .byteLevel:
      var bytes: [UInt8] = []
      let isSpelled = token.withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &bytes) }
      emit(isSpelled ? bytes : token)
    case .metaspace(let metaspace):
      let drops = count == 0 && metaspace.prepends != .never
      emit(TextPattern.literal(metaspace.replacement).replacing(token, with: drops ? [] : [0x20]))
    case .wordPiece(let prefix, let cleansUp):
      var text = token
      if count > 0 {
        if !prefix.isEmpty, token.starts(with: prefix) {
          text.removeFirst(prefix.count)
        } else {
          text.insert(0x20, at: 0)
        }
      }
      emit(cleansUp ? Self.cleanedUp(text) : text)
    case .bytePairs(let suffix):
      if let lastToken { emit(TextPattern.literal(suffix).replacing(lastToken, with: [0x20])) }
      lastToken = token
    case .byteFallback:
      if let byte = Self.byte(token) {
        held.append(byte)
      } else {
        flushBytes(emit)
        emit(token)
      }
    case .fuse: emit(token)
    case .strip(let content, let start, let stop):
      strip(token, content, start, stop, emit)
      if !isFused {
        finish(emit)
        (held, stripped) = ([], 0)
      }
    case .replace(let pattern, let replacement): emit(pattern.replacing(token, with: replacement))
    case .connectionist(let padding, let delimiter, let cleansUp):
      if token == lastToken { return }
      lastToken = token
      var text = TextPattern.literal(padding).replacing(token, with: [])
      if cleansUp { text = TextPattern.literal(delimiter).replacing(Self.cleanedUp(text), with: [0x20]) }
      if !text.isEmpty { emit(text) }
    case .spaced: emit(count > 0 ? [0x20] + token : token)
    }
  }

  /// Gives what was held back.
  mutating func finish(_ emit: ([UInt8]) -> Void) {
    switch step {
    case .bytePairs(let suffix):
      if let lastToken { emit(TextPattern.literal(suffix).replacing(lastToken, with: [])) }
    case .byteFallback: flushBytes(emit)
    case .strip(let content, _, let stop):
      for _ in 0..<stop where held.count >= content.count && held.suffix(content.count).elementsEqual(content) {
        held.removeLast(content.count)
      }
      if !held.isEmpty { emit(held) }
    default: break
    }
  }

  /// A run of byte tokens is text if it is valid UTF-8 as a whole, and a replacement character for each byte if not.
  private mutating func flushBytes(_ emit: ([UInt8]) -> Void) {
    guard !held.isEmpty else { return }
    if String(validating: held, as: UTF8.self) != nil {
      emit(held)
    } else {
      for _ in held { emit([0xEF, 0xBF, 0xBD]) }
    }
    held = []
  }

  /// Strips the front of the fused text, and holds back what its end may lose.
  private mutating func strip(
    _ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int, _ emit: ([UInt8]) -> Void
  ) {
    held.append(contentsOf: token)
    while stripped < start {
      if held.starts(with: content) {
        held.removeFirst(content.count)
        stripped += 1
      } else if held.count < content.count, content.starts(with: held) {
        return  // the rest of the content may be on its way
      } else {
        stripped = start
      }
    }
    // At most `stop` times the content, and a part of it, can stand at the end.
    var kept = 0
    while kept < held.count, kept < (stop + 1) * content.count, stop > 0, content.contains(held[held.count - 1 - kept])
    {
      kept += 1
    }
    if held.count > kept {
      emit(Array(held[..<(held.count - kept)]))
      held.removeFirst(held.count - kept)
    }
  }

  /// The byte of a token such as `<0x0A>`.
  static func byte(_ token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
    var value: UInt8 = 0
    for digit in token[3..<5] {
      switch digit {
      case 0x30...0x39: value = value << 4 | (digit - 0x30)
      case 0x41...0x46: value = value << 4 | (digit - 0x37)
      case 0x61...0x66: value = value << 4 | (digit - 0x57)
      default: return nil
      }
    }
    return value
  }

  private static let cleanUps: [(pattern: TextPattern, replacement: [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (.literal(Array($0.0.utf8)), Array($0.1.utf8)) }

  /// English punctuation moved up to the word before it.
  private static func cleanedUp(_ text: [UInt8]) -> [UInt8] {
    guard text.contains(0x20) else { return text }
    return cleanUps.reduce(text) { $1.pattern.replacing($0, with: $1.replacement) }
  }
}
