// Going through the bytes of a GGUF file from front to back. Nothing is believed: each step is checked against what is left.

/// A place in bytes, which moves on as they are read.
struct GGUFCursor {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - position }

  /// Reads a little-endian integer; `what` names it in the error.
  mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
    _ type: T.Type, _ what: @autoclosure () -> String
  ) throws(FormatsError) -> T {
    guard remaining >= MemoryLayout<T>.size else {
      throw FormatsError(.malformed, "it ends at byte \(bytes.count), inside \(what())")
    }
    defer { position += MemoryLayout<T>.size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  /// Reads how many of something follow, of which each takes at least `size` bytes.
  mutating func count(of size: Int, _ what: @autoclosure () -> String) throws(FormatsError) -> Int {
    let count = try integer(UInt64.self, what())
    guard count <= UInt64(remaining / size) else {
      throw FormatsError(.malformed, "\(what()) would be \(count), but only \(remaining) bytes follow")
    }
    return Int(count)
  }

  /// Reads a string behind its length.
  mutating func string(_ what: @autoclosure () -> String) throws(FormatsError) -> String {
    let length = try count(of: 1, "the length of " + what())
    let start = position
    try skip(length, what())
    guard let string = String(validating: bytes[start..<position], as: UTF8.self) else {
      throw FormatsError(.malformed, "\(what()) at byte \(start) is not UTF-8")
    }
    return string
  }

  /// Goes over bytes.
  mutating func skip(_ count: Int, _ what: @autoclosure () -> String) throws(FormatsError) {
    guard count <= remaining else {
      throw FormatsError(.malformed, "it ends at byte \(bytes.count), inside \(what())")
    }
    position += count
  }
}
