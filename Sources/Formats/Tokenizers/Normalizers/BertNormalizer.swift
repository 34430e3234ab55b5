// BERT's cleaning (Devlin et al. 2019, `BasicTokenizer`): control characters out, every space a space, spaces around CJK
// ideographs, accents off, lower case.

struct BertNormalizer: Sendable {
  var cleansText = true
  var separatesIdeographs = true
  var stripsAccents = true
  var lowercases = true

  func apply(_ text: inout [UInt8]) {
    if text.allSatisfy({ $0 < 0x80 }) {
      applyToASCII(&text)
      return
    }
    if cleansText || separatesIdeographs {
      Normalizer.rewrite(&text) { value, output in
        if cleansText {
          if value == 0 || value == 0xFFFD || Self.isControl(value) { return }
          if Self.isSpace(value) { return output.add(0x20) }
        }
        if separatesIdeographs, Self.isIdeograph(value) {
          output.add(0x20)
          output.add(value)
          output.add(0x20)
        } else {
          output.add(value)
        }
      }
    }
    if stripsAccents {
      UnicodeForm.nfd.apply(&text)
      Normalizer.rewrite(&text) { value, output in
        if value < 0x300 || Unicode.Scalar(value)?.properties.generalCategory != .nonspacingMark { output.add(value) }
      }
    }
    if lowercases { Normalizer.lowercase(&text) }
  }

  private func applyToASCII(_ text: inout [UInt8]) {
    if lowercases { Normalizer.lowercase(&text) }
    guard cleansText else { return }
    var written = 0
    for index in text.indices {
      var byte = text[index]
      if byte < 0x20 || byte == 0x7F {
        guard byte == 9 || byte == 10 || byte == 13 else { continue }
        byte = 0x20
      }
      text[written] = byte
      written += 1
    }
    text.removeSubrange(written...)
  }

  /// Categories Cc, Cf and Co, but for tab and the ends of lines.
  private static func isControl(_ value: UInt32) -> Bool {
    if value == 9 || value == 10 || value == 13 { return false }
    if value < 0x7F { return value < 0x20 }
    switch Unicode.Scalar(value)?.properties.generalCategory {
    case .control, .format, .privateUse: return true
    default: return false
    }
  }

  private static func isSpace(_ value: UInt32) -> Bool { CharacterClasses.of(value) & CharacterClass.space != 0 }

  static func isIdeograph(_ value: UInt32) -> Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
