// Numbers as Python writes, rounds and reads them.

internal import Core

enum PythonNumbers {
  /// `repr(float)`: the shortest digits that name the value, with an exponent below 1e-4 and from 1e16.
  static func text(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let sign = value.sign == .minus ? "-" : ""
    guard value != 0 else { return sign + "0.0" }
    let (digits, point) = shortest(value.magnitude)
    if point <= -4 || point > 16 {
      let exponent = point - 1
      let tail = digits.count > 1 ? "." + digits.dropFirst() : ""
      let magnitude = String(exponent.magnitude)
      return sign + digits.prefix(1) + tail + (exponent < 0 ? "e-" : "e+") + (magnitude.count < 2 ? "0" : "")
        + magnitude
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
    if point >= digits.count { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
    return sign + digits.prefix(point) + "." + digits.dropFirst(point)
  }

  /// The digits d1 d2 ... without zeros at either end, with value = 0.d1d2... x 10^point.
  private static func shortest(_ value: Double) -> (digits: String, point: Int) {
    // [digits].[digits]e[exponent]
    let parts = value.description.split(separator: "e")
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    let halves = parts[0].split(separator: ".")
    let whole = halves[0].drop { $0 == "0" }
    let fraction = halves.count > 1 ? halves[1] : ""
    var digits = whole + fraction
    while digits.last == "0" { digits.removeLast() }
    let zeros = digits.prefix { $0 == "0" }.count
    return (String(digits.dropFirst(zeros)), whole.count - (whole.isEmpty ? zeros : 0) + exponent)
  }

  /// C's `printf` of one number: `%.2f` and the like, rounded from the exact value.
  static func printed(_ value: Double, _ conversion: Character, precision: Int, isAlternate: Bool = false) -> String {
    let format = "%" + (isAlternate ? "#" : "") + ".\(min(max(precision, 0), 1100))\(conversion)"
    // The largest finite number has 309 digits before the point.
    var buffer = [CChar](repeating: 0, count: 1500)
    let count = withVaList([value]) { vsnprintf(&buffer, buffer.count, format, $0) }
    return String(decoding: buffer[..<Int(min(count, 1499))].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// `round(value, places)`: half to even of the exact value.
  static func rounded(_ value: Double, places: Int) -> Double {
    guard value.isFinite, places < 308 else { return value }
    if places >= 0 { return Double(printed(value, "f", precision: places)) ?? value }
    guard places > -309 else { return 0 }
    let scale = power(10, Double(-places))
    return (value / scale).rounded(.toNearestOrEven) * scale
  }

  static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

  /// `int(text)`: with a sign, underscores between digits and space around it.
  static func integer(_ text: String, base: Int = 10) -> Int? {
    var digits = PythonText.strip(text)[...]
    var sign = ""
    if let first = digits.unicodeScalars.first, first == "-" || first == "+" {
      sign = first == "-" ? "-" : ""
      digits = digits.dropFirst()
    }
    for (mark, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where base == radix && digits.lowercased().hasPrefix(mark) {
      digits = digits.dropFirst(2)
    }
    guard let plain = withoutUnderscores(digits), plain.utf8.first != 0x2B, plain.utf8.first != 0x2D else { return nil }
    return Int(sign + plain, radix: base)
  }

  /// `float(text)`
  static func float(_ text: String) -> Double? {
    let stripped = PythonText.strip(text)
    switch stripped.lowercased() {
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    case "nan", "+nan", "-nan": return .nan
    default: break
    }
    // Swift also reads hexadecimal.
    guard let plain = withoutUnderscores(stripped[...]), plain.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) })
    else { return nil }
    if let value = Double(plain) { return value }
    // "1." and ".5", which Swift may refuse.
    guard plain.utf8.contains(where: { $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return Double(plain.replacing(".e", with: ".0e").replacing(".E", with: ".0E") + (plain.last == "." ? "0" : ""))
  }

  private static func withoutUnderscores(_ digits: Substring) -> String? {
    guard digits.first != "_", digits.last != "_", !digits.contains("__") else { return nil }
    return digits.replacing("_", with: "").description
  }
}
