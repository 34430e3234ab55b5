// A set of Unicode scalars as regular expressions write it: ranges, properties, complements and intersections.
//
// Invariant: `ascii` answers for every scalar below 128; the items are asked only for the others.

/// What `[...]`, `\s` and `\p{L}` stand for.
struct ScalarSet: Sendable {
  indirect enum Item: Sendable {
    case range(ClosedRange<UInt32>)
    case property(Property)
    case not(Item)
    case anyOf([Item])
    case allOf([Item])
    /// The scalar, or one that differs from it in case only, is in the set.
    case ignoringCase(Item)
  }

  enum Property: Sendable {
    /// General categories, one bit each.
    case categories(UInt32)
    case whitespace
    case alphabetic
    case joiners
    case script([ClosedRange<UInt32>])
  }

  /// A bit for each of the first 128 scalars.
  struct ASCII: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    mutating func insert(_ value: UInt32) {
      if value < 64 { low |= 1 << UInt64(value) } else { high |= 1 << UInt64(value - 64) }
    }

    mutating func formUnion(_ other: ASCII) {
      low |= other.low
      high |= other.high
    }

    /// - Parameter value: below 128.
    @inline(__always)
    func contains(_ value: UInt32) -> Bool { (value < 64 ? low : high) &>> UInt64(value & 63) & 1 != 0 }
  }

  let item: Item
  let ascii: ASCII

  init(_ item: Item) {
    self.item = item
    var ascii = ASCII()
    for value in 0..<128 as Range<UInt32> where Self.contains(item, value) { ascii.insert(value) }
    self.ascii = ascii
  }

  @inline(__always)
  func contains(_ value: UInt32) -> Bool { value < 128 ? ascii.contains(value) : Self.contains(item, value) }

  private static func contains(_ item: Item, _ value: UInt32) -> Bool {
    switch item {
    case .range(let range): range.contains(value)
    case .property(let property): contains(property, value)
    case .not(let item): !contains(item, value)
    case .anyOf(let items): items.contains { contains($0, value) }
    case .allOf(let items): items.allSatisfy { contains($0, value) }
    case .ignoringCase(let item): caseVariants(value).contains { contains(item, $0) }
    }
  }

  private static func contains(_ property: Property, _ value: UInt32) -> Bool {
    if case .script(let ranges) = property { return ranges.contains { $0.contains(value) } }
    guard let properties = Unicode.Scalar(value)?.properties else { return false }
    switch property {
    case .categories(let mask): return mask & bit(properties.generalCategory) != 0
    case .whitespace: return properties.isWhitespace
    case .alphabetic: return properties.isAlphabetic
    case .joiners: return properties.isJoinControl
    case .script: return false
    }
  }

  /// The scalar and those it folds to, as far as they are single.
  private static func caseVariants(_ value: UInt32) -> [UInt32] {
    guard let scalar = Unicode.Scalar(value) else { return [value] }
    var variants = [value]
    func add(_ text: String) {
      guard text.unicodeScalars.count == 1, let only = text.unicodeScalars.first?.value else { return }
      if !variants.contains(only) { variants.append(only) }
    }
    add(scalar.properties.lowercaseMapping)
    add(scalar.properties.uppercaseMapping)
    if let upper = scalar.properties.uppercaseMapping.unicodeScalars.first { add(upper.properties.lowercaseMapping) }
    if value | 0x20 == 0x73 { variants.append(0x17F) }  // long s and the Kelvin sign fold to letters of ASCII
    if value | 0x20 == 0x6B { variants.append(0x212A) }
    return variants
  }

  // MARK: Names

  private static let categoryNames: [(String, Unicode.GeneralCategory)] = [
    ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter),
    ("Lo", .otherLetter), ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark),
    ("Nd", .decimalNumber), ("Nl", .letterNumber), ("No", .otherNumber), ("Pc", .connectorPunctuation),
    ("Pd", .dashPunctuation), ("Ps", .openPunctuation), ("Pe", .closePunctuation), ("Pi", .initialPunctuation),
    ("Pf", .finalPunctuation), ("Po", .otherPunctuation), ("Sm", .mathSymbol), ("Sc", .currencySymbol),
    ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator), ("Zl", .lineSeparator),
    ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format), ("Cs", .surrogate), ("Co", .privateUse),
    ("Cn", .unassigned),
  ]

  static func bit(_ category: Unicode.GeneralCategory) -> UInt32 {
    switch category {
    case .uppercaseLetter: 1 << 0
    case .lowercaseLetter: 1 << 1
    case .titlecaseLetter: 1 << 2
    case .modifierLetter: 1 << 3
    case .otherLetter: 1 << 4
    case .nonspacingMark: 1 << 5
    case .spacingMark: 1 << 6
    case .enclosingMark: 1 << 7
    case .decimalNumber: 1 << 8
    case .letterNumber: 1 << 9
    case .otherNumber: 1 << 10
    case .connectorPunctuation: 1 << 11
    case .dashPunctuation: 1 << 12
    case .openPunctuation: 1 << 13
    case .closePunctuation: 1 << 14
    case .initialPunctuation: 1 << 15
    case .finalPunctuation: 1 << 16
    case .otherPunctuation: 1 << 17
    case .mathSymbol: 1 << 18
    case .currencySymbol: 1 << 19
    case .modifierSymbol: 1 << 20
    case .otherSymbol: 1 << 21
    case .spaceSeparator: 1 << 22
    case .lineSeparator: 1 << 23
    case .paragraphSeparator: 1 << 24
    case .control: 1 << 25
    case .format: 1 << 26
    case .surrogate: 1 << 27
    case .privateUse: 1 << 28
    case .unassigned: 1 << 29
    @unknown default: 0
    }
  }

  private static func categories(_ name: String) -> UInt32? {
    let mask = categoryNames.filter { $0.0.hasPrefix(name) }.reduce(0) { $0 | bit($1.1) }
    return mask == 0 ? nil : mask
  }

  private static let longNames = [
    "Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Punct": "P", "Symbol": "S", "Separator": "Z",
    "Other": "C", "Digit": "Nd", "Lower": "Ll", "Upper": "Lu", "Cntrl": "Cc",
  ]

  /// Scripts whose blocks are simple enough to be written down.
  private static let scripts: [String: [ClosedRange<UInt32>]] = [
    "Han": [
      0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
      0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
      0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B739, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
      0x2CEB0...0x2EBE0, 0x2EBF0...0x2EE5D, 0x2F800...0x2FA1D, 0x30000...0x3134A, 0x31350...0x323AF,
    ],
    "Hiragana": [
      0x3041...0x3096, 0x309D...0x309F, 0x1B001...0x1B11F, 0x1B132...0x1B132, 0x1B150...0x1B152, 0x1F200...0x1F200,
    ],
    "Katakana": [
      0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF, 0x32D0...0x32FE, 0x3300...0x3357, 0xFF66...0xFF6F,
      0xFF71...0xFF9D, 0x1AFF0...0x1AFF3, 0x1AFF5...0x1AFFB, 0x1AFFD...0x1AFFE, 0x1B000...0x1B000,
      0x1B120...0x1B122, 0x1B155...0x1B155, 0x1B164...0x1B167,
    ],
    "Hangul": [
      0x1100...0x11FF, 0x302E...0x302F, 0x3131...0x318E, 0x3200...0x321E, 0x3260...0x327E, 0xA960...0xA97C,
      0xAC00...0xD7A3, 0xD7B0...0xD7C6, 0xD7CB...0xD7FB, 0xFFA0...0xFFBE, 0xFFC2...0xFFC7, 0xFFCA...0xFFCF,
      0xFFD2...0xFFD7, 0xFFDA...0xFFDC,
    ],
    "Thai": [0xE01...0xE3A, 0xE40...0xE5B],
  ]

  /// What `\p{name}` or `[[:name:]]` stands for; nil for a name that is not known.
  static func named(_ name: String) -> Item? {
    var name = name
    for prefix in ["Script=", "sc=", "General_Category=", "gc=", "Is"] where name.hasPrefix(prefix) {
      name.removeFirst(prefix.count)
    }
    if let ranges = scripts[name] { return .property(.script(ranges)) }
    switch name.lowercased() {
    case "alpha", "alphabetic": return .property(.alphabetic)
    case "space", "white_space": return .property(.whitespace)
    case "word": return word
    case "alnum": return .anyOf([.property(.alphabetic), .property(.categories(bit(.decimalNumber)))])
    case "any": return .range(0...0x10FFFF)
    case "ascii": return .range(0...0x7F)
    case "xdigit": return .anyOf([.range(0x30...0x39), .range(0x41...0x46), .range(0x61...0x66)])
    default: break
    }
    let capitalized = name.prefix(1).uppercased() + name.dropFirst()
    return categories(longNames[capitalized] ?? capitalized).map { .property(.categories($0)) }
  }

  static let whitespace = Item.property(.whitespace)
  /// `\w` of Oniguruma, whose table of Latin-1 has the raised digits and fractions as well.
  static let word = Item.anyOf([
    .property(.alphabetic), wordMarks, .range(0xB2...0xB3), .range(0xB9...0xB9), .range(0xBC...0xBE),
  ])
  /// `\w` of Rust's engine, with the invisible joiners.
  static let rustWord = Item.anyOf([.property(.alphabetic), wordMarks, .property(.joiners)])
  private static let wordMarks = Item.property(.categories(["M", "Nd", "Pc"].reduce(0) { $0 | categories($1)! }))
  static let digit = Item.property(.categories(bit(.decimalNumber)))
}
