// The classes of characters that have names in regular expressions.

enum RegexSets {
  static let digit = ScalarRanges([48...57])
  static let word = ScalarRanges([48...57, 65...90, 95...95, 97...122])
  /// White space and line ends of ECMA 262.
  static let space = ScalarRanges([
    9...13, 32...32, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F, 0x205F...0x205F,
    0x3000...0x3000, 0xFEFF...0xFEFF,
  ])
  static let lineBreaks = ScalarRanges([10...10, 13...13, 0x2028...0x2029])

  static func posix(_ name: String) -> ScalarRanges? {
    switch name {
    case "alpha": ScalarRanges([65...90, 97...122])
    case "digit": digit
    case "alnum": ScalarRanges([48...57, 65...90, 97...122])
    case "upper": ScalarRanges([65...90])
    case "lower": ScalarRanges([97...122])
    case "space": ScalarRanges([9...13, 32...32])
    case "blank": ScalarRanges([9...9, 32...32])
    case "punct": ScalarRanges([33...47, 58...64, 91...96, 123...126])
    case "print": ScalarRanges([32...126])
    case "graph": ScalarRanges([33...126])
    case "cntrl": ScalarRanges([0...31, 127...127])
    case "xdigit": ScalarRanges([48...57, 65...70, 97...102])
    case "word": word
    default: nil
    }
  }

  private static let categories: [(String, [Unicode.GeneralCategory])] = [
    ("L", [.uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter]),
    ("Lu", [.uppercaseLetter]), ("Ll", [.lowercaseLetter]), ("Lt", [.titlecaseLetter]), ("Lm", [.modifierLetter]),
    ("Lo", [.otherLetter]), ("M", [.nonspacingMark, .spacingMark, .enclosingMark]), ("Mn", [.nonspacingMark]),
    ("Mc", [.spacingMark]), ("Me", [.enclosingMark]), ("N", [.decimalNumber, .letterNumber, .otherNumber]),
    ("Nd", [.decimalNumber]), ("Nl", [.letterNumber]), ("No", [.otherNumber]),
    (
      "P",
      [
        .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
        .finalPunctuation, .otherPunctuation,
      ]
    ),
    ("Pc", [.connectorPunctuation]), ("Pd", [.dashPunctuation]), ("Ps", [.openPunctuation]),
    ("Pe", [.closePunctuation]), ("Po", [.otherPunctuation]),
    ("S", [.mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol]), ("Sm", [.mathSymbol]),
    ("Sc", [.currencySymbol]), ("Sk", [.modifierSymbol]), ("So", [.otherSymbol]),
    ("Z", [.spaceSeparator, .lineSeparator, .paragraphSeparator]), ("Zs", [.spaceSeparator]),
  ]

  /// What `\p{name}` stands for.
  static func property(_ name: String) -> ScalarRanges? {
    guard let wanted = categories.first(where: { $0.0 == name })?.1 else { return nil }
    var ranges: [ClosedRange<UInt32>] = []
    // Beyond these planes there are only variation selectors and private use.
    for value in UInt32(0)..<0x40000 {
      guard let scalar = Unicode.Scalar(value), wanted.contains(scalar.properties.generalCategory) else { continue }
      if let last = ranges.last, last.upperBound + 1 == value {
        ranges[ranges.count - 1] = last.lowerBound...value
      } else {
        ranges.append(value...value)
      }
    }
    return ScalarRanges(ranges)
  }
}
