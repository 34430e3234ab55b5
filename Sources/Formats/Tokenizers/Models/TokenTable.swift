// The bytes of every token, and the way back from bytes to the token.
//
// Invariant: `offsets` has count + 1 entries; token t is bytes[offsets[t] ..< offsets[t + 1]]. A token without bytes is a
// hole: a number that no text encodes to. The index is open addressing with linear probing, at most half full.

/// An immutable vocabulary of byte strings.
struct TokenTable: Sendable {
  let bytes: [UInt8]
  let offsets: [Int32]
  private let index: [Int32]

  var count: Int { offsets.count - 1 }

  /// Makes the table of tokens 0, 1, 2, …; of equal byte strings the first is found.
  init(_ tokens: [[UInt8]]) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(tokens.reduce(0) { $0 + $1.count })
    var offsets: [Int32] = [0]
    offsets.reserveCapacity(tokens.count + 1)
    for token in tokens {
      bytes.append(contentsOf: token)
      offsets.append(Int32(bytes.count))
    }
    self.init(bytes: bytes, offsets: offsets)
  }

  init(bytes: [UInt8], offsets: [Int32]) {
    precondition(offsets.first == 0 && Int(offsets.last!) == bytes.count, "offsets do not fit \(bytes.count) bytes")
    self.bytes = bytes
    self.offsets = offsets
    let count = offsets.count - 1
    var capacity = 16
    while capacity < count * 2 { capacity *= 2 }
    var index = [Int32](repeating: -1, count: capacity)
    bytes.withUnsafeBytes { all in
      for token in 0..<count {
        let own = UnsafeRawBufferPointer(rebasing: all[Int(offsets[token])..<Int(offsets[token + 1])])
        if own.isEmpty { continue }
        var slot = Int(truncatingIfNeeded: Hashing.bytes(own)) & (capacity - 1)
        while index[slot] >= 0 {
          let other = Int(index[slot])
          let range = Int(offsets[other])..<Int(offsets[other + 1])
          if Self.equal(own, UnsafeRawBufferPointer(rebasing: all[range])) { break }
          slot = (slot + 1) & (capacity - 1)
        }
        if index[slot] < 0 { index[slot] = Int32(token) }
      }
    }
    self.index = index
  }

  /// The token with exactly these bytes.
  func token(of text: UnsafeRawBufferPointer) -> Int32? {
    guard !text.isEmpty else { return nil }
    return bytes.withUnsafeBytes { all in
      index.withUnsafeBufferPointer { index in
        let mask = index.count - 1
        var slot = Int(truncatingIfNeeded: Hashing.bytes(text)) & mask
        while index[slot] >= 0 {
          let token = Int(index[slot])
          let range = Int(offsets[token])..<Int(offsets[token + 1])
          if Self.equal(text, UnsafeRawBufferPointer(rebasing: all[range])) { return Int32(token) }
          slot = (slot + 1) & mask
        }
        return nil
      }
    }
  }

  /// Changes with every byte of every token.
  var fingerprint: UInt64 {
    let hash = bytes.withUnsafeBytes { Hashing.bytes($0) }
    return offsets.withUnsafeBytes { Hashing.bytes($0, seed: hash) }
  }

  /// The token that is spelled so.
  func token(spelled spelling: String) -> Int32? {
    var spelling = spelling
    return spelling.withUTF8 { token(of: UnsafeRawBufferPointer($0)) }
  }

  /// The bytes of a token of the table.
  subscript(token: Int32) -> ArraySlice<UInt8> { bytes[Int(offsets[Int(token)])..<Int(offsets[Int(token) + 1])] }

  @inline(__always)
  private static func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    var position = 0
    while position < a.count {
      if a[position] != b[position] { return false }
      position += 1
    }
    return true
  }
}
