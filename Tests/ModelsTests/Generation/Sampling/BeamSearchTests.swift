// Beam search against looking at all texts, on small random models.

import Core
import Models
import Support
import Testing

@Suite struct BeamSearchTests {
  private static let vocabulary = 5
  private static let ends: Set<Int32> = [0, 3]

  /// Logits that depend on the last two tokens.
  private struct Model {
    let table: [Float]

    init(_ random: inout RandomCase) {
      table = (0..<(36 * vocabulary)).map { _ in Float(random.uniform(-2...2)) }
    }

    func logits(_ text: [Int32]) -> [Float] {
      let state = (text.suffix(2) + [5, 5]).prefix(2).reduce(0) { $0 * 6 + Int($1) }
      return Array(table[(state * vocabulary)..<((state + 1) * vocabulary)])
    }

    func logProbabilities(_ text: [Int32]) -> [Double] {
      let logits = logits(text).map(Double.init)
      let normalizer = log(logits.map { exp($0) }.reduce(0, +))
      return logits.map { $0 - normalizer }
    }

    /// All texts of at most `count` tokens, finished or cut off.
    func all(_ text: [Int32], _ sum: Double, count: Int) -> [ScoredTokens] {
      if text.count == count { return [ScoredTokens(tokens: text, logProbability: sum, length: count)] }
      return logProbabilities(text).enumerated().flatMap { token, value in
        ends.contains(Int32(token))
          ? [ScoredTokens(tokens: text, logProbability: sum + value, length: text.count + 1)]
          : all(text + [Int32(token)], sum + value, count: count)
      }
    }
  }

  @Test func wideSearchesFindTheBest() {
    for index in 0..<30 {
      var random = RandomCase("beams", index)
      let model = Model(&random)
      let (count, penalty) = (random.integer(1...5), random.choice([0, 0.5, 1, 2, -1]))
      let width = 400
      let expected = model.all([], 0, count: count).sorted {
        $0.score(lengthPenalty: penalty) > $1.score(lengthPenalty: penalty)
      }
      let found = beamSearch(width: width, count: count, ends: Self.ends, lengthPenalty: penalty) {
        $0.map(model.logits)
      }
      #expect(found.count == min(width, expected.count), "\(random)")
      for (a, b) in zip(found, expected).prefix(20) {
        #expect(abs(a.score(lengthPenalty: penalty) - b.score(lengthPenalty: penalty)) < 1e-5, "\(random)")
      }
      #expect(found[0].tokens == expected[0].tokens, "\(random)")
    }
  }

  /// Narrow searches: what they find is scored right, in order, and one beam without ends is the greedy text.
  @Test func narrowSearchesAreConsistent() {
    for index in 0..<30 {
      var random = RandomCase("narrow beams", index)
      let model = Model(&random)
      let width = random.integer(1...4)
      let found = beamSearch(width: width, count: 8, ends: Self.ends) { beams in
        #expect(beams.count <= width && Set(beams.map(\.count)).count == 1)
        return beams.map(model.logits)
      }
      #expect(!found.isEmpty && found.count <= width)
      #expect(zip(found, found.dropFirst()).allSatisfy { $0.mean >= $1.mean }, "\(random)")
      for text in found {
        var sum = 0.0
        for place in text.tokens.indices {
          sum += model.logProbabilities(Array(text.tokens[..<place]))[Int(text.tokens[place])]
        }
        if text.length > text.tokens.count {
          let last = model.logProbabilities(text.tokens)
          #expect(Self.ends.contains { abs(sum + last[Int($0)] - text.logProbability) < 1e-5 }, "\(random)")
        } else {
          #expect(abs(sum - text.logProbability) < 1e-5, "\(random)")
        }
      }
      var greedy: [Int32] = []
      for _ in 0..<8 {
        let logits = model.logits(greedy)
        greedy.append(Int32(logits.firstIndex(of: logits.max()!)!))
      }
      #expect(beamSearch(width: 1, count: 8, ends: []) { $0.map(model.logits) }[0].tokens == greedy, "\(random)")
    }
  }
}
