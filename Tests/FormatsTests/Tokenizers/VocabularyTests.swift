// The tokenizers inside GGUF files, and Llama 2's SentencePiece model, on the texts that llama.cpp tests itself with.

import Core
import Formats
import Testing

@Suite struct VocabularyTests {
  /// Texts and their tokens as they lie beside a vocabulary.
  static func samples(_ name: String) throws -> [(text: String, tokens: [Int32])] {
    let path = TestFiles.data! + "/tokenizers/ggml-vocab-\(name).gguf"
    let input = String(decoding: try TestFiles.bytes(path + ".inp"), as: UTF8.self)
    let output = String(decoding: try TestFiles.bytes(path + ".out"), as: UTF8.self)
    let texts = BytePairEncodingTests.split(input, "\n__ggml_vocab_test__\n")
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
    return zip(texts, lines).map { ($0, $1.split(separator: " ").map { Int32($0)! }) }
  }

  @Test(
    .enabled(if: TestFiles.data != nil), arguments: ["bert-bge", "deepseek-coder", "gpt-2", "llama-spm", "phi-3"])
  func encodesLikeLlamaCpp(name: String) throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.data! + "/tokenizers/ggml-vocab-\(name).gguf")
    let samples = try Self.samples(name)
    #expect(samples.count > 40)
    for (text, tokens) in samples { #expect(tokenizer.encode(text) == tokens, "\(text.debugDescription)") }
  }

  @Test(.enabled(if: TestFiles.data != nil))
  func encodesLikeSentencePiece() throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.data! + "/tokenizers/llama2-sentencepiece.model")
    #expect(tokenizer.roles.beginOfText == 1 && tokenizer.roles.endOfText == 2 && tokenizer.vocabularySize == 32000)
    for (text, tokens) in try Self.samples("llama-spm") {
      #expect(tokenizer.encode(text) == tokens, "\(text.debugDescription)")
      #expect(tokenizer.decode(tokens) == text)
    }
    #expect(tokenizer.encode("a", addingSpecials: true).first == 1)
    #expect(tokenizer.encode("</s>", specials: .recognized) == [2])
    #expect(!tokenizer.encode("</s>").contains(2))
  }

  @Test(.enabled(if: TestFiles.data != nil))
  func anEncoderSeparatesTwoTexts() throws {
    let tokenizer = try TokenizerFile.read(path: TestFiles.data! + "/tokenizers/ggml-vocab-bert-bge.gguf")
    let pair = tokenizer.encodePair("hello", "world")
    #expect(pair == TokenizedText(tokens: [101, 7592, 102, 2088, 102], types: [0, 0, 0, 1, 1]))
    #expect(tokenizer.decode(pair.tokens, skippingSpecials: true) == "hello world")
  }

  /// As `tokenizers` has it with BERT's normalizer; llama.cpp loses the marks that are not accents, and the ends of Hangul syllables.
  @Test(
    arguments: [
      ("café", [3]), ("cafe\u{301}", [3]), ("cafe\u{301}s", [3, 4]), ("X\u{300}\u{301} \u{301}", [5]), ("\u{301}", []),
      ("কা", [6, 7]), ("각", [8, 9, 10]), ("\u{1100}\u{1161}\u{11A8}", [8, 9, 10]), ("a\u{20DD}", [11, 12]),
    ] as [(String, [Int32])])
  func wordPiecesOfCombiningSigns(text: String, tokens: [Int32]) throws {
    let pieces = [
      "[UNK]", "[CLS]", "[SEP]", "▁cafe", "s", "▁x", "▁ক", "\u{9BE}", "▁\u{1100}", "\u{1161}", "\u{11A8}", "▁a",
      "\u{20DD}",
    ]
    var metadata: [String: GGUFValue] = [
      "tokenizer.ggml.model": .string("bert"), "tokenizer.ggml.tokens": .array(GGUFArray(strings: pieces)),
      "tokenizer.ggml.token_type": .array(GGUFArray(numbers: [3, 3, 3] + [Int32](repeating: 1, count: 10))),
      "tokenizer.ggml.unknown_token_id": .uint32(0), "tokenizer.ggml.bos_token_id": .uint32(1),
      "tokenizer.ggml.eos_token_id": .uint32(2),
    ]
    #expect(try GGUFTokenizer.read(metadata: metadata).encode(text) == tokens)
    metadata["tokenizer.ggml.normalizer.strip_accents"] = .bool(false)
    if text == "cafe\u{301}" { #expect(try GGUFTokenizer.read(metadata: metadata).encode(text) == [0]) }
  }

  /// Every way of cutting that has a name reads its expressions and cuts some text.
  @Test(arguments: [
    "llama-bpe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "qwen2", "qwen35", "falcon", "mpt", "starcoder",
    "command-r", "olmo", "dbrx", "smollm", "phi-2", "gpt-2", "gpt-4o", "tekken", "kimi-k2", "superbpe", "bailingmoe",
    "seed-coder", "viking", "bloom", "default",
  ])
  func knownWaysOfCutting(name: String) throws {
    let characters = (0..<256).map { byte in BytePairEncoding.bytes().decodeBytes([Int32(byte)]) }
    let spelled = characters.map { Self.spelling($0[0]) }
    let metadata: [String: GGUFValue] = [
      "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string(name),
      "tokenizer.ggml.tokens": .array(GGUFArray(strings: spelled + ["Ġa"])),
      "tokenizer.ggml.merges": .array(GGUFArray(strings: ["Ġ a"])),
    ]
    let tokenizer = try GGUFTokenizer.read(metadata: metadata)
    let text = "Der Wert: 12345 ist a größer.\n\n  Nicht wahr? 你好 I'll go a.  "
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    #expect(tokenizer.encode("x a") == [Int32(UInt8(ascii: "x")), 256])
  }

  private static func spelling(_ byte: UInt8) -> String {
    switch byte {
    case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: String(Unicode.Scalar(byte))
    default:
      String(
        Unicode.Scalar(0x100 + UInt32((0..<byte).count { !(0x21...0x7E ~= $0 || 0xA1...0xAC ~= $0 || $0 >= 0xAE) }))!)
    }
  }

  @Test func whatIsWrongWithMetadataIsSaid() {
    let good: [String: GGUFValue] = [
      "tokenizer.ggml.model": .string("llama"), "tokenizer.ggml.tokens": .array(GGUFArray(strings: ["<unk>", "a"])),
      "tokenizer.ggml.scores": .array(GGUFArray(numbers: [0, -1] as [Float])),
    ]
    let changes: [(String, GGUFValue?, String)] = [
      ("model", nil, "no tokenizer"), ("model", .string("rwkv"), "rwkv"), ("tokens", nil, "no tokens"),
      ("tokens", .array(GGUFArray(numbers: [1, 2] as [Int32])), "tokens"),
      ("scores", .array(GGUFArray(numbers: [0] as [Float])), "scores"),
      ("token_type", .array(GGUFArray(numbers: [1] as [Int32])), "types"),
    ]
    for (key, value, part) in changes {
      var metadata = good
      metadata["tokenizer.ggml." + key] = value
      let error = #expect(throws: FormatsError.self) { try GGUFTokenizer.read(metadata: metadata) }
      #expect(error?.message.contains(part) == true, "\(String(describing: error))")
    }
    var other = good
    other["tokenizer.ggml.model"] = .string("gpt2")
    other["tokenizer.ggml.pre"] = .string("nonesuch")
    let error = #expect(throws: FormatsError.self) { try GGUFTokenizer.read(metadata: other) }
    #expect(error?.message.contains("nonesuch") == true)
  }
}
