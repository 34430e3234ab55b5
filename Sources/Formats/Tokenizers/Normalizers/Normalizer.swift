// What is done to a text before it is cut into pieces: the normalizers of tokenizer.json, and SentencePiece's.
//
// Each case changes UTF-8 in place; all of them leave valid UTF-8 valid.

indirect enum Normalizer: Sendable {
  case sequence([Normalizer])
  case unicode(UnicodeForm)
  case lowercase
  case strip(left: Bool, right: Bool)
  case stripAccents
  case bert(BertNormalizer)
  case replace(TextPattern, with: [UInt8])
  case prepend([UInt8])
  case map(CharacterMap)
  case controls
  case byteLevel
  case sentencePiece(SentencePieceNormalizer)

  func apply(_ text: inout [UInt8]) {
    switch self {
    case .sequence(let steps): for step in steps { step.apply(&text) }
    case .unicode(let form): form.apply(&text)
    case .lowercase: Self.lowercase(&text)
    case .strip(let left, let right): Self.strip(&text, left, right)
    case .stripAccents: Self.rewrite(&text) { value, output in if !Self.isMark(value) { output.add(value) } }
    case .bert(let normalizer): normalizer.apply(&text)
    case .replace(let pattern, let replacement): text = pattern.replacing(text, with: replacement)
    case .prepend(let prefix): if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
    case .map(let map): map.apply(&text)
    case .controls: Self.rewrite(&text, Self.withoutControls)
    case .byteLevel: text = Array(ByteAlphabet.encode(text).utf8)
    case .sentencePiece(let normalizer): normalizer.apply(&text)
    }
  }

  /// Whether this changes nothing in text of which every part is ASCII.
  var keepsASCII: Bool {
    switch self {
    case .sequence(let steps): steps.allSatisfy { $0.keepsASCII }
    case .unicode, .stripAccents: true
    default: false
    }
  }

  struct Output {
    var bytes: [UInt8]

    mutating func add(_ value: UInt32) { UTF8Scan.append(value, to: &bytes) }
  }

  /// Replaces each scalar by what `body` adds to the output.
  static func rewrite(_ text: inout [UInt8], _ body: (UInt32, inout Output) -> Void) {
    var output = Output(bytes: [])
    output.bytes.reserveCapacity(text.count)
    text.withUnsafeBufferPointer { text in UTF8Scan.forEachScalar(in: text) { body($0, &output) } }
    text = output.bytes
  }

  static func lowercase(_ text: inout [UInt8]) {
    var isASCII = true
    for index in text.indices {
      let byte = text[index]
      if byte >= 0x80 { isASCII = false }
      if byte &- 0x41 < 26 { text[index] = byte | 0x20 }
    }
    if isASCII { return }
    rewrite(&text) { value, output in
      guard value >= 0x80, let scalar = Unicode.Scalar(value) else { return output.add(value) }
      output.bytes.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
    }
  }

  private static func strip(_ text: inout [UInt8], _ left: Bool, _ right: Bool) {
    if right {
      var end = text.count
      while end > 0 {
        var last = end - 1
        while last > 0, text[last] & 0xC0 == 0x80 { last -= 1 }
        guard CharacterClasses.isSpace(text, last) else { break }
        end = last
      }
      text.removeSubrange(end...)
    }
    if left {
      var start = 0
      while start < text.count, CharacterClasses.isSpace(text, start) {
        start += 1
        while start < text.count, text[start] & 0xC0 == 0x80 { start += 1 }
      }
      text.removeSubrange(..<start)
    }
  }

  static func isMark(_ value: UInt32) -> Bool { CharacterClasses.of(value) & CharacterClass.mark != 0 }

  /// The rule of the model for machine translation of that name: controls vanish, odd spaces become spaces.
  private static func withoutControls(_ value: UInt32, _ output: inout Output) {
    switch value {
    case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
    case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: output.add(0x20)
    default: output.add(value)
    }
  }
}

/// A string or a regular expression, as patterns of tokenizer.json are.
enum TextPattern: Sendable {
  case literal([UInt8])
  case expression(Pattern)

  /// Calls `body` with each match in valid UTF-8, left to right.
  func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    switch self {
    case .expression(let pattern): pattern.forEachMatch(in: text, body)
    case .literal(let literal):
      guard let first = literal.first else { return }
      var position = 0
      while position + literal.count <= text.count {
        if text[position] == first, text[position..<position + literal.count].elementsEqual(literal) {
          body(position..<position + literal.count)
          position += literal.count
        } else {
          position += 1
        }
      }
    }
  }

  func replacing(_ text: [UInt8], with replacement: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(text.count + text.count / 4)
    text.withUnsafeBufferPointer { text in
      var position = 0
      forEachMatch(in: text) { match in
        output.append(contentsOf: text[position..<match.lowerBound])
        output.append(contentsOf: replacement)
        position = match.upperBound
      }
      output.append(contentsOf: text[position...])
    }
    return output
  }
}
