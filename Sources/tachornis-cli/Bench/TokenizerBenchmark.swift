// How fast tokenizers encode and decode, on one thread, as Scripts/peers/tokenize_text.py measures the peers.

internal import Core
internal import Formats
internal import FoundationEssentials

/// Vocabularies and the texts that they encode.
struct TokenizerBenchmark {
  var vocabularies: [String]
  var texts: [String]

  /// The files in `tokenizers` and `text` of a folder.
  /// - Throws: `CommandError` if there are none.
  init(folder: String) throws {
    func files(_ part: String, _ endings: [String]) -> [String] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(part)")) ?? []
      return names.filter { name in endings.contains { name.hasSuffix($0) } }.sorted().map { "\(folder)/\(part)/\($0)" }
    }
    vocabularies = files("tokenizers", [".gguf", ".json", ".model", ".tiktoken"])
    texts = files("text", [".txt"])
    guard !vocabularies.isEmpty, !texts.isEmpty else {
      throw CommandError(
        "'\(folder)' lacks vocabularies in tokenizers/ or texts in text/; give --vocabulary and --text.")
    }
  }

  init(vocabularies: [String], texts: [String]) {
    self.vocabularies = vocabularies
    self.texts = texts
  }

  /// Encodes each text whole and decodes it again, and prints megabytes (10^6 bytes of text) a second.
  /// - Throws: `FormatsError` or `FileError` if a file cannot be used.
  func run(json: Bool, seconds: Double, emit: (String) -> Void) throws {
    for vocabulary in vocabularies {
      let tokenizer = try TokenizerFile.read(path: vocabulary)
      for path in texts {
        let file = try MappedFile(path: path)
        var tokens: [Int32] = []
        let encoding = medianTime(seconds: seconds) {
          tokens.removeAll(keepingCapacity: true)
          tokenizer.encode(file.text, specials: .asText, into: &tokens)
        }
        var size = 0
        let decoding = medianTime(seconds: seconds) { size = tokenizer.decodeBytes(tokens).count }
        for (variant, time, bytes) in [("encode", encoding, file.count), ("decode", decoding, size)] {
          report(vocabulary, path, variant, time, bytes, tokens.count, json, emit)
        }
      }
    }
  }

  private func report(
    _ vocabulary: String, _ text: String, _ variant: String, _ time: Double, _ bytes: Int, _ tokens: Int,
    _ json: Bool, _ emit: (String) -> Void
  ) {
    func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
    let rate = Double(bytes) / time / 1e6
    guard json else {
      let count = "\(Numerals.grouped(tokens)) tokens in \(Numerals.duration(time))"
      emit("\(name(vocabulary)), \(name(text)): \(variant) \(Numerals.significant(rate)) MB/s, \(count)")
      return
    }
    let line = JSONObject([
      ("name", "tokenize"), ("type", .string(name(vocabulary))), ("shape", .string(name(text))),
      ("variant", .string(variant)), ("seconds", .number(JSONNumber(time))),
      ("megabytesPerSecond", .number(JSONNumber(rate))), ("tokens", .number(JSONNumber(tokens))),
    ])
    emit(JSONValue.object(line).json)
  }
}
