// The hand-written scanners against regex engines, and encodings against tiktoken.

import Core
import Formats
import FoundationEssentials
import Testing

/// Reads fixtures.
enum Fixture {
  static func json(_ name: String) throws -> JSONValue {
    try TestFiles.bytes(TestFiles.fixture(name)).withUnsafeBufferPointer { bytes in
      var reader = JSONReader(bytes)
      return try reader.value()
    }
  }

  static func texts(_ value: JSONValue) throws -> [String] {
    try #require(value["texts"]?.array).map { try #require($0.string) }
  }

  static func numbers(_ value: JSONValue?) throws -> [[Int]] {
    try #require(value?.array).map { try #require($0.array).map { try #require($0.integer) } }
  }
}

@Suite struct SplitRuleTests {
  @Test(arguments: SplitRule.allCases)
  func cutsLikeTheExpression(rule: SplitRule) throws {
    let fixture = try Fixture.json("splits.json")
    let texts = try Fixture.texts(fixture)
    let expected = try Fixture.numbers(fixture[rule.rawValue])
    #expect(texts.count == expected.count && texts.count > 500)
    for (text, lengths) in zip(texts, expected) {
      var text = text
      let ends = text.withUTF8 { rule.pieceEnds($0) }
      #expect(zip([0] + ends, ends).map { $1 - $0 } == lengths, "\(text.debugDescription)")
    }
  }

  @Test(.enabled(if: TestFiles.data != nil), arguments: [SplitRule.gpt2, .cl100k, .o200k])
  func encodesLikeTiktoken(rule: SplitRule) throws {
    let tokenizer = try TiktokenFile.read(path: TestFiles.data! + "/tokenizers/gpt2.tiktoken", splitRule: rule)
    let fixture = try Fixture.json("gpt2-vocabulary.json")
    for (text, tokens) in zip(try Fixture.texts(fixture), try Fixture.numbers(fixture[rule.rawValue])) {
      #expect(tokenizer.encode(text) == tokens.map { Int32($0) }, "\(text.debugDescription)")
      #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }
  }
}
