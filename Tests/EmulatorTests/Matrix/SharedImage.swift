import Emulator
import KernelLanguage

/// A matrix as it must lie in shared memory for a descriptor, built line by line from the pictures: rows of a pattern, with the
/// chunks of 16 bytes of row r exchanged by r.
struct SharedImage {
  var swizzle: Swizzle
  var isLineMajor: Bool
  /// Of the pattern's first byte, in the image.
  var start: Int
  /// Bytes along K that come before, in the first row of the pattern.
  var skipped = 0
  var leading: Int
  var stride: Int

  /// Bytes of a row.
  private var span: Int { swizzle == .none ? 16 : 16 << swizzle.rawValue }

  /// Where byte `byte` of element (line, k) lies; elements have `size` bytes.
  func place(line: Int, k: Int, byte: Int, size: Int) -> Int {
    let (outer, inner) = isLineMajor ? (k, line) : (line, k)
    let place = inner * size + byte + skipped
    let (chunk, rest) = (place / 16, place % 16)
    if swizzle == .none {
      // Core matrices of 8 rows of 16 bytes.
      let (alongInner, alongOuter) = isLineMajor ? (stride, leading) : (leading, stride)
      return start + outer / 8 * alongOuter + outer % 8 * 16 + chunk * alongInner + rest
    }
    let perRow = span / 16
    let row = outer % 8
    let exchanged = chunk % perRow ^ (row * span / 128) % 8
    let panel = isLineMajor ? chunk / perRow * leading : 0
    return start + outer / 8 * stride + row * span + panel + exchanged * 16 + rest
  }

  /// Bytes of the image up to the last one that `lines` x `depth` elements have.
  func end(lines: Int, depth: Int, size: Int) -> Int {
    var end = 0
    for line in 0..<lines {
      for k in 0..<depth { end = max(end, place(line: line, k: k, byte: size - 1, size: size) + 1) }
    }
    return end
  }

  /// Puts a code of 1, 2 or 4 bytes into the image.
  func put(_ code: UInt32, line: Int, k: Int, size: Int, into image: inout [UInt8]) {
    for byte in 0..<size {
      image[place(line: line, k: k, byte: byte, size: size)] = UInt8(truncatingIfNeeded: code >> UInt32(8 * byte))
    }
  }

  /// The descriptor of wgmma, without the address of the image.
  var wgmma: UInt64 {
    UInt64((start + skipped) >> 4) | UInt64(leading >> 4) << 16 | UInt64(stride >> 4) << 32
      | [0, 3, 2, 1][swizzle.rawValue] << 62
  }

  /// The descriptor of tcgen05, without the address of the image.
  var tcgen05: UInt64 {
    UInt64((start + skipped) >> 4) | UInt64(leading >> 4) << 16 | UInt64(stride >> 4) << 32 | 1 << 46
      | [0, 6, 4, 2][swizzle.rawValue] << 61
  }

  static func words(_ image: [UInt8]) -> [UInt32] {
    var words = [UInt32](repeating: 0, count: (image.count + 3) / 4)
    for (place, byte) in image.enumerated() { words[place / 4] |= UInt32(byte) << UInt32(place % 4 * 8) }
    return words
  }
}
