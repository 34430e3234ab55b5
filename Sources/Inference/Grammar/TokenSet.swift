// Sets of tokens as they are kept for each state of a grammar: few as a list, many as bits.

/// Tokens that are allowed together.
enum TokenSet: Sendable {
  case list([Int32])
  case bits([UInt64])

  /// - Parameter words: of a mask; what is smaller than it as a list is kept as one.
  init(_ tokens: [Int32], words: Int) {
    if tokens.count <= words / 2 {
      self = .list(tokens)
    } else {
      var bits = [UInt64](repeating: 0, count: words)
      for token in tokens { bits[Int(token) >> 6] |= 1 << UInt64(token & 63) }
      self = .bits(bits)
    }
  }

  /// Sets the bits of all tokens.
  func add(to mask: inout [UInt64]) {
    switch self {
    case .list(let tokens):
      for token in tokens { mask[Int(token) >> 6] |= 1 << UInt64(token & 63) }
    case .bits(let bits):
      mask.withUnsafeMutableBufferPointer { mask in
        bits.withUnsafeBufferPointer { bits in
          for index in 0..<min(bits.count, mask.count) { mask[index] |= bits[index] }
        }
      }
    }
  }
}
