// What a step costs by how many tokens it computes, a straight line through the steps of the last while; and how many drafted
// tokens pay at that.
//
// A step of R tokens takes base + each * R seconds and writes E tokens. Another token in it that is accepted with probability q
// pays if q / each is more than what the step writes in a second without it: q > each * E / (base + each * R). So drafts are
// added, likeliest first, as long as they pay: many for one text alone, none where the machine is busy with many texts.
//
// Invariant: both parts are positive. Before steps of different sizes have been seen, a token is taken to cost an eighth of
// what a step costs in any case.

/// Seconds of a step: some in any case, some for each token.
package struct StepCost {
  /// How much of what was known a new step leaves.
  private static let memory = 0.97

  private var weight = 0.0
  private var rows = 0.0
  private var seconds = 0.0
  /// Sums of products of deviations.
  private var spread = 0.0
  private var slope = 0.0

  package init() {}

  /// Nothing is known yet.
  package var isUnknown: Bool { weight == 0 }

  package mutating func observe(rows new: Int, seconds time: Double) {
    weight = weight * Self.memory + 1
    let (byRows, bySeconds) = (Double(new) - rows, time - seconds)
    rows += byRows / weight
    seconds += bySeconds / weight
    spread = spread * Self.memory + byRows * (Double(new) - rows)
    slope = slope * Self.memory + byRows * (time - seconds)
  }

  /// Seconds of a token more.
  package var each: Double {
    let guess = seconds / (rows + 8)
    return min(max((slope + guess) / (spread + 1), guess / 8), seconds / max(rows, 1))
  }

  /// Seconds of a step of so many tokens.
  package func seconds(_ count: Int) -> Double { max(seconds + each * (Double(count) - rows), seconds / 8) }

  /// How many drafted tokens of each text pay in a step.
  ///
  /// - Parameters:
  ///   - rows: tokens of the step without drafts.
  ///   - written: tokens that it writes without drafts.
  ///   - extra: seconds for each drafted token, its own cost in the step apart.
  ///   - drafts: how many tokens the step takes at most of a text, and how often such drafts are accepted.
  ///   - room: how many drafted tokens it takes at most in all.
  package func worthwhile<ID: Hashable & Comparable>(
    rows: Int, written: Int, extra: Double, drafts: [ID: (count: Int, rate: Double)], room: Int
  ) -> [ID: Int] {
    // As long as nothing is known, a step is measured as it is.
    if isUnknown { return [:] }
    var (rows, written) = (rows, Double(written))
    var counts: [ID: Int] = [:]
    /// Of each text, how likely it is that its next drafted token counts.
    var next = drafts.filter { $0.value.count > 0 }.mapValues(\.rate)
    let most = rows + room
    while rows < most, let (id, likelihood) = next.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) {
      guard likelihood * seconds(rows) > (each + extra) * written else { break }
      counts[id, default: 0] += 1
      rows += 1
      written += likelihood
      let (count, rate) = drafts[id]!
      next[id] = counts[id]! < count ? likelihood * rate : nil
    }
    return counts
  }
}
