// tokenizer.json and .tiktoken: files of others read, our own written and read back.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct TokenizerFileTests {
  @Test(arguments: ["gpt2", "llama3", "qwen2"])
  func encodesLikeHuggingFace(rule: String) throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.fixture("\(rule)-tokenizer.json"))
    #expect((tokenizer as? BytePairEncoding)?.splitRule.rawValue == rule)
    #expect(tokenizer.vocabularySize == 420 && tokenizer.endOfText == 0)
    let fixture = try Fixture.json("\(rule)-encodings.json")
    for (text, tokens) in zip(try Fixture.texts(fixture), try Fixture.numbers(fixture["tokens"])) {
      #expect(tokenizer.encode(text, specials: .recognized) == tokens.map { Int32($0) }, "\(text.debugDescription)")
      #expect(tokenizer.decode(tokens.map { Int32($0) }) == text)
    }
  }

  @Test func whatIsWrittenIsReadBack() throws {
    try TestFiles.withFolder { folder in
      let path = folder + "/tokenizer.json"
      let character = CharacterTokenizer(characters: "añ\n\" \\😀".unicodeScalars)
      let bytes = BytePairEncoding.bytes(splitRule: .o200k)
      for tokenizer in [BytePairEncodingTests.small, bytes, character] as [any Tokenizer] {
        try TokenizerFile.write(tokenizer, to: path)
        let again = try TokenizerFile.read(path: folder)
        #expect(again.fingerprint == tokenizer.fingerprint)
        #expect(again.specialTokens == tokenizer.specialTokens)
      }
      let rank = folder + "/small.tiktoken"
      try TiktokenFile.write(BytePairEncodingTests.small, to: rank)
      let again = try TokenizerFile.read(path: rank)
      let text = StoriesAndSums(seed: 77).document(3)
      #expect(again.encode(text) == BytePairEncodingTests.small.encode(text))
      #expect(again.endOfText == BytePairEncodingTests.small.endOfText)
    }
  }

  @Test(.enabled(if: TestFiles.data != nil))
  func aRealVocabularyAsTokenizerJSON() throws {
    try TestFiles.withFolder { folder in
      let ranks = try TiktokenFile.read(path: TestFiles.data! + "/tokenizers/gpt2.tiktoken", splitRule: .gpt2)
      try TokenizerFile.write(ranks, to: folder + "/tokenizer.json")
      let again = try TokenizerFile.read(path: folder)
      for text in try Fixture.texts(Fixture.json("splits.json")) { #expect(again.encode(text) == ranks.encode(text)) }
    }
  }

  @Test func unsupportedPartsAreNamed() throws {
    let good = String(decoding: try TestFiles.bytes(TestFiles.fixture("llama3-tokenizer.json")), as: UTF8.self)
    let changes = [
      (#""normalizer":null"#, #""normalizer":{"type":"Mystery"}"#, "Mystery"),
      (#""post_processor":null"#, #""post_processor":{"type":"Riddle"}"#, "Riddle"),
      (#""type":"BPE""#, #""type":"Enigma""#, "Enigma"),
      (#""type":"BPE""#, #""type":"Unigram""#, "scores"),
      (#""dropout":null"#, #""dropout":0.1"#, "dropout"),
      (#"\\p{N}{1,3}"#, #"(x)\\1"#, "(x)"),
      (#""merges":["#, #""merges":[["xyzzy","q"],"#, "xyzzy"),
    ]
    try TestFiles.withFolder { folder in
      for (old, new, part) in changes {
        let path = folder + "/tokenizer.json"
        let changed = good.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
        try #require(changed != good, "\(old)")
        try Data(changed.utf8).write(to: URL(filePath: path))
        let error = #expect(throws: FormatsError.self) { try TokenizerFile.read(path: path) }
        #expect(error?.message.contains(part) == true, "\(String(describing: error))")
      }
    }
  }

  @Test func charactersNeverFail() {
    let tokenizer = CharacterTokenizer(characters: "ba é".unicodeScalars)
    #expect(tokenizer.encode("abé x") == [1, 2, 3, 0, 4])
    #expect(tokenizer.decode([1, 2, 3, 0, 4]) == "abé \u{FFFD}")
    #expect(tokenizer.encode("a<|endoftext|>", specials: .recognized) == [1, tokenizer.endOfText!])
  }

  @Test func streamingNeverShowsHalfACharacter() {
    let tokenizer = BytePairEncoding.bytes()
    let text = "aé中😀\u{FFFD}👩‍🚀"
    let bytes = Array(text.utf8) + [0xF0, 0x9F, 0x41, 0xE4, 0xB8]
    var decoder = StreamingDecoder(tokenizer)
    var pieces: [String] = []
    for byte in bytes { pieces.append(decoder.push(Int32(byte))) }
    pieces.append(decoder.finish())
    #expect(pieces.joined() == String(decoding: bytes, as: UTF8.self))
    #expect(pieces.prefix(3) == ["a", "", "é"])
  }
}
