// Numbers as people read them, without Foundation's formatters (which bring 40 MB of ICU).
//
// Invariant: rounding is half away from zero on the shortest decimal that names the value, so `fixed(0.145, 2)` is 0.15:
// what the reader would do with the digits in front of him.

/// Formatting of numbers for messages, tables and progress lines.
public enum Numerals {
  /// With exactly `decimals` digits after the point: `fixed(3.14159, 2)` is `3.14`.
  public static func fixed(_ value: Double, _ decimals: Int) -> String {
    precondition(decimals >= 0, "Numerals.fixed: decimals must not be negative, but is \(decimals)")
    guard value.isFinite else { return special(value) }
    return Decimal(value).rounded(places: decimals).plain(decimals: decimals)
  }

  /// With `digits` significant digits, without needless zeros; below 1e-4 and from 1e7 with an exponent:
  /// `significant(0.00123456, 3)` is `0.00123`, `significant(3e-5, 3)` is `3e-5`.
  public static func significant(_ value: Double, _ digits: Int = 3) -> String {
    precondition(digits > 0, "Numerals.significant: digits must be positive, but is \(digits)")
    guard value.isFinite else { return special(value) }
    guard value != 0 else { return "0" }
    let exact = Decimal(value)
    let rounded = exact.rounded(places: digits - exact.point)
    guard rounded.point > -4, rounded.point <= 7 else { return rounded.scientific() }
    return rounded.plain(decimals: max(0, rounded.digits.count - rounded.point))
  }

  /// Digits in groups of three: `1,234,567`.
  public static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude).utf8)
    var text = value < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.unicodeScalars.append(Unicode.Scalar(digit))
    }
    return text
  }

  /// Three significant digits and a decimal prefix: `12.3k`, `124M`, `1.5B`; with a unit, `12.3 kHz` and G for 10^9.
  public static func scaled(_ value: Double, unit: String = "") -> String {
    guard value.isFinite else { return special(value) + (unit.isEmpty ? "" : " " + unit) }
    let prefixes =
      unit.isEmpty ? ["", "k", "M", "B", "T"] : ["", "k", "M", "G", "T", "P", "E"]
    return prefixed(value, base: 1000, prefixes: prefixes, small: !unit.isEmpty, unit: unit)
  }

  /// A number of bytes with a binary prefix: `1.50 GiB`, `512 B`.
  public static func bytes(_ count: Int) -> String {
    prefixed(Double(count), base: 1024, prefixes: ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], small: false, unit: "B")
  }

  /// A length of time in the two largest units that it has: `850 ms`, `12.3 s`, `1m 23s`, `2h 05m`, `3d 04h`.
  public static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite else { return special(seconds) }
    guard seconds >= 0 else { return "-" + duration(-seconds) }
    if seconds == 0 { return "0 s" }
    if seconds < 0.9995 {
      return seconds < 0.9995e-3
        ? significant(seconds * 1e6, 3) + " µs" : significant(seconds * 1e3, 3) + " ms"
    }
    if seconds < 59.95 { return fixed(seconds, 1) + " s" }
    guard seconds < 8.64e15 else { return "forever" }
    let whole = Int(seconds.rounded())
    func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
      "\(large)\(largeUnit) \(small < 10 ? "0" : "")\(small)\(smallUnit)"
    }
    if whole < 3600 { return pair(whole / 60, "m", whole % 60, "s") }
    if whole < 86_400 { return pair(whole / 3600, "h", whole % 3600 / 60, "m") }
    return pair(whole / 86_400, "d", whole % 86_400 / 3600, "h")
  }

  private static func special(_ value: Double) -> String {
    value.isNaN ? "NaN" : value < 0 ? "-∞" : "∞"
  }

  /// Three digits and the largest prefix that leaves at least 1. `small` allows µ and m.
  private static func prefixed(
    _ value: Double, base: Double, prefixes: [String], small: Bool, unit: String
  ) -> String {
    var scaled = value
    var index = 0
    // 999.5 would print as 1000: it belongs to the next prefix.
    while abs(scaled) >= base - 0.5, index + 1 < prefixes.count {
      scaled /= base
      index += 1
    }
    var prefix = prefixes[index]
    if small, scaled != 0, abs(scaled) < 0.9995 {
      for smaller in ["m", "µ", "n", "p"] where abs(scaled) < 0.9995 {
        scaled *= 1000
        prefix = smaller
      }
    }
    let magnitude = abs(scaled)
    let isWholeCount = index == 0 && scaled == scaled.rounded() && magnitude < base
    let digits =
      isWholeCount ? fixed(scaled, 0) : fixed(scaled, magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0)
    return unit.isEmpty ? digits + prefix : "\(digits) \(prefix)\(unit)"
  }
}

/// The shortest decimal that names a finite `Double`: 0.d1d2d3... x 10^point.
private struct Decimal {
  var negative: Bool
  /// Without leading or trailing zeros; empty for 0.
  var digits: [UInt8]
  var point: Int

  init(_ value: Double) {
    negative = value < 0
    digits = []
    var fraction = 0
    var seenPoint = false
    var exponent = 0
    // `description` is [-]digits[.digits][e[+-]digits].
    let text = value.magnitude.description
    if let mark = text.firstIndex(of: "e") { exponent = Int(text[text.index(after: mark)...]) ?? 0 }
    for byte in text.utf8 {
      if byte == UInt8(ascii: "e") { break }
      if byte == UInt8(ascii: ".") {
        seenPoint = true
        continue
      }
      digits.append(byte - UInt8(ascii: "0"))
      if seenPoint { fraction += 1 }
    }
    point = digits.count - fraction + exponent
    normalize()
  }

  private mutating func normalize() {
    while digits.last == 0 { digits.removeLast() }
    let zeros = digits.prefix { $0 == 0 }.count
    digits.removeFirst(zeros)
    point = digits.isEmpty ? 0 : point - zeros
  }

  /// Rounded to `places` digits after the point (negative: before it), half away from zero.
  func rounded(places: Int) -> Decimal {
    let keep = point + places
    guard keep < digits.count else { return self }
    var result = self
    guard keep >= 0 else {
      result.digits = []
      result.normalize()
      return result
    }
    let up = digits[keep] >= 5
    result.digits = [0] + digits[..<keep]
    result.point += 1
    if up {
      var index = keep
      result.digits[index] += 1
      while result.digits[index] == 10 {
        result.digits[index] = 0
        index -= 1
        result.digits[index] += 1
      }
    }
    result.normalize()
    return result
  }

  private func digit(_ index: Int) -> Character {
    let value = digits.indices.contains(index) ? digits[index] : 0
    return Character(Unicode.Scalar(UInt8(ascii: "0") + value))
  }

  /// In positional notation with exactly `decimals` digits after the point.
  func plain(decimals: Int) -> String {
    var text = negative && !digits.isEmpty ? "-" : ""
    if point <= 0 { text += "0" } else { for index in 0..<point { text.append(digit(index)) } }
    if decimals > 0 {
      text += "."
      for index in 0..<decimals { text.append(digit(point + index)) }
    }
    return text
  }

  /// As `1.23e-5`.
  func scientific() -> String {
    var text = negative ? "-" : ""
    text.append(digit(0))
    if digits.count > 1 {
      text += "."
      for index in 1..<digits.count { text.append(digit(index)) }
    }
    return text + "e\(point - 1)"
  }
}
