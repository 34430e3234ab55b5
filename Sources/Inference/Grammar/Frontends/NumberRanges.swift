// Which digits spell the numbers within limits: `minimum` and `maximum` of a schema as grammars, exactly.
//
// Invariant: what is written is a decimal without an exponent. Between limits of different signs the two sides are written apart.

/// A limit as its digits: `whole` without leading zeros ("0" if there are none), `fraction` without trailing ones.
struct DecimalLimit: Equatable {
  var isNegative = false
  var whole: [UInt8] = [0]
  var fraction: [UInt8] = []
  /// Whether the limit itself is left out.
  var isExclusive = false

  var isZero: Bool { whole == [0] && fraction.isEmpty }

  /// Reads JSON's spelling of a number; nil for more than 18 digits on a side.
  init?(_ text: String, isExclusive: Bool = false) {
    self.isExclusive = isExclusive
    var digits = text[...]
    isNegative = digits.first == "-"
    if isNegative { digits.removeFirst() }
    var exponent = 0
    if let letter = digits.firstIndex(where: { $0 == "e" || $0 == "E" }) {
      guard let value = Int(digits[digits.index(after: letter)...]), abs(value) < 100 else { return nil }
      exponent = value
      digits = digits[..<letter]
    }
    let sides = digits.split(separator: ".", omittingEmptySubsequences: false)
    var all = sides.joined().utf8.map { $0 &- 48 }
    guard !all.isEmpty, all.allSatisfy({ $0 < 10 }), sides.count <= 2 else { return nil }
    var point = sides[0].utf8.count + exponent
    while point < 0 { (all, point) = ([0] + all, point + 1) }
    while point > all.count { all.append(0) }
    whole = Array(all[..<point].drop { $0 == 0 })
    fraction = Array(all[point...])
    while fraction.last == 0 { fraction.removeLast() }
    if whole.isEmpty { whole = [0] }
    if isZero { isNegative = false }
    guard whole.count <= 18, fraction.count <= 18 else { return nil }
  }

  /// The same with the other sign.
  var magnitude: DecimalLimit {
    var copy = self
    copy.isNegative = false
    return copy
  }

  static func zero(isExclusive: Bool) -> DecimalLimit { DecimalLimit("0", isExclusive: isExclusive)! }
}

/// Grammars of numbers.
struct NumberRange {
  let isInteger: Bool
  /// Digits of a whole part without a limit, and of a fraction.
  private static let maximumDigits = 18

  /// The numbers from one limit to another; nil is none.
  func expression(from low: DecimalLimit?, to high: DecimalLimit?) -> GrammarExpression {
    var ways: [GrammarExpression] = []
    let hasNegative = low == nil || low!.isNegative
    let hasPositive = high == nil || !high!.isNegative
    if hasNegative {
      let nearest = high.flatMap { $0.isNegative ? $0.magnitude : nil } ?? .zero(isExclusive: true)
      ways.append(.sequence([.text("-"), magnitudes(nearest, low?.magnitude)]))
    }
    if hasPositive {
      let nearest = low.flatMap { $0.isNegative ? nil : $0 } ?? .zero(isExclusive: false)
      ways.append(magnitudes(nearest, high))
    }
    return .alternatives(ways)
  }

  /// Numbers without a sign.
  private func magnitudes(_ low: DecimalLimit, _ high: DecimalLimit?) -> GrammarExpression {
    let longest = high?.whole.count ?? Self.maximumDigits
    guard low.whole.count <= longest else { return .nothing }
    var ways: [GrammarExpression] = []
    for count in low.whole.count...longest {
      ways.append(
        digits(
          0, of: count, low: low.whole.count == count ? low : nil, high: high?.whole.count == count ? high : nil,
          isFirst: true))
    }
    return .alternatives(ways)
  }

  /// The digits from a place on; a limit is given while all digits before were the limit's.
  private func digits(
    _ place: Int, of count: Int, low: DecimalLimit?, high: DecimalLimit?, isFirst: Bool = false
  ) -> GrammarExpression {
    guard place < count else { return fraction(0, low, high) }
    let lowest = low?.whole[place] ?? (isFirst && count > 1 ? 1 : 0)
    let highest = high?.whole[place] ?? 9
    guard lowest <= highest else { return .nothing }
    if low == nil, high == nil, !isFirst {
      let rest = GrammarExpression.repeated(.ascii("0"..."9"), least: count - place, most: count - place)
      return .sequence([rest, fraction(0, nil, nil)])
    }
    var ways: [GrammarExpression] = []
    // Digits between the limits are alike.
    var inner = (lowest: lowest, highest: highest)
    func way(_ digit: UInt8, _ low: DecimalLimit?, _ high: DecimalLimit?) {
      ways.append(.sequence([.bytes([48 + digit]), digits(place + 1, of: count, low: low, high: high)]))
    }
    if let low, let high, lowest == highest {
      way(lowest, low, high)
      return .alternatives(ways)
    }
    if let low {
      way(lowest, low, nil)
      inner.lowest += 1
    }
    if let high {
      way(highest, nil, high)
      if inner.highest == 0 { return .alternatives(ways) }
      inner.highest -= 1
    }
    if inner.lowest <= inner.highest {
      let range = UInt32(48 + inner.lowest)...UInt32(48 + inner.highest)
      ways.append(
        .sequence([.scalars(ScalarRanges([range])), digits(place + 1, of: count, low: nil, high: nil)]))
    }
    return .alternatives(ways)
  }

  /// What may stand behind the digits of a fraction up to a place, the point included at the first place.
  private func fraction(_ place: Int, _ low: DecimalLimit?, _ high: DecimalLimit?) -> GrammarExpression {
    // Ending here leaves zeros.
    let isAboveLow = low.map { place >= $0.fraction.count && !$0.isExclusive } ?? true
    let isBelowHigh = high.map { place < $0.fraction.count || !$0.isExclusive } ?? true
    let canEnd = isAboveLow && isBelowHigh
    if isInteger { return canEnd ? .empty : .nothing }
    let point = place == 0 ? GrammarExpression.text(".") : .empty
    if low == nil, high == nil {
      let more = GrammarExpression.repeated(
        .ascii("0"..."9"), least: place == 0 ? 1 : 0, most: Self.maximumDigits - place)
      return place == 0 ? .optional(.sequence([point, more])) : more
    }
    var ways: [GrammarExpression] = canEnd ? [.empty] : []
    if place < Self.maximumDigits {
      let lowest = low.map { place < $0.fraction.count ? $0.fraction[place] : 0 } ?? 0
      let highest = high.map { place < $0.fraction.count ? $0.fraction[place] : 0 } ?? 9
      // Digits between the limits are alike.
      var groups: [(digits: ClosedRange<UInt8>, low: DecimalLimit?, high: DecimalLimit?)] = []
      if let low, lowest <= highest { groups.append((lowest...lowest, low, lowest == highest ? high : nil)) }
      if let high, lowest < highest || low == nil { groups.append((highest...highest, nil, high)) }
      let (first, last) = (low == nil ? lowest : lowest + 1, high == nil ? highest + 1 : highest)
      if first < last { groups.append((first...(last - 1), nil, nil)) }
      for group in groups {
        let range = UInt32(48 + group.digits.lowerBound)...UInt32(48 + group.digits.upperBound)
        ways.append(
          .sequence([point, .scalars(ScalarRanges([range])), fraction(place + 1, group.low, group.high)]))
      }
    }
    return .alternatives(ways)
  }
}
