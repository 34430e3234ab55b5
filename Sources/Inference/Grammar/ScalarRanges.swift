// Sets of Unicode scalars, and the sequences of UTF-8 bytes that spell them.
//
// Invariant: ranges are sorted, disjoint, not adjacent and free of surrogates, so that equal sets are equal values.

/// A set of Unicode scalars.
package struct ScalarRanges: Sendable, Hashable {
  private(set) var ranges: [ClosedRange<UInt32>]

  static let all = ScalarRanges([0...0x10FFFF])

  init(_ ranges: [ClosedRange<UInt32>]) {
    var merged: [ClosedRange<UInt32>] = []
    for range in ranges.flatMap(Self.withoutSurrogates).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, range.lowerBound <= last.upperBound &+ 1 {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    self.ranges = merged
  }

  /// One scalar.
  init(_ scalar: Unicode.Scalar) { ranges = [scalar.value...scalar.value] }

  var isEmpty: Bool { ranges.isEmpty }

  func union(_ other: ScalarRanges) -> ScalarRanges { ScalarRanges(ranges + other.ranges) }

  var complement: ScalarRanges {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= 0x10FFFF { result.append(next...0x10FFFF) }
    return ScalarRanges(result)
  }

  func intersection(_ other: ScalarRanges) -> ScalarRanges { complement.union(other.complement).complement }
  func subtracting(_ other: ScalarRanges) -> ScalarRanges { intersection(other.complement) }

  /// With the letters that differ from one of the set in case only.
  var ignoringCase: ScalarRanges {
    var result = ranges
    for range in ranges {
      // Beyond this there are no cases; whole planes would only cost time.
      for value in range where value < 0x1E944 {
        guard let properties = Unicode.Scalar(value)?.properties else { continue }
        guard properties.changesWhenCaseMapped else { continue }
        for text in [properties.lowercaseMapping, properties.uppercaseMapping] where text.unicodeScalars.count == 1 {
          let other = text.unicodeScalars.first!.value
          result.append(other...other)
        }
      }
    }
    return ScalarRanges(result)
  }

  private static func withoutSurrogates(_ range: ClosedRange<UInt32>) -> [ClosedRange<UInt32>] {
    var parts: [ClosedRange<UInt32>] = []
    if range.lowerBound < 0xD800 { parts.append(range.lowerBound...min(range.upperBound, 0xD7FF)) }
    if range.upperBound > 0xDFFF { parts.append(max(range.lowerBound, 0xE000)...range.upperBound) }
    return parts
  }

  // MARK: UTF-8

  /// The ways of spelling a scalar of the set: a range for each byte.
  var utf8: [[ClosedRange<UInt8>]] { ranges.flatMap { Self.sequences($0) } }

  private static func sequences(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
    // Parts of equal length, then parts in which every byte behind the first that differs is free.
    var result: [[ClosedRange<UInt8>]] = []
    for (length, limits) in [(1, 0...0x7F), (2, 0x80...0x7FF), (3, 0x800...0xFFFF), (4, 0x10000...0x10FFFF)]
      as [(Int, ClosedRange<UInt32>)]
    where range.overlaps(limits) {
      split(range.clamped(to: limits), length, into: &result)
    }
    return result
  }

  private static func split(_ range: ClosedRange<UInt32>, _ length: Int, into result: inout [[ClosedRange<UInt8>]]) {
    let (low, high) = (range.lowerBound, range.upperBound)
    for tail in 1..<max(length, 1) {
      let mask = UInt32(1) << (6 * UInt32(tail)) - 1
      guard low & ~mask != high & ~mask else { continue }
      if low & mask != 0 {
        split(low...(low | mask), length, into: &result)
        split((low | mask) + 1...high, length, into: &result)
        return
      }
      if high & mask != mask {
        split(low...(high & ~mask) - 1, length, into: &result)
        split((high & ~mask)...high, length, into: &result)
        return
      }
    }
    result.append(zip(encoded(low, length), encoded(high, length)).map { $0...$1 })
  }

  private static func encoded(_ value: UInt32, _ length: Int) -> [UInt8] {
    if length == 1 { return [UInt8(value)] }
    let lead: UInt32 = [0xC0, 0xE0, 0xF0][length - 2]
    return (0..<length).map { place in
      let bits = value >> (6 * UInt32(length - 1 - place))
      return UInt8(place == 0 ? lead | bits : 0x80 | bits & 0x3F)
    }
  }
}
