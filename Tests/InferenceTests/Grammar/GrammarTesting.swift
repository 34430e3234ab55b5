// What the tests of grammars share: a vocabulary, random texts under a grammar, and the slow and obvious ways to do what is fast.

import Core
import Inference

enum GrammarTesting {
  /// All bytes, and pieces as tokenizers have them.
  static let spellings: [[UInt8]] = {
    let pieces = [
      "true", "false", "null", "{\"", "\":", "\":\"", "\",\"", "\"}", "\"]", "},{", "[{", "}]", "}}", ", ", ": ", " \"",
      "\": ", "\", ",
      "\n  ", "\n", "  ", "name", "value", "ab", "abc", "aa", "aaa", "bc", "the", " the", "-1", "10", "12", "0.", ".5",
      "e+", "100", "00",
      "ä", "ö", "你好", "好", "é", "\\n", "\\u00", "\\\"", "\\", "a\"", "x\",", "id", "items", "type", "{}", "[]", "[[",
      "]]", "({", "b\":",
      "2024-", "-01", "T1", ":00", "Z\"", "@", ".com", "1.2", ".3", "\"a", "\"b\"", "key", "_", "A", "Bc", "\r\n",
      "yes", "no", "+", "(a", "b)",
    ]
    // Half characters, as byte-level vocabularies have them.
    let halves: [[UInt8]] = [[0xC3], [0xE4, 0xBD], [0xBD, 0xA0], [0xA4, 0x22], [0xF0, 0x9F], [0x98, 0x80, 0x22]]
    return (0...255).map { [UInt8($0)] } + pieces.map { Array($0.utf8) }.filter { $0.count > 1 } + halves
  }()

  static let vocabulary = GrammarVocabulary(spellings)

  static func masks(_ grammar: Grammar) throws -> GrammarMasks { GrammarMasks(try GrammarNetwork(grammar), vocabulary) }

  static func tokens(_ words: [UInt64]) -> [Int32] {
    var result: [Int32] = []
    for (index, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        result.append(Int32(64 * index + rest.trailingZeroBitCount))
        rest &= rest - 1
      }
    }
    return result
  }

  static func mask(_ matcher: inout GrammarMatcher) -> [Int32] {
    var words = [UInt64](repeating: 0, count: vocabulary.words)
    matcher.mask(into: &words)
    return tokens(words)
  }

  /// Every token by itself, byte by byte, on a copy.
  static func slowMask(_ matcher: GrammarMatcher) -> [Int32] {
    (0..<Int32(spellings.count)).filter { token in
      var copy = matcher
      return copy.follow(bytes: spellings[Int(token)])
    }
  }

  /// Whether bytes fulfil a grammar.
  static func accepts(_ masks: GrammarMasks, _ bytes: some Sequence<UInt8>) -> Bool {
    var matcher = GrammarMatcher(masks)
    return matcher.follow(bytes: bytes) && matcher.isComplete
  }

  static func accepts(_ masks: GrammarMasks, _ text: String) -> Bool { accepts(masks, Array(text.utf8)) }

  /// A text as a model without any knowledge would write it; nil if it did not end.
  ///
  /// - Parameter patience: how many tokens are chosen among all; from then on those that close something are preferred.
  static func text(
    _ masks: GrammarMasks, patience: Int = 12, limit: Int = 600, using random: inout some RandomNumberGenerator,
    check: (inout GrammarMatcher, [Int32]) throws -> Void = { _, _ in }
  ) throws -> [UInt8]? {
    var matcher = GrammarMatcher(masks)
    var text: [UInt8] = []
    for step in 0..<limit {
      if matcher.isOver { return text }
      let allowed = mask(&matcher)
      try check(&matcher, allowed)
      if allowed.isEmpty { return nil }
      if matcher.isComplete, step > patience || Int.random(in: 0..<4, using: &random) == 0 { return text }
      var choice = allowed
      if step > patience {
        let closing = allowed.filter {
          spellings[Int($0)].contains { "\"}]n0".utf8.contains($0) } && spellings[Int($0)].count < 3
        }
        // Not always: a text may have to open something before it can end.
        if !closing.isEmpty, Int.random(in: 0..<10, using: &random) > 0 { choice = closing }
      }
      let token = choice[Int.random(in: 0..<choice.count, using: &random)]
      guard matcher.follow(token) else { return nil }
      text += spellings[Int(token)]
    }
    return nil
  }
}
