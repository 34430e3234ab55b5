// Encoding against an obviously right merge loop, and against what other encoders make of real vocabularies.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct BytePairEncodingTests {
  /// A small vocabulary learned from a text that repeats itself.
  static let small: BytePairEncoding = {
    var trainer = BytePairTrainer()
    for index in 0..<300 { trainer.add(StoriesAndSums(seed: 3).document(index)) }
    return try! trainer.train(vocabularySize: 700)
  }()

  /// Merging as the paper has it: strings of tokens, lowest rank first, leftmost of equals.
  static func slowly(_ piece: [UInt8], _ ranks: [[UInt8]: Int]) -> [[UInt8]] {
    var parts = piece.map { [$0] }
    while true {
      let candidates = parts.indices.dropLast().compactMap { index in
        ranks[parts[index] + parts[index + 1]].map { (rank: $0, index: index) }
      }
      guard let best = candidates.min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) }) else { return parts }
      parts[best.index...best.index + 1] = [parts[best.index] + parts[best.index + 1]]
    }
  }

  @Test(arguments: [1, 2, 3, 15, 16, 17, 31, 32, 33, 95, 96, 97, 128, 129, 700])
  func mergesLikeTheDefinition(length: Int) throws {
    // Letters only, so that the whole text is one piece; both merge loops and both cache sizes are crossed.
    let tokenizer = Self.small
    var ranks: [[UInt8]: Int] = [:]
    for token in 256..<Int32(tokenizer.vocabularySize - 1) { ranks[tokenizer.decodeBytes([token])] = Int(token) }
    var generator = Generator(seed: UInt64(length))
    for _ in 0..<20 {
      let piece = (0..<length).map { _ in "etaoinshrthe".utf8.randomElement(using: &generator)! }
      let tokens = tokenizer.encode(piece)
      #expect(tokens.map { tokenizer.decodeBytes([$0]) } == Self.slowly(piece, ranks))
      #expect(tokenizer.encode(piece) == tokens, "the second time comes from the cache")
    }
  }

  @Test(arguments: SplitRule.allCases)
  func anyBytesComeBack(rule: SplitRule) throws {
    let tokenizer = BytePairEncoding.bytes(splitRule: rule)
    var generator = Generator(seed: 11)
    for length in [0, 1, 2, 3, 7, 100, 5000] {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
      #expect(tokenizer.decodeBytes(tokenizer.encode(bytes)) == bytes)
      #expect(tokenizer.encode(bytes).count == length)
    }
  }

  @Test func specialTokensOnlyWhereAskedFor() {
    let tokenizer = Self.small
    let text = "one<|endoftext|>two<|endoftext|>"
    let end = tokenizer.endOfText!
    let recognized = tokenizer.encode(text, specials: .recognized)
    #expect(recognized.filter { $0 == end }.count == 2)
    #expect(!tokenizer.encode(text).contains(end))
    #expect(recognized == tokenizer.encode("one") + [end] + tokenizer.encode("two") + [end])
    #expect(tokenizer.decode(recognized) == text)
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
  }

  @Test func aMillionEqualLettersTakeNoQuadraticTime() {
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
    let tokens = Self.small.encode(text)
    #expect(Self.small.decodeBytes(tokens) == text)
  }

  @Test func anIncompleteVocabularyIsRefused() {
    #expect(throws: FormatsError.self) {
      try BytePairEncoding(tokens: [[65]], merges: .list([]), splitRule: .gpt2, specialTokens: [:])
    }
  }

  @Test func manyThreadsMayEncodeAtOnce() async {
    let text = (0..<50).map { StoriesAndSums(seed: 9).document($0) }.joined(separator: "\n")
    let expected = Self.small.encode(text)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 { group.addTask { Self.small.encode(text) == expected } }
      for await same in group { #expect(same) }
    }
  }

  /// The test texts and expected tokens that come with llama.cpp's copy of the GPT-2 vocabulary.
  @Test(.enabled(if: TestFiles.data != nil))
  func gpt2TestTexts() throws {
    let folder = TestFiles.data! + "/tokenizers"
    let tokenizer = try TiktokenFile.read(path: folder + "/gpt2.tiktoken", splitRule: .gpt2)
    #expect(tokenizer.vocabularySize == 50257)
    let input = String(decoding: try TestFiles.bytes(folder + "/ggml-vocab-gpt-2.gguf.inp"), as: UTF8.self)
    let output = String(decoding: try TestFiles.bytes(folder + "/ggml-vocab-gpt-2.gguf.out"), as: UTF8.self)
    let texts = Self.split(input, "\n__ggml_vocab_test__\n")
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(texts.count > 40)
    for (text, line) in zip(texts, lines) {
      #expect(tokenizer.encode(text) == line.split(separator: " ").map { Int32($0)! }, "\(text.debugDescription)")
    }
  }

  /// The parts of a text between separators.
  static func split(_ text: String, _ separator: String) -> [String] {
    let (bytes, mark) = (Array(text.utf8), Array(separator.utf8))
    var parts: [String] = []
    var start = 0
    var position = 0
    while position + mark.count <= bytes.count {
      if bytes[position..<position + mark.count].elementsEqual(mark) {
        parts.append(String(decoding: bytes[start..<position], as: UTF8.self))
        position += mark.count
        start = position
      } else {
        position += 1
      }
    }
    parts.append(String(decoding: bytes[start...], as: UTF8.self))
    return parts
  }
}
