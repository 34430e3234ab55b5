// How a normalised text is cut into the pieces that a model encodes one by one: the pre-tokenizers of tokenizer.json.
//
// Each case takes a list of pieces and cuts them further; some also rewrite them (spaces become U+2581, bytes their
// spelling). Pieces never overlap and are in order; what lies between them is dropped.

/// Pieces of a text.
struct PieceList {
  /// Valid UTF-8, with a few bytes more behind its end, so that the piece cache may read over it.
  var bytes: [UInt8]
  var ranges: [Range<Int>]
  /// Whether the text is the very beginning of what is being encoded.
  var isFirst: Bool

  init(_ bytes: [UInt8], isFirst: Bool) {
    self.bytes = bytes
    ranges = bytes.isEmpty ? [] : [0..<bytes.count]
    self.isFirst = isFirst
  }
}

/// What happens to the places where a pattern matches.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"
}

indirect enum PreTokenizer: Sendable {
  case sequence([PreTokenizer])
  /// One of the rules with a scanner of its own; each match is a piece.
  case rule(SplitRule)
  case split(TextPattern, SplitBehavior, isInverted: Bool)
  /// Single characters of the classes in `mask` are the matches.
  case characters(mask: UInt8, SplitBehavior)
  case delimiter(UInt32)
  /// Words (`\w+`) and runs of what is neither word nor space.
  case words
  /// BERT's: at spaces, and around each punctuation character.
  case bert
  case metaspace(Metaspace)
  /// Bytes as the characters of `ByteAlphabet`, after a space in front and GPT-2's rule where wanted.
  case byteLevel(addsSpace: Bool, splits: Bool, spells: Bool)
  case fixedLength(Int)

  func split(_ pieces: inout PieceList) {
    switch self {
    case .sequence(let steps): for step in steps { step.split(&pieces) }
    case .rule(let rule): Self.apply(rule, to: &pieces)
    case .split(let pattern, let behavior, let isInverted):
      Self.divide(&pieces, behavior, isInverted) { text, body in pattern.forEachMatch(in: text, body) }
    case .characters(let mask, let behavior):
      Self.divide(&pieces, behavior, false) { text, body in
        Self.forEachCharacter(in: text) { range, kind, _ in if kind & mask != 0 { body(range) } }
      }
    case .delimiter(let delimiter):
      Self.divide(&pieces, .removed, false) { text, body in
        Self.forEachCharacter(in: text) { range, _, value in if value == delimiter { body(range) } }
      }
    case .words: Self.words(&pieces)
    case .bert: Self.bert(&pieces)
    case .metaspace(let metaspace): metaspace.split(&pieces)
    case .byteLevel(let addsSpace, let splits, let spells):
      if addsSpace { Self.addSpaces(&pieces) }
      if splits { Self.apply(.gpt2, to: &pieces) }
      if spells { Self.spellBytes(&pieces) }
    case .fixedLength(let length): Self.cut(&pieces, length)
    }
  }

  /// The single rule that this amounts to for a model over bytes, if there is one.
  var onlyRule: SplitRule? {
    switch self {
    case .rule(let rule): return rule
    case .byteLevel(addsSpace: false, splits: true, spells: false): return .gpt2
    case .sequence(let steps):
      let rest = steps.filter {
        if case .byteLevel(addsSpace: false, splits: false, spells: false) = $0 { false } else { true }
      }
      return rest.count == 1 ? rest[0].onlyRule : nil
    default: return nil
    }
  }

  private static func forEachCharacter(
    in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, UInt8, UInt32) -> Void
  ) {
    var position = 0
    while position < text.count {
      let (value, length) = UTF8Scan.scalar(text.baseAddress!, position, text.count)
      body(position..<position + length, CharacterClasses.of(value), value)
      position += length
    }
  }

  private static func apply(_ rule: SplitRule, to pieces: inout PieceList) {
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(pieces.bytes.count / 4)
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for piece in pieces.ranges {
        rule.forEachPiece(of: UnsafeBufferPointer(rebasing: bytes[piece])) {
          ranges.append($0.lowerBound + piece.lowerBound..<$0.upperBound + piece.lowerBound)
        }
      }
    }
    pieces.ranges = ranges
  }

  /// Cuts every piece at matches, which `forEachMatch` gives in order and without overlaps.
  static func divide(
    _ pieces: inout PieceList, _ behavior: SplitBehavior, _ isInverted: Bool,
    _ forEachMatch: (UnsafeBufferPointer<UInt8>, (Range<Int>) -> Void) -> Void
  ) {
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(pieces.bytes.count / 4)
    var parts: [(range: Range<Int>, isMatch: Bool)] = []
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for piece in pieces.ranges {
        parts.removeAll(keepingCapacity: true)
        let text = UnsafeBufferPointer(rebasing: bytes[piece])
        var position = 0
        forEachMatch(text) { match in
          if match.lowerBound > position { parts.append((position..<match.lowerBound, isInverted)) }
          parts.append((match, !isInverted))
          position = match.upperBound
        }
        if position < text.count { parts.append((position..<text.count, isInverted)) }
        for range in behavior.ranges(of: parts) where !range.isEmpty {
          ranges.append(range.lowerBound + piece.lowerBound..<range.upperBound + piece.lowerBound)
        }
      }
    }
    pieces.ranges = ranges
  }

  private static let word = ScalarSet(ScalarSet.rustWord)

  private static func words(_ pieces: inout PieceList) {
    divide(&pieces, .removed, true) { text, body in
      var start = 0
      var last: UInt8 = 0  // 1: word, 2: other, 0: space
      var position = 0
      while position < text.count {
        let (value, length) = UTF8Scan.scalar(text.baseAddress!, position, text.count)
        let kind: UInt8 =
          word.contains(value) ? 1 : CharacterClasses.of(value) & CharacterClass.space != 0 ? 0 : 2
        if kind != last {
          if last != 0 { body(start..<position) }
          start = position
          last = kind
        }
        position += length
      }
      if last != 0 { body(start..<position) }
    }
  }

  private static func bert(_ pieces: inout PieceList) {
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(pieces.bytes.count / 4)
    pieces.bytes.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      let cursor = TextCursor(text: base, end: bytes.count, ascii: CharacterClasses.ascii)
      for piece in pieces.ranges {
        var start = piece.lowerBound
        var position = start
        while position < piece.upperBound {
          let (kind, length) = cursor.character(position)
          if kind & (CharacterClass.space | CharacterClass.punctuation) != 0 {
            if start < position { ranges.append(start..<position) }
            if kind & CharacterClass.punctuation != 0 { ranges.append(position..<position + length) }
            start = position + length
          }
          position += length
        }
        if start < position { ranges.append(start..<position) }
      }
    }
    pieces.ranges = ranges
  }

  /// Puts a space in front of each piece that does not begin with one.
  private static func addSpaces(_ pieces: inout PieceList) {
    rewrite(&pieces) { piece, _, output in
      if piece.first != 0x20 { output.append(0x20) }
      output.append(contentsOf: piece)
    }
  }

  private static func spellBytes(_ pieces: inout PieceList) {
    rewrite(&pieces) { piece, _, output in
      for byte in piece { UTF8Scan.append(ByteAlphabet.characters[Int(byte)].value, to: &output) }
    }
  }

  /// Replaces each piece by what `body` appends for it, given where it started.
  static func rewrite(
    _ pieces: inout PieceList, _ body: (Slice<UnsafeBufferPointer<UInt8>>, Int, inout [UInt8]) -> Void
  ) {
    var output: [UInt8] = []
    output.reserveCapacity(pieces.bytes.count * 2)
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(pieces.ranges.count)
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for piece in pieces.ranges {
        let start = output.count
        body(bytes[piece], piece.lowerBound, &output)
        ranges.append(start..<output.count)
      }
    }
    pieces.bytes = output
    pieces.ranges = ranges
  }

  private static func cut(_ pieces: inout PieceList, _ length: Int) {
    divide(&pieces, .isolated, false) { text, body in
      var start = 0
      var count = 0
      forEachCharacter(in: text) { range, _, _ in
        count += 1
        if count == length || range.upperBound == text.count {
          body(start..<range.upperBound)
          start = range.upperBound
          count = 0
        }
      }
    }
  }
}

