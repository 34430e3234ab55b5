// The memory in which tokens are chosen, and the passes over all logits.
//
// A vocabulary is looked at in blocks of 64 logits whose largest is known, so that what is looked for among the likeliest is
// looked for in few blocks: at least k logits are as large as the k-th largest block maximum.
//
// Invariant: `maxima` are those of the logits at `values`; where one is -infinity nothing of the block is read, for it may
// never have been written. Logits that are NaN count as -infinity.

internal import CKernels

/// Memory for choosing tokens: one for each thread, for any number of samplers.
public final class SamplingWorkspace {
  private let isa = ck_isa_best()
  private var capacity = 0
  private var copied = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var maxima = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var sums = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var levels = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private(set) var count = 0
  private var values: UnsafePointer<Float>

  /// Bits of the tokens that may be chosen, for those who need some: see `TokenConstraint`.
  var mask: [UInt64] = []
  /// The tokens that are left, once they are few.
  var candidates: [Candidate] = []
  /// Room for the search for repetitions.
  var repeats: [Int32] = []
  var repeated: [(token: Int32, length: Int32)] = []

  public init() { values = UnsafePointer(copied) }

  deinit {
    for memory in [copied, maxima, sums, levels] { memory.deallocate() }
  }

  private static let block = Int(CK_LOGIT_BLOCK)
  private var blocks: Int { (count + Self.block - 1) / Self.block }
  private func tokens(in block: Int) -> Range<Int> { block * Self.block..<min(count, (block + 1) * Self.block) }

  private func reserve(_ count: Int) {
    self.count = count
    guard count > capacity else { return }
    for memory in [copied, maxima, sums, levels] { memory.deallocate() }
    capacity = count
    copied = .allocate(capacity: blocks * Self.block)
    maxima = .allocate(capacity: blocks)
    sums = .allocate(capacity: blocks)
    levels = .allocate(capacity: blocks)
    values = UnsafePointer(copied)
  }

  // MARK: Logits

  /// Looks at logits where they are.
  func read(_ logits: UnsafeBufferPointer<Float>) {
    reserve(logits.count)
    values = logits.baseAddress!
    ck_logit_maxima(isa, Int64(count), values, maxima)
  }

  /// Copies logits, so that they can be changed.
  ///
  /// - Parameter masked: tokens whose bits in `mask` are 0 cannot be chosen.
  func copy(_ logits: UnsafeBufferPointer<Float>, masked: Bool = false) {
    reserve(logits.count)
    precondition(!masked || mask.count * 64 >= count, "a mask of \(mask.count) words for \(count) tokens")
    mask.withUnsafeBufferPointer { words in
      ck_logit_copy(isa, Int64(count), logits.baseAddress!, masked ? words.baseAddress! : nil, copied, maxima)
    }
    values = UnsafePointer(copied)
  }

  /// Copies the logits unless they are a copy.
  func makeMutable() {
    if values != UnsafePointer(copied) { copy(UnsafeBufferPointer(start: values, count: count)) }
  }

  /// The logit of a token; -infinity if it cannot be chosen.
  func logit(_ token: Int) -> Float {
    guard maxima[token / Self.block] > -.infinity else { return -.infinity }
    return values[token].isNaN ? -.infinity : values[token]
  }

  /// Changes a logit of the copy, unless the token cannot be chosen.
  func change(_ token: Int, _ change: (Float) -> Float) {
    guard token < count else { return }
    let old = logit(token)
    guard old > -.infinity else { return }
    let new = change(old)
    copied[token] = new
    let block = token / Self.block
    if new >= maxima[block] {
      maxima[block] = new
    } else if old == maxima[block] {
      var most = -Float.infinity
      for index in tokens(in: block) where copied[index] > most {
        most = copied[index]
      }
      maxima[block] = most
    }
  }

  /// The largest logit.
  var most: Float {
    var most = -Float.infinity
    for block in 0..<blocks where maxima[block] > most { most = maxima[block] }
    return most
  }

