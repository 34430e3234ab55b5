// How fast a tokenizer encodes, on one thread, as Scripts/peers/tokenize_text.py measures the peers.

internal import Core
internal import Formats

/// Encodes each text whole with a `.tiktoken` vocabulary under GPT-2's splitting rule, and prints megabytes (10^6 bytes) a
/// second.
/// - Throws: `FormatsError` or `FileError` if a file cannot be used.
func runTokenizerBenchmark(
  vocabulary: String, texts: [String], json: Bool, seconds: Double, emit: (String) -> Void
) throws {
  let tokenizer = try TiktokenFile.read(path: vocabulary, splitRule: .gpt2)
  for path in texts {
    let file = try MappedFile(path: path)
    var tokens: [Int32] = []
    let time = medianTime(seconds: seconds) {
      tokens.removeAll(keepingCapacity: true)
      tokenizer.encode(file.text, specials: .asText, into: &tokens)
    }
    let rate = Double(file.count) / time / 1e6
    let name = path.split(separator: "/").last.map(String.init) ?? path
    if json {
      let line = JSONObject([
        ("name", "tokenize"), ("type", "gpt2"), ("shape", .string(name)), ("variant", "encode"),
        ("seconds", .number(JSONNumber(time))), ("megabytesPerSecond", .number(JSONNumber(rate))),
        ("tokens", .number(JSONNumber(tokens.count))),
      ])
      emit(JSONValue.object(line).json)
    } else {
      let speed = "\(Numerals.significant(rate)) MB/s on one thread"
      emit("\(name): \(Numerals.grouped(tokens.count)) tokens in \(Numerals.duration(time)), \(speed)")
    }
  }
}
