// JSON as the bytes that it came in: where members lie, without building values.
//
// A proxy looks at a handful of members of a request and passes all else on as it is; a tree of a long prompt would cost more than
// all the rest. Nothing is validated but what is walked over: whoever gets the bytes does that.

internal import Core

/// Bytes of JSON, valid while the buffer is.
package struct RawJSON {
  package struct Member {
    /// Between the quotes.
    package var key: Range<Int>
    package var value: Range<Int>
  }

  package let bytes: UnsafeRawBufferPointer

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// The members of the object that begins at or behind a place; nil if there is none that is well formed.
  package func members(at start: Int = 0) -> [Member]? {
    var place = skipSpace(start)
    guard byte(place) == UInt8(ascii: "{") else { return nil }
    var result: [Member] = []
    place = skipSpace(place + 1)
    if byte(place) == UInt8(ascii: "}") { return result }
    while true {
      guard byte(place) == UInt8(ascii: "\""), let keyEnd = stringEnd(place) else { return nil }
      let colon = skipSpace(keyEnd)
      guard byte(colon) == UInt8(ascii: ":") else { return nil }
      let value = skipSpace(colon + 1)
      guard let end = valueEnd(value) else { return nil }
      result.append(Member(key: place + 1..<keyEnd - 1, value: value..<end))
      place = skipSpace(end)
      if byte(place) == UInt8(ascii: "}") { return result }
      guard byte(place) == UInt8(ascii: ",") else { return nil }
      place = skipSpace(place + 1)
    }
  }

  /// The elements of the array that begins at or behind a place; nil if there is none that is well formed.
  package func elements(at start: Int) -> [Range<Int>]? {
    var place = skipSpace(start)
    guard byte(place) == UInt8(ascii: "[") else { return nil }
    var result: [Range<Int>] = []
    place = skipSpace(place + 1)
    if byte(place) == UInt8(ascii: "]") { return result }
    while true {
      guard let end = valueEnd(place) else { return nil }
      result.append(place..<end)
      place = skipSpace(end)
      if byte(place) == UInt8(ascii: "]") { return result }
      guard byte(place) == UInt8(ascii: ",") else { return nil }
      place = skipSpace(place + 1)
    }
  }

  /// The value of a member of the object at a place.
  package func value(_ key: StaticString, at start: Int = 0) -> Range<Int>? {
    members(at: start)?.first { self.is($0.key, key) }?.value
  }

  package func `is`(_ range: Range<Int>, _ text: StaticString) -> Bool {
    range.count == text.utf8CodeUnitCount
      && memcmp(bytes.baseAddress! + range.lowerBound, text.utf8Start, range.count) == 0
  }

  package func integer(_ range: Range<Int>) -> Int? { Int(String(decoding: bytes[range], as: UTF8.self)) }

  /// Token numbers in an array.
  package func integers(_ range: Range<Int>) -> [Int32]? {
    guard let elements = elements(at: range.lowerBound) else { return nil }
    let numbers = elements.compactMap { integer($0).flatMap { Int32(exactly: $0) } }
    return numbers.count == elements.count ? numbers : nil
  }

  /// The text of a string with its quotes.
  package func string(_ range: Range<Int>) -> String? {
    guard byte(range.lowerBound) == UInt8(ascii: "\"") else { return nil }
    let inside = bytes[range.lowerBound + 1..<range.upperBound - 1]
    if !inside.contains(UInt8(ascii: "\\")) { return String(decoding: inside, as: UTF8.self) }
    return (try? JSONValue(parsing: UnsafeRawBufferPointer(rebasing: bytes[range])))?.string
  }

  private func byte(_ place: Int) -> UInt8? { place < bytes.count ? bytes[place] : nil }

  private func skipSpace(_ start: Int) -> Int {
    var place = start
    while place < bytes.count, bytes[place] == 0x20 || bytes[place] == 0x0A || bytes[place] == 0x0D || bytes[place] == 9
    {
      place += 1
    }
    return place
  }

  /// Behind the quote that ends the string at a place.
  private func stringEnd(_ start: Int) -> Int? {
    guard let base = bytes.baseAddress else { return nil }
    var place = start + 1
    while place < bytes.count, let found = memchr(base + place, 0x22, bytes.count - place) {
      let quote = UnsafeRawPointer(found) - base
      var slashes = 0
      while bytes[quote - 1 - slashes] == 0x5C { slashes += 1 }
      if slashes % 2 == 0 { return quote + 1 }
      place = quote + 1
    }
    return nil
  }

  private func valueEnd(_ start: Int) -> Int? {
    guard let first = byte(start) else { return nil }
    if first == UInt8(ascii: "\"") { return stringEnd(start) }
    if first != UInt8(ascii: "{") && first != UInt8(ascii: "[") {
      let end = bytes[start...].firstIndex { [0x20, 0x0A, 0x0D, 9, 0x2C, 0x5D, 0x7D].contains($0) } ?? bytes.count
      return end > start ? end : nil
    }
    var (place, depth) = (start, 0)
    while place < bytes.count {
      switch bytes[place] {
      case 0x22:
        guard let end = stringEnd(place) else { return nil }
        place = end
        continue
      case 0x7B, 0x5B: depth += 1
      case 0x7D, 0x5D:
        depth -= 1
        if depth == 0 { return place + 1 }
      default: break
      }
      place += 1
    }
    return nil
  }
}