extension SplitBehavior {
  /// The pieces that matches, and what is between them, become.
  func ranges(of parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
    switch self {
    case .removed: return parts.compactMap { $0.isMatch ? nil : $0.range }
    case .isolated: return parts.map { $0.range }
    case .contiguous:
      var ranges: [Range<Int>] = []
      var last: Bool?
      for part in parts {
        if part.isMatch == last {
          ranges[ranges.count - 1] = ranges.last!.lowerBound..<part.range.upperBound
        } else {
          ranges.append(part.range)
        }
        last = part.isMatch
      }
      return ranges
    case .mergedWithPrevious:
      var ranges: [Range<Int>] = []
      var followsMatch = false
      for part in parts {
        if part.isMatch, !followsMatch, let last = ranges.last {
          ranges[ranges.count - 1] = last.lowerBound..<part.range.upperBound
        } else {
          ranges.append(part.range)
        }
        followsMatch = part.isMatch
      }
      return ranges
    case .mergedWithNext:
      var ranges: [Range<Int>] = []
      var precedesMatch = false
      for part in parts.reversed() {
        if part.isMatch, !precedesMatch, let last = ranges.last {
          ranges[ranges.count - 1] = part.range.lowerBound..<last.upperBound
        } else {
          ranges.append(part.range)
        }
        precedesMatch = part.isMatch
      }
      return ranges.reversed()
    }
  }
}
