// Small tokenizers with every part that tokenizer.json knows, and two SentencePiece models, against what `tokenizers` and
// `sentencepiece` make of the same texts (fixtures made by Scripts/make-tokenizer-parts-fixtures.py).

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct TokenizerPartsTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let value: JSONValue
    var testDescription: String { name }

    /// The tokenizer, read from a file as any other.
    func tokenizer() throws -> any Tokenizer {
      guard let text = value["tokenizer"]?.string else { return try TokenizerFile.read(path: TestFiles.fixture(name)) }
      return try TestFiles.withFolder { folder in
        try Data(text.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
        return try TokenizerFile.read(path: folder)
      }
    }

    func tokens(_ part: String) throws -> [[Int32]]? {
      guard value[part] != nil else { return nil }
      return try Fixture.numbers(value[part]).map { $0.map { Int32($0) } }
    }

    func texts(_ part: String) throws -> [String]? {
      try value[part]?.array?.map { try #require($0.string) }
    }
  }

  static let document = try! Fixture.json("tokenizer-parts.json")
  static let texts = try! Fixture.texts(document)
  static let cases = document["cases"]!.array!.map { Case(name: $0["name"]!.string!, value: $0) }

  @Test(arguments: cases)
  func encodesLikeThePeer(_ test: Case) throws {
    let tokenizer = try test.tokenizer()
    let tokens = try test.tokens("tokens")
    if let tokens {
      #expect(tokens.count == Self.texts.count)
      for (text, expected) in zip(Self.texts, tokens) {
        let encoded = tokenizer.encode(text, specials: .recognized, addingSpecials: true)
        #expect(encoded == expected, "\(text.debugDescription)")
      }
    }
    for (text, expected) in zip(Self.texts, try #require(try test.tokens("plain") ?? tokens)) {
      #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
    }
    for (bytes, expected) in zip(try Fixture.numbers(Self.document["broken"]), try #require(try test.tokens("broken")))
    {
      #expect(tokenizer.encode(bytes.map { UInt8($0) }) == expected, "\(bytes)")
    }
    if let pair = test.value["pair"] {
      let encoded = tokenizer.encodePair("hello there", "the word")
      #expect(encoded.tokens.map { Int($0) } == pair.array?.map { $0.integer })
      #expect(encoded.types.map { Int($0) } == test.value["types"]?.array?.map { $0.integer })
    }
  }

  @Test(arguments: cases)
  func decodesLikeThePeer(_ test: Case) throws {
    let tokenizer = try test.tokenizer()
    let tokens = try #require(try test.tokens("tokens") ?? test.tokens("plain"))
    let decoded = try test.texts("decoded") ?? Self.texts
    let skipped = try test.texts("skipped") ?? decoded
    for (index, tokens) in tokens.enumerated() {
      if test.value["tokenizer"] != nil {
        #expect(tokenizer.decode(tokens).utf8.elementsEqual(decoded[index].utf8), "\(decoded[index].debugDescription)")
      }
      #expect(tokenizer.decode(tokens, skippingSpecials: true).utf8.elementsEqual(skipped[index].utf8))
      for skips in [false, true] {
        var decoder = StreamingDecoder(tokenizer, skippingSpecials: skips)
        let pieces = tokens.map { decoder.push($0) } + [decoder.finish()]
        let whole = tokenizer.decode(tokens, skippingSpecials: skips)
        #expect(pieces.joined().utf8.elementsEqual(whole.utf8))
        if !whole.unicodeScalars.contains("\u{FFFD}") {
          #expect(!pieces.contains { $0.unicodeScalars.contains("\u{FFFD}") })
        }
      }
    }
  }

  /// Every character that `tokenizers` takes for punctuation, and no other.
  @Test func punctuationIsThePeers() throws {
    // What is cut off is a word of its own; all else belongs to a word that is not known.
    let text = #"""
      {"added_tokens": [], "pre_tokenizer": {"type": "Punctuation", "behavior": "Isolated"}, "model": {
        "type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {"?": 0, "a": 1}}}
      """#
    let tokenizer = try TestFiles.withFolder { folder in
      try Data(text.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
      return try TokenizerFile.read(path: folder)
    }
    let found = (0..<0x20000).filter { value in
      Unicode.Scalar(UInt32(value)).map { tokenizer.encode("a\(Character($0))a").first == 1 } ?? false
    }
    var ranges: [[Int]] = []
    for value in found {
      if ranges.last?.last == value - 1 { ranges[ranges.count - 1][1] = value } else { ranges.append([value, value]) }
    }
    #expect(try ranges == Fixture.numbers(Self.document["punctuation"]))
  }

  @Test func aFileIsWrittenBackAsItWas() throws {
    let test = try #require(Self.cases.first { $0.name == "bert" })
    try TestFiles.withFolder { folder in
      let path = folder + "/again.json"
      try TokenizerFile.write(test.tokenizer(), to: path)
      #expect(String(decoding: try TestFiles.bytes(path), as: UTF8.self) == test.value["tokenizer"]?.string)
    }
  }

  @Test func rolesComeFromTheFilesBesideIt() throws {
    let test = try #require(Self.cases.first { $0.name == "bert" })
    try TestFiles.withFolder { folder in
      try Data(try #require(test.value["tokenizer"]?.string).utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
      let settings = #"{"cls_token": "<s>", "sep_token": {"content": "</s>"}, "pad_token": "<pad>", "bos_token": null}"#
      try Data(settings.utf8).write(to: URL(filePath: folder + "/tokenizer_config.json"))
      try Data(#"{"eos_token_id": [7, 2]}"#.utf8).write(to: URL(filePath: folder + "/generation_config.json"))
      let roles = try TokenizerFile.read(path: folder).roles
      #expect(roles.beginOfText == 1 && roles.endOfText == 2 && roles.padding == 3 && roles.unknown == 0)
      #expect(roles.endOfAnswer == [2, 7])
    }
  }

  @Test(arguments: ["unigram.model", "pairs.model"])
  func aDamagedModelIsRefusedOrRead(name: String) throws {
    let whole = try TestFiles.bytes(TestFiles.fixture(name))
    var generator = Generator(seed: 17)
    var refused = 0
    try TestFiles.withFolder { folder in
      for _ in 0..<120 {
        var bytes = whole
        if Bool.random(using: &generator) {
          bytes.removeLast(Int.random(in: 1..<bytes.count, using: &generator))
        } else {
          for _ in 0..<8 {
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
          }
        }
        let path = folder + "/damaged.model"
        try Data(bytes).write(to: URL(filePath: path))
        do { _ = try TokenizerFile.read(path: path).encode("some text ﬁ ①") } catch is FormatsError { refused += 1 }
      }
    }
    #expect(refused > 10)
  }
}