  /// The first token with the largest logit, which is not -infinity.
  var likeliest: Int32 {
    let most = most
    let block = (0..<blocks).first { maxima[$0] == most }!
    return Int32(tokens(in: block).first { values[$0] == most }!)
  }

  /// The standard deviation of the logits that are not -infinity.
  var deviation: Double {
    let moments = ck_logit_moments(isa, Int64(count), values, maxima, most)
    let mean = moments.sum / moments.count
    return max(0, moments.squares / moments.count - mean * mean).squareRoot()
  }

  /// The sum of `exp((x - most) * scale)` over the logits x of at least `cut`; `most` is finite. `draw` goes on from it.
  func exponentialSum(scale: Double, cut: Float = -.infinity) -> Double {
    ck_logit_sums(isa, Int64(count), values, maxima, most, Float(scale), cut, sums)
    var total = 0.0
    for block in 0..<blocks { total += Double(sums[block]) }
    return total
  }

  /// The token in whose share of the last `exponentialSum` of `scale` and `cut` the number `place` lies, from 0 to the sum.
  func draw(_ place: Double, scale: Double, cut: Float) -> Int32 {
    let most = most
    var left = place
    var last = likeliest
    for block in 0..<blocks where sums[block] > 0 {
      guard left < Double(sums[block]) else {
        left -= Double(sums[block])
        continue
      }
      for index in tokens(in: block) where values[index] >= cut {
        let weight = exponential(Double(values[index] - most) * scale)
        guard weight > 0 else { continue }
        last = Int32(index)
        left -= weight
        if left < 0 { return last }
      }
      // The sum of the block was rounded up.
      return last
    }
    return last
  }

  // MARK: The likeliest

  /// Makes candidates of all tokens whose logits are at least `cut`, in their order.
  func collect(cut: Float) {
    candidates.removeAll(keepingCapacity: true)
    for block in 0..<blocks where maxima[block] >= cut && maxima[block] > -.infinity {
      for index in tokens(in: block) {
        let logit = values[index]
        if logit >= cut && logit > -.infinity { candidates.append(Candidate(token: Int32(index), logit: logit)) }
      }
    }
  }

  /// Makes candidates of the likeliest so many tokens whose logits are at least `cut`.
  func collect(likeliest count: Int, cut: Float = -.infinity) {
    collect(cut: max(cut, level(count)))
    keep(atLeast: Double(count), of: { _ in 1 }, largest: { Double($0.logit) })
  }

  /// Makes candidates of the fewest likeliest tokens with logits of at least `cut` that together have a share of their
  /// probability.
  func collect(share: Double, scale: Double, cut: Float) {
    let target = share * exponentialSum(scale: scale, cut: cut)
    var rank = 64
    repeat {
      let level = level(rank)
      collect(cut: max(cut, level))
      let mass = weigh(scale: scale)
      if mass >= target || level <= cut { break }
      rank *= 8
    } while true
    keep(atLeast: target, of: { $0.weight }, largest: { Double($0.logit) })
  }

  /// The `rank`-th largest block maximum, so that at least so many logits are as large; -infinity if there are not so many
  /// blocks.
  private func level(_ rank: Int) -> Float {
    guard rank <= blocks else { return -.infinity }
    levels.update(from: maxima, count: blocks)
    var (low, high) = (0, blocks - 1)
    // Hoare's selection (1961), the largest first.
    while low < high {
      let pivot = levels[(low + high) / 2]
      var (left, right) = (low, high)
      while left <= right {
        while levels[left] > pivot { left += 1 }
        while levels[right] < pivot { right -= 1 }
        guard left <= right else { break }
        (levels[left], levels[right]) = (levels[right], levels[left])
        left += 1
        right -= 1
      }
      if rank - 1 <= right { high = right } else if rank - 1 >= left { low = left } else { break }
    }
    return levels[rank - 1]
  }
}
