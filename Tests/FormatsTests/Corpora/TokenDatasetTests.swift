// Corpora become tokens once, and batches are the same whatever the threads, ranks and restarts.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct TokenDatasetTests {
  static func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }

  static func allTokens(_ dataset: TokenDataset) -> [Int32] {
    let range = dataset.training.lowerBound..<dataset.validation.upperBound
    return [Int32](unsafeUninitializedCapacity: range.count) { buffer, count in
      dataset.copy(range, to: buffer.baseAddress!)
      count = range.count
    }
  }

  @Test func aTextFileIsOneDocument() throws {
    try TestFiles.withFolder { folder in
      let text = "Héllo, wörld.\n\nSecond paragraph.\n"
      try Self.write(text, folder + "/a.txt")
      let corpus = try Corpus(path: folder + "/a.txt")
      let tokenizer = try corpus.trainCharacterTokenizer()
      let dataset = try TokenDataset.prepare(corpus, tokenizer: tokenizer, cacheDirectory: folder + "/cache/deep")
      #expect(Self.allTokens(dataset) == tokenizer.encode(text) + [tokenizer.endOfText!])
      #expect(dataset.training.upperBound == dataset.validation.lowerBound)
      #expect(dataset.validation.count == 3)
    }
  }

  @Test func aFolderOfTextAndLines() throws {
    try TestFiles.withFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/data/sub", withIntermediateDirectories: true)
      try Self.write("last", folder + "/data/z.txt")
      try Self.write(
        #"{"id": 1, "text": "one"}"# + "\n\n"
          + #"{"meta": {"text": [1, 2.5e3, null]}, "text": "t\u0077o \ud83d\ude00"}"#,
        folder + "/data/sub/b.jsonl")
      try Self.write("\u{0}\u{1}", folder + "/data/picture.png")
      let corpus = try Corpus(path: folder + "/data")
      let tokenizer = BytePairEncoding.bytes()
      let dataset = try TokenDataset.prepare(corpus, tokenizer: tokenizer, cacheDirectory: folder + "/cache")
      #expect(tokenizer.decode(Self.allTokens(dataset)) == "one<|endoftext|>two 😀<|endoftext|>last<|endoftext|>")
    }
  }

  @Test func theShardIsUsedAgainAndChecked() throws {
    try TestFiles.withFolder { folder in
      let corpus = Corpus.storiesAndSums(seed: 1, bytes: 300_000)
      let tokenizer = BytePairEncoding.bytes()
      func prepare(_ threads: Int) throws -> (tokens: [Int32], calls: Int) {
        var calls = 0
        let dataset = try TokenDataset.prepare(
          corpus, tokenizer: tokenizer, cacheDirectory: folder, threads: threads, progress: { _ in calls += 1 })
        return (Self.allTokens(dataset), calls)
      }
      let first = try prepare(1)
      #expect(first.calls > 0)
      let second = try prepare(1)
      #expect(second.tokens == first.tokens)
      #expect(second.calls == 0, "the second time nothing is encoded")
      let shard = try #require(FileManager.default.contentsOfDirectory(atPath: folder).first)
      var bytes = try TestFiles.bytes(folder + "/" + shard)
      bytes[bytes.count / 2] ^= 1
      try Data(bytes).write(to: URL(filePath: folder + "/" + shard))
      #expect(throws: FormatsError.self) { try TokenShard(path: folder + "/" + shard) }
      let repaired = try prepare(3)
      #expect(repaired.tokens == first.tokens)
      #expect(repaired.calls > 0)
      for cut in [0, 10, 63, 64, bytes.count - 1] {
        try Data(bytes[..<cut]).write(to: URL(filePath: folder + "/" + shard))
        #expect(throws: FormatsError.self) { try TokenShard(path: folder + "/" + shard) }
      }
    }
  }

  @Test func targetsAreTheNextTokens() throws {
    try TestFiles.withFolder { folder in
      let dataset = try TokenDataset.prepare(
        .storiesAndSums(bytes: 20_000), tokenizer: BytePairEncoding.bytes(), cacheDirectory: folder)
      let tokens = Self.allTokens(dataset)
      let (batch, length) = (3, 17)
      let order = dataset.order(seed: 7, length: length)
      var inputs = [Int32](repeating: -1, count: batch * length)
      var targets = inputs
      for step in [0, 1, 1000] {
        dataset.batch(order: order, step: step, batch: batch, inputs: &inputs, targets: &targets)
        for (row, offset) in order.offsets(step: step, batch: batch).enumerated() {
          #expect(inputs[row * length..<(row + 1) * length] == tokens[offset..<offset + length])
          #expect(targets[row * length..<(row + 1) * length] == tokens[offset + 1..<offset + length + 1])
          #expect(offset + length < dataset.training.upperBound)
        }
      }
      let windows = dataset.validationWindows(of: length)
      let filled = dataset.validationBatch(
        first: windows - 2, batch: batch, length: length, inputs: &inputs, targets: &targets)
      #expect(filled == 2)
      let start = dataset.validation.lowerBound + (windows - 1) * length
      #expect(targets[length..<2 * length] == tokens[start + 1..<start + length + 1])
      // The held-out part begins with a document.
      #expect(tokens[dataset.validation.lowerBound - 1] == dataset.endOfText)
    }
  }

  @Test func badInputIsExplained() throws {
    try TestFiles.withFolder { folder in
      func code(_ body: () throws -> Void) -> FormatsError.Code? {
        do { try body() } catch { return (error as? FormatsError)?.code }
        return nil
      }
      #expect(code { _ = try Corpus(path: folder + "/none.txt") } == .missing)
      #expect(code { _ = try Corpus(path: folder) } == .empty)
      try Self.write("", folder + "/empty.txt")
      #expect(code { _ = try Corpus(path: folder + "/empty.txt") } == .empty)
      try Data((0..<2000).map { UInt8(truncatingIfNeeded: $0 * 37) }).write(to: URL(filePath: folder + "/x.bin"))
      #expect(code { _ = try Corpus(path: folder + "/x.bin") } == .binary)
      try Data([UInt8](repeating: 0xE9, count: 50) + [UInt8](repeating: 65, count: 500)).write(
        to: URL(filePath: folder + "/latin1.txt"))
      #expect(code { _ = try Corpus(path: folder + "/latin1.txt") } == .binary)
      try Self.write("{\"text\": 3}", folder + "/number.jsonl")
      try Self.write("{\"body\": \"x\"}", folder + "/other.jsonl")
      try Self.write("not json", folder + "/not.jsonl")
      for name in ["number", "other", "not"] {
        let corpus = try Corpus(path: "\(folder)/\(name).jsonl")
        #expect(code { _ = try corpus.trainCharacterTokenizer() } == .malformed)
        #expect(code { _ = try corpus.trainBytePairEncoding(vocabularySize: 300) } == .malformed)
        let cache = folder + "/cache"
        #expect(
          code { _ = try TokenDataset.prepare(corpus, tokenizer: BytePairEncoding.bytes(), cacheDirectory: cache) }
            == .malformed)
      }
      let short = try TokenDataset.prepare(
        .texts(["short"]), tokenizer: BytePairEncoding.bytes(), cacheDirectory: folder, validationFraction: 0)
      #expect(code { try short.requireWindows(of: 64) } == .tooShort)
      #expect(code { try short.requireWindows(of: 5) } == nil)
      #expect(
        code {
          _ = try TokenDataset.prepare(
            .texts(["a"]), tokenizer: BytePairEncoding.bytes(), cacheDirectory: "/dev/null/cache")
        } == .file)
    }
  }
}
