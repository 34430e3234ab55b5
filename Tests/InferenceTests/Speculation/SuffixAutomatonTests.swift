// The automaton against looking everywhere, and what drafts are worth.

import Inference
import Support
import Testing

@Suite struct SuffixAutomatonTests {
  /// The longest end of `text` that stands in `source` before `end`, and where it ends first.
  private static func longest(_ text: [Int32], in source: [Int32], before end: Int) -> (length: Int, end: Int) {
    for length in stride(from: min(text.count, end), to: 0, by: -1) {
      let part = text.suffix(length)
      for place in stride(from: length, through: end, by: 1)
      where source[(place - length)..<place].elementsEqual(part) { return (length, place) }
    }
    return (0, 0)
  }

  @Test(arguments: 0..<30) func repetitionsAreFound(round: Int) {
    var random = RandomCase("suffixes", round)
    let letters = Int32(random.integer(1...4))
    var automaton = SuffixAutomaton()
    var text: [Int32] = []
    for _ in 0..<60 {
      text.append(Int32(random.integer(0...Int(letters))))
      automaton.append(text.last!)
      let (length, end) = Self.longest(text, in: text, before: text.count - 1)
      #expect(automaton.repetition.length == length)
      let draft = automaton.continuation(of: automaton.repetition, 5)
      guard length > 0 else {
        #expect(draft.isEmpty)
        continue
      }
      let longer = text + draft
      #expect(draft == Array(longer[end..<end + 5]), "\(random)")
    }
  }

  @Test(arguments: 0..<30) func anotherTextIsFollowedWhileTheFirstGrows(round: Int) {
    var random = RandomCase("following", round)
    let letters = random.integer(1...3)
    var automaton = SuffixAutomaton()
    var match = SuffixAutomaton.Match()
    var text: [Int32] = []
    for _ in 0..<100 {
      for _ in 0..<random.integer(0...2) { automaton.append(Int32(random.integer(0...letters))) }
      text.append(Int32(random.integer(0...letters)))
      automaton.advance(&match, text.last!)
      let tokens = automaton.tokens
      let longest = Self.longest(text, in: tokens, before: tokens.count).length
      // What has grown since is found from the next token on, at most one token shorter for each that was added.
      #expect(match.length <= longest)
      let part = text.suffix(match.length)
      let next = automaton.continuation(of: match, 1)
      guard match.length > 0, let next = next.first else { continue }
      #expect(
        (match.length..<max(match.length, tokens.count)).contains {
          tokens[($0 - match.length)..<$0].elementsEqual(part) && tokens[$0] == next
        } || tokens.suffix(match.length).elementsEqual(part))
    }
  }

  @Test func draftsAreAsManyAsPay() {
    var cost = StepCost()
    #expect(
      cost.worthwhile(rows: 1, written: 1, extra: 0, drafts: [1: StepCost.Outlook([8], rate: 0.9)], room: 8).isEmpty,
      "nothing is known yet")
    for rows in [1, 2, 4, 8, 16, 1, 2, 4, 8, 16] { cost.observe(rows: rows, seconds: 1 + 0.1 * Double(rows)) }
    #expect(abs(cost.each - 0.1) < 0.01 && abs(cost.seconds(10) - 2) < 0.1)
    func counts(_ texts: Int, rate: Double, extra: Double = 0, room: Int = 512) -> [Int] {
      let drafts = Dictionary(uniqueKeysWithValues: (0..<texts).map { ($0, StepCost.Outlook([8], rate: rate)) })
      return cost.worthwhile(rows: texts, written: texts, extra: extra, drafts: drafts, room: room).values.map { $0[0] }
        .sorted()
    }
    #expect(counts(1, rate: 1) == [8])
    #expect((3...6).contains(counts(1, rate: 0.7)[0]))
    #expect(counts(1, rate: 0.05).isEmpty && counts(1, rate: 0.7, extra: 1).isEmpty)
    // With many texts a step's fixed part is shared already.
    #expect(counts(64, rate: 0.7).isEmpty && counts(64, rate: 0.99).count == 64)
    // What the step does not take is not counted, and keeps nothing that it takes from paying.
    #expect(counts(3, rate: 1, room: 5).reduce(0, +) == 5 && counts(1, rate: 1, room: 0).isEmpty)
    let drafts = [1: StepCost.Outlook([8], rate: 0.6), 2: StepCost.Outlook([8], rate: 0.9)]
    #expect(cost.worthwhile(rows: 2, written: 2, extra: 0, drafts: drafts, room: 2) == [2: [2]])

    // Other ways on where the first is unsure and a step is cheap, the likelier the longer; none for many texts.
    func ways(_ texts: Int, rate: Double) -> [[Int]] {
      let outlook = StepCost.Outlook([8, 8, 8], rate: rate, others: [0.6, 0.5])
      let drafts = Dictionary(uniqueKeysWithValues: (0..<texts).map { ($0, outlook) })
      return Array(cost.worthwhile(rows: texts, written: texts, extra: 0, drafts: drafts, room: 512).values)
    }
    let (unsure, sure) = (ways(1, rate: 0.5)[0], ways(1, rate: 0.99)[0])
    #expect(unsure.count == 2 && unsure[0] >= unsure[1] && unsure[1] > 0, "\(unsure)")
    #expect(sure == [8])
    #expect(ways(32, rate: 0.5).allSatisfy { $0.count == 1 })
  }
}
