// Counter-based random numbers: Philox 4x32-10, Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3" (2011), doi:10.1145/2063384.2063405.
//
// Invariant: the number at a position depends on (key, stream, position) alone, so any thread, rank or resumed run can
// make any part of a stream, in any order. The layout is that of the C kernel `ck_random` (reduce.h), which must give
// the same words.

/// The Philox 4x32-10 block function.
public enum Philox {
  /// Ten rounds over a counter of 128 bits with a key of 64 bits.
  @inlinable
  public static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for round in 0..<10 {
      if round > 0 { k = k &+ SIMD2(0x9E37_79B9, 0xBB67_AE85) }
      let p0 = UInt64(c[0]) &* 0xD251_1F53
      let p1 = UInt64(c[2]) &* 0xCD9E_8D57
      c = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k[1], UInt32(truncatingIfNeeded: p0))
    }
    return c
  }
}

/// One of 2^64 independent streams under a key; every position of it can be read directly.
public struct RandomStream: Sendable, Hashable, Codable {
  /// The key, usually the seed of the run.
  public var key: UInt64
  /// Which stream under the key: one number per purpose (initialisation, data order, dropout, ...).
  public var stream: UInt64

  public init(key: UInt64, stream: UInt64 = 0) {
    self.key = key
    self.stream = stream
  }

  /// The four words at positions `4 * index ..< 4 * index + 4`.
  @inlinable
  public func block(_ index: UInt64) -> SIMD4<UInt32> {
    Philox.block(
      counter: SIMD4(
        UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32),
        UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32)),
      key: SIMD2(UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)))
  }

  /// The 32 random bits at a position.
  @inlinable
  public func word(at position: UInt64) -> UInt32 { block(position / 4)[Int(position % 4)] }

  /// A uniform number in [0, 1) with 24 random bits, so that it is exact as a `Float` too.
  @inlinable
  public func uniform(at position: UInt64) -> Double { Double(word(at: position) >> 8) * 0x1p-24 }

  /// A standard normal number, by Box and Muller (1958) from the pair of words that `position` lies in.
  public func normal(at position: UInt64) -> Double {
    let words = block(position / 4)
    let first = Int(position % 4) & ~1
    let u = Double((words[first] >> 8) + 1) * 0x1p-24
    let angle = 2 * Double.pi * Double(words[first + 1] >> 8) * 0x1p-24
    let radius = (-2 * log(u)).squareRoot()
    return radius * (position % 2 == 0 ? cos(angle) : sin(angle))
  }

  /// An integer in `0 ..< bound` from the two words at `2 * position` and `2 * position + 1`. The bias is at most
  /// `bound / 2^64`, the price of using the same number of words for every bound.
  @inlinable
  public func integer(at position: UInt64, below bound: Int) -> Int {
    precondition(bound > 0, "RandomStream.integer: the bound must be positive, but is \(bound)")
    let words = block(position / 2)
    let first = Int(position % 2) * 2
    let bits = UInt64(words[first]) | UInt64(words[first + 1]) << 32
    return Int(bits.multipliedFullWidth(by: UInt64(bound)).high)
  }
}

/// A `RandomNumberGenerator` that reads a stream from front to back. Its position is part of a checkpoint.
public struct RandomSequence: RandomNumberGenerator, Sendable, Hashable, Codable {
  public let stream: RandomStream
  /// How many numbers of 64 bits were taken.
  public var position: UInt64

  public init(_ stream: RandomStream, position: UInt64 = 0) {
    self.stream = stream
    self.position = position
  }

  public init(seed: UInt64, stream: UInt64 = 0) { self.init(RandomStream(key: seed, stream: stream)) }

  @inlinable
  public mutating func next() -> UInt64 {
    let words = stream.block(position / 2)
    let first = Int(position % 2) * 2
    position &+= 1
    return UInt64(words[first]) | UInt64(words[first + 1]) << 32
  }
}
