// Folders without tokenizer.json against `transformers`, `mistral-common` and `tiktoken`, and a long text against
// `sentencepiece` (fixtures made by Scripts/make-vocabulary-fixtures.py).

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct VocabularyFilesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let value: JSONValue
    var testDescription: String { value["name"]!.string! }

    /// Calls `body` with the folder.
    func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
      try TestFiles.withFolder { folder in
        for (name, text) in try #require(value["files"]?.object) {
          try Data(try #require(text.string).utf8).write(to: URL(filePath: folder + "/" + name))
        }
        return try body(folder)
      }
    }
  }

  static let document = try! Fixture.json("vocabularies.json")
  static let cases = document["cases"]!.array!.map { Case(value: $0) }

  @Test(arguments: cases)
  func encodesLikeThePeer(_ test: Case) throws {
    let tokenizer = try test.withFolder { try TokenizerFile.read(path: $0) }
    let specials: SpecialTokenHandling = test.value["recognizes"]?.bool == true ? .recognized : .asText
    let expected = try Fixture.numbers(test.value["tokens"])
    for (text, expected) in zip(try Fixture.texts(Self.document), expected) {
      let found = tokenizer.encode(text, specials: specials, addingSpecials: true)
      #expect(found.map { Int($0) } == expected, "\(text.debugDescription)")
    }
  }

  /// A folder of this kind becomes a tokenizer.json that is read back the same.
  @Test(arguments: cases.prefix(5))
  func isWrittenAsTokenizerJSON(_ test: Case) throws {
    let tokenizer = try test.withFolder { try TokenizerFile.read(path: $0) }
    let again = try TestFiles.withFolder { folder in
      try TokenizerFile.write(tokenizer, to: folder + "/tokenizer.json")
      return try TokenizerFile.read(path: folder)
    }
    for text in try Fixture.texts(Self.document) {
      let tokens = tokenizer.encode(text, specials: .recognized, addingSpecials: true)
      #expect(again.encode(text, specials: .recognized, addingSpecials: true) == tokens)
      #expect(again.decode(tokens) == tokenizer.decode(tokens))
    }
  }

  @Test func rolesAreThoseOfTheClass() throws {
    let bert = try Self.cases[3].withFolder { try TokenizerFile.read(path: $0) }
    #expect(bert.roles.beginOfText == 3 && bert.roles.endOfText == 4 && bert.roles.mask == 5)
    let qwen = try Self.cases[2].withFolder { try TokenizerFile.read(path: $0) }
    #expect(qwen.roles.endOfText == qwen.specialToken("<|im_end|>") && qwen.roles.beginOfText == nil)
    let mistral = try Self.cases[5].withFolder { try TokenizerFile.read(path: $0) }
    #expect(mistral.roles.beginOfText == 1 && mistral.roles.endOfText == 2)
    #expect(mistral.encode("[INST]", specials: .recognized) == [3])
    #expect(mistral.encode("<SPECIAL_25>", specials: .recognized) == [25])
  }

  @Test func unknownClassesAreRefused() throws {
    let gpt2 = Self.cases[0]
    try gpt2.withFolder { folder in
      try Data(#"{"tokenizer_class": "CTRLTokenizer"}"#.utf8).write(
        to: URL(filePath: folder + "/tokenizer_config.json"))
      let error = #expect(throws: FormatsError.self) { try TokenizerFile.read(path: folder) }
      #expect(error?.message.contains("'ctrl'") == true && error?.message.contains("gpt2") == true)
    }
  }

  @Test func damagedFilesAreRefused() throws {
    for (number, name, text) in [
      (0, "vocab.json", "[1]"), (0, "merges.txt", "a\n"), (3, "vocab.txt", "a\nb\n"), (5, "tekken.json", "{}"),
      (5, "tekken.json", #"{"config": {"pattern": "a", "default_vocab_size": 9, "default_num_special_tokens": 10}}"#),
    ] {
      try Self.cases[number].withFolder { folder in
        try Data(text.utf8).write(to: URL(filePath: folder + "/" + name))
        #expect(throws: FormatsError.self, "\(name)") { try TokenizerFile.read(path: folder) }
      }
    }
  }

  /// The sum of scores of this text passes 100,000 several times.
  @Test func longTextsLikeSentencePiece() throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.fixture("unigram.model"))
    let long = try #require(Self.document["long"])
    let text = String(repeating: try #require(long["text"]?.string), count: try #require(long["repeated"]?.integer))
    let tokens = tokenizer.encode(text)
    #expect(tokens.count == long["count"]?.integer)
    #expect(tokens.reduce(UInt32(0)) { $0 &* 31 &+ UInt32($1) } == long["hash"]?.integer.map { UInt32($0) })
  }

  @Test(.enabled(if: TestFiles.data != nil))
  func whisperVocabulary() throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.data! + "/tokenizers/multilingual.tiktoken")
    // What tiktoken 0.14 makes of the file under GPT-2's expression.
    let text = "Größe, Привет мир, 你好世界 — I'll 12345  see\n"
    #expect(
      tokenizer.encode(text) == [
        20038, 973, 11451, 11, 38932, 20536, 11, 10930, 2131, 24486, 3466, 286, 603, 34466, 8465, 220, 536, 198,
      ])
    #expect(tokenizer.endOfText == 50257 && tokenizer.decode(tokenizer.encode(text)) == text)
  }
}
