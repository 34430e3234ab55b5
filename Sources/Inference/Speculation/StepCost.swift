// What a step costs by how many tokens it computes, a straight line through the steps of the last while; and how many drafted
// tokens pay at that.
//
// A step of R tokens takes base + each * R seconds and writes E tokens. Another token in it that is accepted with probability q
// pays if q / each is more than what the step writes in a second without it: q > each * E / (base + each * R). So drafts are
// added, likeliest first, as long as they pay: many for one text alone, none where the machine is busy with many texts. Another
// way on reads the text's last token once more, so that its first draft must pay for two tokens.
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

  /// What can be drafted of a text.
  package struct Outlook {
    /// How many tokens at most on each way on.
    package var counts: [Int]
    /// How often a draft is accepted behind one that was.
    package var rate: Double
    /// How often the ways behind the first begin rightly where those before them do not.
    package var others: [Double]

    package init(_ counts: [Int], rate: Double, others: [Double] = []) {
      (self.counts, self.rate, self.others) = (counts, rate, others)
    }

    /// How likely a way is the one that the text takes.
    fileprivate func likelihood(way: Int) -> Double {
      if way == 0 { return rate }
      return others[..<(way - 1)].reduce((1 - rate) * others[way - 1]) { $0 * (1 - $1) }
    }
  }

  /// How many drafted tokens of each text pay in a step, on each way on.
  ///
  /// - Parameters:
  ///   - rows: tokens of the step without drafts.
  ///   - written: tokens that it writes without drafts.
  ///   - extra: seconds for each drafted token, its own cost in the step apart.
  ///   - room: how many more tokens the step takes in all.
  package func worthwhile<ID: Hashable & Comparable>(
    rows: Int, written: Int, extra: Double, drafts: [ID: Outlook], room: Int
  ) -> [ID: [Int]] {
    // As long as nothing is known, a step is measured as it is.
    if isUnknown { return [:] }
    var (rows, written) = (rows, Double(written))
    var counts: [ID: [Int]] = [:]
    func worth(_ next: NextDraft<ID>) -> Double { next.likelihood / (Double(next.rows) * each + extra) }
    var next = drafts.filter { $0.value.counts.first ?? 0 > 0 }
      .map { NextDraft(id: $0.key, way: 0, likelihood: $0.value.rate, rows: 1) }
    let most = rows + room
    while let best = next.indices.max(by: {
      (worth(next[$0]), next[$1].id, next[$1].way) < (worth(next[$1]), next[$0].id, next[$0].way)
    }) {
      let (draft, outlook) = (next[best], drafts[next[best].id]!)
      guard worth(draft) * seconds(rows) > written else { break }
      if rows + draft.rows > most {
        next.remove(at: best)
        continue
      }
      var lengths = counts[draft.id] ?? []
      if draft.way == lengths.count {
        lengths.append(0)
        // The next way on can begin now.
        let other = draft.way + 1
        if other < outlook.counts.count, outlook.counts[other] > 0, other <= outlook.others.count {
          next.append(NextDraft(id: draft.id, way: other, likelihood: outlook.likelihood(way: other), rows: 2))
        }
      }
      lengths[draft.way] += 1
      counts[draft.id] = lengths
      rows += draft.rows
      written += draft.likelihood
      if lengths[draft.way] < outlook.counts[draft.way] {
        next[best] = NextDraft(id: draft.id, way: draft.way, likelihood: draft.likelihood * outlook.rate, rows: 1)
      } else {
        next.remove(at: best)
      }
    }
    return counts
  }
}

/// The next token of a way on that might be drafted: how likely it counts, and how many rows of a step it takes.
private struct NextDraft<ID> {
  var id: ID
  var way: Int
  var likelihood: Double
  var rows: Int
}
