// The tokens that are left once they are few, and the rules that make them fewer.
//
// Invariant: there is always a candidate. Which ones are kept never depends on their order: of tokens that are equally likely the
// first ones are.

private import Core

/// A token that may be chosen.
struct Candidate {
  var token: Int32
  var logit: Float
  /// `exp((logit - largest) * scale)`, by `weigh`.
  var weight = 0.0
}

// The C library's, once for this folder.
func exponential(_ x: Double) -> Double { exp(x) }
func logarithm(_ x: Double) -> Double { log(x) }
func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }

extension SamplingWorkspace {
  /// The largest logit of a candidate.
  var largest: Float { candidates.reduce(-.infinity) { max($0, $1.logit) } }

  /// Sets the weights; returns their sum.
  @discardableResult
  func weigh(scale: Double) -> Double {
    let largest = largest
    var total = 0.0
    for index in candidates.indices {
      let weight = exponential(Double(candidates[index].logit - largest) * scale)
      candidates[index].weight = weight
      total += weight
    }
    return total
  }

  /// Top-p: the fewest likeliest that have a share of the probability.
  func keep(share: Double, scale: Double) {
    let total = weigh(scale: scale)
    keep(atLeast: share * total, of: { $0.weight }, largest: { Double($0.logit) })
  }

  /// Min-p: those with at least a share of the likeliest one's probability.
  func keep(relative share: Double, scale: Double) {
    let cut = Self.cut(relative: share, to: largest, scale: scale)
    candidates.removeAll { $0.logit < cut }
  }

  /// The logit whose probability is a share of that of the largest logit.
  static func cut(relative share: Double, to largest: Float, scale: Double) -> Float {
    min(largest, Float(Double(largest) + logarithm(share) / scale))
  }

  /// Typical: the fewest whose information is nearest to the entropy that have a share of the probability.
  func keep(typical share: Double, scale: Double) {
    let total = weigh(scale: scale)
    let largest = Double(largest)
    var mean = 0.0
    for candidate in candidates { mean += candidate.weight * (Double(candidate.logit) - largest) * scale }
    // |-log p - H| = |log p - mean of log p|, from which the logarithm of the sum drops out.
    let center = mean / total
    keep(
      atLeast: share * total, of: { $0.weight },
      largest: { -abs((Double($0.logit) - largest) * scale - center) })
  }

  /// A candidate by a number from 0 to the sum of weights.
  func draw(_ place: Double) -> Int32 {
    var left = place
    for candidate in candidates {
      left -= candidate.weight
      if left < 0 { return candidate.token }
    }
    return candidates.last { $0.weight > 0 }!.token
  }

  /// Sorts by logits, the largest first.
  func sortCandidates() {
    candidates.sort { $0.logit > $1.logit || $0.logit == $1.logit && $0.token < $1.token }
  }

  /// Keeps the fewest candidates with the largest keys whose measures add up to at least `target`: a selection like Hoare's that
  /// counts measures instead of elements.
  @inline(__always)
  func keep(atLeast target: Double, of measure: (Candidate) -> Double, largest key: (Candidate) -> Double) {
    func precedes(_ a: Candidate, _ b: Candidate) -> Bool {
      let (first, second) = (key(a), key(b))
      return first > second || first == second && a.token < b.token
    }
    let kept = candidates.withUnsafeMutableBufferPointer { candidates in
      var (low, high) = (0, candidates.count)
      var before = 0.0
      while high - low > 1 {
        candidates.swapAt((low + high) / 2, high - 1)
        let pivot = candidates[high - 1]
        var middle = low
        var sum = 0.0
        for index in low..<high - 1 where precedes(candidates[index], pivot) {
          sum += measure(candidates[index])
          candidates.swapAt(index, middle)
          middle += 1
        }
        candidates.swapAt(middle, high - 1)
        if middle > low, before + sum >= target {
          high = middle
        } else {
          before += sum + measure(pivot)
          if before >= target { return middle + 1 }
          low = middle + 1
        }
      }
      return high
    }
    candidates.removeSubrange(max(kept, 1)...)
  }
}
