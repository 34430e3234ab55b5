// Hashes and counter-based random numbers that are the same on every machine and in every run.
//
// Swift's Hasher is seeded per process, so nothing that is stored or must be repeatable can use it. `mix` is the finaliser
// of SplitMix64 (Steele, Lea, Flood 2014); `bytes` folds eight bytes at a time through a 64x64->128-bit product.

package enum Hashing {
  /// A bijection of 64-bit words whose output looks random.
  @inline(__always)
  package static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Both halves of a product folded into one word.
  @inline(__always)
  package static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = (a ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: b ^ 0xE703_7ED1_A0B4_28DB)
    return product.high ^ product.low
  }

  /// A 64-bit hash of bytes; not meant to resist an attacker.
  package static func bytes(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    guard let base = bytes.baseAddress else { return mix(seed) }
    var hash = mix(seed ^ UInt64(bytes.count))
    var offset = 0
    // Four independent lanes hide the latency of the product on long inputs.
    if bytes.count >= 64 {
      var lanes = (hash, hash ^ 1, hash ^ 2, hash ^ 3)
      while offset + 64 <= bytes.count {
        lanes.0 = fold(lanes.0 ^ word(base, offset), word(base, offset + 8))
        lanes.1 = fold(lanes.1 ^ word(base, offset + 16), word(base, offset + 24))
        lanes.2 = fold(lanes.2 ^ word(base, offset + 32), word(base, offset + 40))
        lanes.3 = fold(lanes.3 ^ word(base, offset + 48), word(base, offset + 56))
        offset += 64
      }
      hash = fold(lanes.0 ^ lanes.1, mix(lanes.2) ^ lanes.3)
    }
    while offset + 8 <= bytes.count {
      hash = fold(hash ^ word(base, offset), 0x8EBC_6AF0_9C88_C6E3)
      offset += 8
    }
    var tail: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count {
      tail |= UInt64(bytes[offset]) << shift
      shift += 8
      offset += 1
    }
    return mix(fold(hash ^ tail, 0x5896_59E5_D6B9_4FD1))
  }

  package static func string(_ text: String, seed: UInt64 = 0) -> UInt64 {
    var text = text
    return text.withUTF8 { bytes(UnsafeRawBufferPointer($0), seed: seed) }
  }

  @inline(__always)
  private static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// Sixteen hexadecimal digits, for file names.
  package static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
