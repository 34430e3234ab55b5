// Python's operations on text, which count code points where Swift counts characters, on plain Swift strings.

enum PythonText {
  /// Equal code points. (Swift's `==` also equates "é" with "e" and an accent.)
  static func areEqual(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

  /// `str.isspace` of one code point.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }

  static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  /// `repr`: in quotes, with escapes.
  static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar = text.utf8.contains(0x27) && !text.utf8.contains(0x22) ? "\"" : "'"
    var result = String.UnicodeScalarView()
    result.append(quote)
    for scalar in text.unicodeScalars {
      switch scalar {
      case quote, "\\":
        result.append("\\")
        result.append(scalar)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      default:
        if isPrintable(scalar) {
          result.append(scalar)
        } else {
          let (mark, width) = scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
          let digits = String(scalar.value, radix: 16)
          let zeros = String(repeating: "0", count: width - digits.utf8.count)
          result.append(contentsOf: (mark + zeros + digits).unicodeScalars)
        }
      }
    }
    result.append(quote)
    return String(result)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
  }

  // MARK: Stripping and splitting

  static func strip(_ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true) -> String {
    let scalars = text.unicodeScalars
    let set = characters.map { Set($0.unicodeScalars) }
    func isStripped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? isSpace(scalar) }
    var slice = scalars[...]
    if left { slice = slice.drop(while: isStripped) }
    if right { while let last = slice.last, isStripped(last) { slice.removeLast() } }
    return String(slice)
  }

  /// `str.split` at whitespace (nil) or at a separator that is not empty, at most `limit` times (nil: always).
  static func split(_ text: String, _ separator: String?, limit: Int?) -> [String] {
    var limit = limit ?? .max
    var pieces: [String] = []
    if let separator {
      let bytes = Array(text.utf8)
      var start = 0
      for place in PythonText.places(of: Array(separator.utf8), in: bytes) {
        guard limit > 0 else { break }
        pieces.append(String(decoding: bytes[start..<place], as: UTF8.self))
        start = place + separator.utf8.count
        limit -= 1
      }
      return pieces + [String(decoding: bytes[start...], as: UTF8.self)]
    }
    var rest = text.unicodeScalars[...].drop(while: isSpace)
    while !rest.isEmpty {
      guard limit > 0 else {
        pieces.append(String(rest))
        break
      }
      let end = rest.firstIndex(where: isSpace) ?? rest.endIndex
      pieces.append(String(rest[..<end]))
      rest = rest[end...].drop(while: isSpace)
      limit -= 1
    }
    return pieces
  }

  /// `str.rsplit`.
  static func splitFromRight(_ text: String, _ separator: String?, limit: Int?) -> [String] {
    guard let limit else { return split(text, separator, limit: nil) }
    // A split of the mirrored text, mirrored back.
    let mirrored = split(reversed(text), separator.map(reversed), limit: limit)
    return mirrored.reversed().map(reversed)
  }

  static func reversed(_ text: String) -> String { PythonText.text(text.unicodeScalars.reversed()) }

  static func lines(_ text: String, keepsEnds: Bool = false) -> [String] {
    var lines: [String] = []
    let scalars = Array(text.unicodeScalars)
    var start = 0
    var index = 0
    while index < scalars.count {
      switch scalars[index].value {
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        var end = index + 1
        if scalars[index] == "\r", end < scalars.count, scalars[end] == "\n" { end += 1 }
        lines.append(PythonText.text(scalars[start..<(keepsEnds ? end : index)]))
        start = end
        index = end
      default: index += 1
      }
    }
    if start < scalars.count { lines.append(PythonText.text(scalars[start...])) }
    return lines
  }

  // MARK: Searching

  /// Where `needle`, which is not empty, begins in `text`, without overlaps; in linear time (Knuth, Morris and Pratt),
  /// because a template must not be able to wait for ever.
  static func places(of needle: [UInt8], in text: [UInt8], isFirstEnough: Bool = false) -> [Int] {
    guard !needle.isEmpty, needle.count <= text.count else { return [] }
    var borders = [Int](repeating: 0, count: needle.count)
    var border = 0
    for index in needle.indices.dropFirst() {
      while border > 0, needle[index] != needle[border] { border = borders[border - 1] }
      if needle[index] == needle[border] { border += 1 }
      borders[index] = border
    }
    var places: [Int] = []
    var matched = 0
    for index in text.indices {
      while matched > 0, text[index] != needle[matched] { matched = borders[matched - 1] }
      if text[index] == needle[matched] { matched += 1 }
      if matched == needle.count {
        places.append(index + 1 - matched)
        if isFirstEnough { break }
        matched = 0
      }
    }
    return places
  }

  static func contains(_ text: String, _ needle: String) -> Bool {
    needle.isEmpty || !places(of: Array(needle.utf8), in: Array(text.utf8), isFirstEnough: true).isEmpty
  }

  static func replace(_ text: String, _ old: String, _ new: String, limit: Int?) -> String {
    var limit = limit ?? .max
    guard !old.isEmpty else {  // before every code point and at the end
      var result = ""
      for scalar in text.unicodeScalars {
        if limit > 0 { result += new }
        limit -= 1
        result.unicodeScalars.append(scalar)
      }
      return limit > 0 ? result + new : result
    }
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var start = 0
    for place in places(of: Array(old.utf8), in: bytes) {
      guard limit > 0 else { break }
      result += bytes[start..<place]
      result += Array(new.utf8)
      start = place + old.utf8.count
      limit -= 1
    }
    result += bytes[start...]
    return String(decoding: result, as: UTF8.self)
  }

  // MARK: Cases

  static func upper(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { $0 += $1.properties.uppercaseMapping }
  }

  static func lower(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 >= 0x80 }) else { return text.lowercased() }
    let scalars = Array(text.unicodeScalars)
    var result = ""
    for (index, scalar) in scalars.enumerated() {
      // The sigma at the end of a word has a form of its own.
      result += scalar == "Σ" && isFinal(index, scalars) ? "ς" : scalar.properties.lowercaseMapping
    }
    return result
  }

  /// Whether the letter ends a word: a cased letter before it and none behind, skipping what has no influence on case.
  private static func isFinal(_ index: Int, _ scalars: [Unicode.Scalar]) -> Bool {
    let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
    return before?.properties.isCased == true && after?.properties.isCased != true
  }

  static func capitalize(_ text: String) -> String {
    guard let first = text.unicodeScalars.first else { return "" }
    return first.properties.titlecaseMapping + lower(String(text.unicodeScalars.dropFirst()))
  }

  /// `str.title`: every run of letters.
  static func title(_ text: String) -> String {
    var result = ""
    var isInside = false
    for scalar in text.unicodeScalars {
      result += isInside ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      isInside = scalar.properties.isCased
    }
    return result
  }

  static func swapCase(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") {
      $0 += $1.properties.isUppercase ? $1.properties.lowercaseMapping : $1.properties.uppercaseMapping
    }
  }

  // MARK: Classes

  static func isAlphabetic(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// `isupper` or `islower`: some letter with case, and none of the other case.
  static func isCase(_ text: String, upper: Bool) -> Bool {
    var hasCase = false
    for scalar in text.unicodeScalars {
      let properties = scalar.properties
      if properties.generalCategory == .titlecaseLetter { return false }
      if upper ? properties.isLowercase : properties.isUppercase { return false }
      if upper ? properties.isUppercase : properties.isLowercase { hasCase = true }
    }
    return hasCase
  }

  static func isTitle(_ text: String) -> Bool {
    var isInside = false
    var hasCase = false
    for scalar in text.unicodeScalars {
      let properties = scalar.properties
      if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
        if isInside { return false }
        (isInside, hasCase) = (true, true)
      } else if properties.isLowercase {
        if !isInside { return false }
        hasCase = true
      } else {
        isInside = false
      }
    }
    return hasCase
  }
}
