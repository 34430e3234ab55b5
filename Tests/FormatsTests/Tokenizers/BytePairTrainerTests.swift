// Training against the definition: count all pairs, merge the most frequent, repeat.

import Core
import Formats
import Testing

@Suite struct BytePairTrainerTests {
  /// The pieces' merges by recounting everything after every merge.
  static func slowly(_ text: String, merges: Int, rule: SplitRule) -> [[UInt8]] {
    var text = text
    var pieces: [[Int]] = text.withUTF8 { utf8 in
      var start = 0
      return rule.pieceEnds(utf8).map { end in
        defer { start = end }
        return utf8[start..<end].map { Int($0) }
      }
    }
    var tokens = (0..<256).map { [UInt8($0)] }
    for _ in 0..<merges {
      var counts: [[Int]: Int] = [:]
      for piece in pieces {
        for index in piece.indices.dropLast() { counts[[piece[index], piece[index + 1]], default: 0] += 1 }
      }
      // Overlapping pairs, as in "aaa", count as often as they stand there, like in the published trainers.
      guard let best = counts.min(by: { (-$0.value, $0.key[0], $0.key[1]) < (-$1.value, $1.key[0], $1.key[1]) }),
        best.value >= 2
      else { break }
      for index in pieces.indices {
        var merged: [Int] = []
        var position = 0
        while position < pieces[index].count {
          if position + 1 < pieces[index].count, [pieces[index][position], pieces[index][position + 1]] == best.key {
            merged.append(tokens.count)
            position += 2
          } else {
            merged.append(pieces[index][position])
            position += 1
          }
        }
        pieces[index] = merged
      }
      tokens.append(tokens[best.key[0]] + tokens[best.key[1]])
    }
    return tokens
  }

  @Test(arguments: ["stories", "repeats", "empty"])
  func learnsTheMergesOfTheDefinition(kind: String) throws {
    var generator = Generator(seed: 5)
    let text =
      switch kind {
      case "stories": (0..<40).map { StoriesAndSums(seed: 2).document($0) }.joined(separator: "\n")
      case "repeats":
        (0..<300).map { _ in
          String(
            repeating: ["a", "ab", "aab", "é"].randomElement(using: &generator)!,
            count: .random(in: 1...7, using: &generator))
        }.joined(separator: " ")
      default: ""
      }
    let expected = Self.slowly(text, merges: 100, rule: .gpt2)
    var trainer = BytePairTrainer()
    trainer.add(text)
    let tokenizer = try trainer.train(vocabularySize: 357)
    #expect(tokenizer.vocabularySize == expected.count + 1)
    #expect(expected.indices.allSatisfy { tokenizer.decodeBytes([Int32($0)]) == expected[$0] })
  }

  @Test func theNumberOfThreadsDoesNotMatter() throws {
    let corpus = Corpus.storiesAndSums(seed: 4, bytes: 1_500_000)
    let one = try corpus.trainBytePairEncoding(vocabularySize: 600, threads: 1)
    let three = try corpus.trainBytePairEncoding(vocabularySize: 600, threads: 3)
    #expect(one.fingerprint == three.fingerprint)
    #expect(one.vocabularySize == 600)
  }

  @Test func chunksCutNoPieces() throws {
    let text = Array((0..<400).map { StoriesAndSums(seed: 6).document($0) + "\n  \n\n" }.joined().utf8)
    text.withUnsafeBufferPointer { text in
      for rule in SplitRule.allCases {
        let whole = rule.pieceEnds(text)
        var parts: [Int] = []
        let ranges = TextChunks.ranges(of: text, size: 1000)
        #expect(ranges.count > 20)
        for range in ranges {
          parts += rule.pieceEnds(UnsafeBufferPointer(rebasing: text[range])).map { $0 + range.lowerBound }
        }
        #expect(parts == whole)
      }
    }
  }

  @Test func tooSmallAVocabularyIsRefused() {
    #expect(throws: FormatsError.self) { try BytePairTrainer().train(vocabularySize: 256) }
  }
}
