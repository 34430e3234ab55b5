// Which window of the tokens is read when: a pure function of (seed, position), so that training resumes anywhere and
// splits over any number of ranks without any state.
//
// Invariant: the positions 0, 1, 2, … run through epochs of `windows` positions; within an epoch every window comes exactly
// once. The shuffle is a permutation by a four-round Feistel network with cycle walking (Black and Rogaway 2002). Each
// epoch also shifts all windows by a random offset, so that epochs do not cut the text at the same places.

/// The order of the windows of a token sequence.
public struct BatchOrder: Sendable, Equatable {
  public let seed: UInt64
  /// Number of tokens in the sequence.
  public let tokens: Int
  /// Inputs per window; a window also needs the token after them, the last target.
  public let length: Int
  /// Windows per epoch.
  public let windows: Int

  /// Windows of `length` inputs out of `tokens` tokens. There must be at least `length + 1` tokens.
  public init(seed: UInt64, tokens: Int, length: Int) {
    precondition(length > 0 && tokens > length, "\(tokens) tokens for windows of \(length) and one")
    self.seed = seed
    self.tokens = tokens
    self.length = length
    windows = max(1, (tokens - length) / length)
  }

  /// Where the window at `position` of the endless order begins.
  public func offset(at position: Int) -> Int {
    let (epoch, index) = position.quotientAndRemainder(dividingBy: windows)
    let key = Hashing.mix(seed ^ Hashing.mix(UInt64(epoch)))
    let freedom = UInt64(min(length, tokens - windows * length))  // shifts that keep the last window inside
    let shift = Int(Hashing.mix(key ^ 0xA5A5).multipliedFullWidth(by: freedom).high)
    return shift + permuted(index, key) * length
  }

  /// The offsets of the `batch` windows that `rank` of `ranks` reads at `step`. All ranks together read
  /// `ranks * batch` neighbouring positions of the order.
  public func offsets(step: Int, batch: Int, rank: Int = 0, ranks: Int = 1) -> [Int] {
    precondition(step >= 0 && batch > 0, "step \(step) of batch \(batch)")
    precondition((0..<ranks).contains(rank), "rank \(rank) of \(ranks)")
    let first = (step * ranks + rank) * batch
    return (first..<first + batch).map(offset(at:))
  }

  /// A permutation of `0 ..< windows` chosen by `key`.
  private func permuted(_ index: Int, _ key: UInt64) -> Int {
    guard windows > 1 else { return 0 }
    // The smallest even number of bits that holds all windows; values outside walk on until they are inside.
    let bits = (Int.bitWidth - (windows - 1).leadingZeroBitCount + 1) / 2
    let mask = UInt64(1) << UInt64(bits) - 1
    var value = UInt64(index)
    repeat {
      var left = value >> UInt64(bits)
      var right = value & mask
      for round in 0..<4 as Range<UInt64> {
        (left, right) = (right, left ^ (Hashing.mix(key ^ Hashing.mix(right << 8 | round)) & mask))
      }
      value = left << UInt64(bits) | right
    } while value >= UInt64(windows)
    return Int(value)
  }
}
