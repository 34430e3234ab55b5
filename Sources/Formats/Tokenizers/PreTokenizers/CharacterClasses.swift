// The Unicode classes that splitting rules ask for: letters by case, marks, numbers, whitespace, punctuation.
//
// One byte per scalar, filled once from the standard library's Unicode data (about a millisecond, only when a text is not
// ASCII). The CJK and Hangul blocks, and planes 2 and up, are looked up on the fly: they are large and uniform.

/// A set of classes; a scalar has at most one of the letter, mark and number bits.
struct CharacterClass {
  static let upper: UInt8 = 1  // Lu, Lt
  static let lower: UInt8 = 2  // Ll
  static let uncased: UInt8 = 4  // Lm, Lo
  static let mark: UInt8 = 8  // M
  static let number: UInt8 = 16  // N
  static let space: UInt8 = 32  // White_Space
  static let newline: UInt8 = 64  // CR, LF; they are also space
  static let punctuation: UInt8 = 128  // P as of Unicode 8, and the symbols among ASCII

  static let letter = upper | lower | uncased
}

enum CharacterClasses {
  private static let tableSize = 0x20000

  /// Classes of U+0000 ... U+007F. Never written after its initialisation, like the table.
  nonisolated(unsafe) static let ascii: UnsafePointer<UInt8> = {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 128)
    for value in 0..<128 { table[value] = classify(UInt32(value)) }
    return UnsafePointer(table)
  }()

  nonisolated(unsafe) private static let table: UnsafePointer<UInt8> = {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: tableSize)
    for value in 0..<tableSize { table[value] = quickly(UInt32(value)) ?? classify(UInt32(value)) }
    return UnsafePointer(table)
  }()

  /// The class of any scalar value.
  @inline(never)
  static func of(_ value: UInt32) -> UInt8 {
    value < tableSize ? table[Int(value)] : quickly(value) ?? classify(value)
  }

  /// Whether the character at `position` is whitespace.
  static func isSpace(_ text: [UInt8], _ position: Int) -> Bool {
    text.withUnsafeBufferPointer {
      of(UTF8Scan.scalar($0.baseAddress!, position, $0.count).value) & CharacterClass.space != 0
    }
  }

  /// The large blocks that consist of letters only, or of nothing with a class.
  private static func quickly(_ value: UInt32) -> UInt8? {
    switch value {
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7A3, 0x17000...0x187F7, 0x20000...0x2A6DF:
      CharacterClass.uncased
    case 0xD800...0xF8FF: 0
    default: nil
    }
  }

  /// Punctuation is what `tokenizers` takes for it: its list is that of Unicode 8, in which U+166D and U+111C9 still were some.
  private static func classify(_ value: UInt32) -> UInt8 {
    guard let scalar = Unicode.Scalar(value) else { return 0 }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .titlecaseLetter: return CharacterClass.upper
    case .lowercaseLetter: return CharacterClass.lower
    case .modifierLetter, .otherLetter: return CharacterClass.uncased
    case .nonspacingMark, .spacingMark, .enclosingMark:
      return CharacterClass.mark | (value == 0x111C9 ? CharacterClass.punctuation : 0)
    case .decimalNumber, .letterNumber, .otherNumber: return CharacterClass.number
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return scalar.properties.age.map { $0.major <= 8 } ?? false ? CharacterClass.punctuation : 0
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
      return value < 0x80 || value == 0x166D ? CharacterClass.punctuation : 0
    default:
      guard scalar.properties.isWhitespace else { return 0 }
      return value == 10 || value == 13 ? CharacterClass.space | CharacterClass.newline : CharacterClass.space
    }
  }
}
