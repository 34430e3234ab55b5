// Every window once per epoch, over any number of ranks, from any step.

import Core
import Formats
import Testing

@Suite struct BatchOrderTests {
  @Test(arguments: [(9, 8), (16, 8), (17, 8), (100, 1), (1000, 7), (4097, 64), (2, 1)])
  func everyWindowOncePerEpoch(tokens: Int, length: Int) {
    let order = BatchOrder(seed: 42, tokens: tokens, length: length)
    for epoch in 0..<3 {
      let offsets = (0..<order.windows).map { order.offset(at: epoch * order.windows + $0) }.sorted()
      #expect(offsets.first! >= 0 && offsets.last! + length < tokens)
      #expect(zip(offsets, offsets.dropFirst()).allSatisfy { $1 - $0 == length }, "neither overlap nor gap")
    }
    #expect(order.windows >= max(1, tokens / length - 2))
  }

  @Test func ranksShareTheStep() {
    let order = BatchOrder(seed: 3, tokens: 5000, length: 10)
    for step in [0, 5, 77] {
      let alone = order.offsets(step: step, batch: 12)
      let together = (0..<4).flatMap { order.offsets(step: step, batch: 3, rank: $0, ranks: 4) }
      #expect(alone == together)
    }
  }

  @Test func seedsAndEpochsDiffer() {
    let order = BatchOrder(seed: 3, tokens: 5000, length: 10)
    let epoch = (0..<order.windows).map(order.offset(at:))
    #expect(epoch != (0..<order.windows).map { order.offset(at: $0 + order.windows) })
    #expect(epoch != (0..<order.windows).map(BatchOrder(seed: 4, tokens: 5000, length: 10).offset(at:)))
    #expect(epoch != epoch.sorted())
  }

  @Test func storiesAreTheSameEveryTime() {
    let stories = StoriesAndSums(seed: 1)
    #expect(stories.document(17) == StoriesAndSums(seed: 1).document(17))
    #expect(Set((0..<500).map { stories.document($0) }).count > 490)
    for document in (0..<2000).map({ stories.document($0) }) {
      for line in document.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count == 5, words[3] == "=", let a = Int(words[0]), let b = Int(words[2]) else { continue }
        #expect(Int(words[4].dropLast()) == (words[1] == "+" ? a + b : a - b), "\(line)")
      }
    }
  }
}
