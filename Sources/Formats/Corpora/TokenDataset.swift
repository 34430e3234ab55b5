// Batches for training and evaluation out of a corpus that is tokenised once.
//
// Invariant: the first tokens are for training, the last for validation, and no window crosses the line between them.
// Batches depend on (seed, step, rank) alone (BatchOrder), so there is nothing to save but the step.

internal import Core
internal import FoundationEssentials

/// The tokens of a corpus, split for training and validation.
public struct TokenDataset: Sendable {
  /// Which tokens are learned from and which only measured on.
  public let training: Range<Int>
  public let validation: Range<Int>
  public let vocabularySize: Int
  public let endOfText: Int32?
  /// A short name of the corpus, for messages.
  public let name: String
  private let shard: TokenShard

  /// Tokenises a corpus, or opens the shard of an earlier time in `cacheDirectory` (made if needed).
  ///
  /// - Parameters:
  ///   - validationFraction: the part at the end that is held out, `0 ..< 1`. The cut is moved on to the next document
  ///     if one begins soon after it.
  ///   - threads: encoders at work; the result does not depend on it.
  ///   - progress: told the fraction of bytes done, now and then.
  public static func prepare(
    _ corpus: Corpus, tokenizer: any Tokenizer, cacheDirectory: String, validationFraction: Double = 0.1,
    threads: Int = 2, progress: ((Double) -> Void)? = nil
  ) throws -> TokenDataset {
    guard validationFraction >= 0, validationFraction < 1 else {
      throw FormatsError(.setting, "The held-out fraction is \(validationFraction); it must be at least 0 and below 1.")
    }
    let key = Hashing.fold(tokenizer.fingerprint, corpus.fingerprint)
    let path = "\(cacheDirectory)/\(Hashing.hexadecimal(key)).tokens"
    if let shard = try? TokenShard(path: path), shard.tokenizerFingerprint == tokenizer.fingerprint,
      shard.sourceFingerprint == corpus.fingerprint
    {
      return TokenDataset(shard, name: corpus.name, validationFraction: validationFraction)
    }
    do {
      try FileManager.default.createDirectory(atPath: cacheDirectory, withIntermediateDirectories: true)
    } catch {
      throw FormatsError(
        .file, "Cannot make the cache folder '\(cacheDirectory)'; choose another or change its permissions.",
        cause: error)
    }
    try write(corpus, tokenizer, to: path, threads: threads, progress: progress)
    return try TokenDataset(TokenShard(path: path), name: corpus.name, validationFraction: validationFraction)
  }

  private init(_ shard: TokenShard, name: String, validationFraction: Double) {
    self.shard = shard
    self.name = name
    vocabularySize = shard.vocabularySize
    endOfText = shard.endOfText
    let held = Int((Double(shard.count) * validationFraction).rounded())
    var cut = shard.count - held
    if held > 0, cut > 0, let end = shard.endOfText {
      // Only a tenth of the held-out part is given up for a clean cut.
      for candidate in cut..<cut + held / 10 where shard[candidate - 1] == end {
        cut = candidate
        break
      }
    }
    training = 0..<cut
    validation = cut..<shard.count
  }

  /// Throws `FormatsError` unless there is a window of `length` inputs to learn from. (Without one to validate on, nothing
  /// is measured.)
  public func requireWindows(of length: Int) throws(FormatsError) {
    precondition(length > 0, "a window of \(length) tokens")
    guard training.count <= length else { return }
    throw FormatsError(
      .tooShort,
      "'\(name)' has \(training.count) tokens for training, but one window needs \(length + 1). Give more text, or a "
        + "shorter context (--set length=…).")
  }

  /// The order of the training windows of `length` inputs.
  public func order(seed: UInt64, length: Int) -> BatchOrder {
    BatchOrder(seed: seed, tokens: training.count, length: length)
  }

  /// Fills `inputs` and `targets` ([batch, length], row-major; targets are the next tokens) with the training windows of
  /// one step. All ranks together use `ranks * batch` windows a step.
  public func batch(
    order: BatchOrder, step: Int, batch: Int, rank: Int = 0, ranks: Int = 1,
    inputs: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Int32>
  ) {
    precondition(order.tokens == training.count, "an order over \(order.tokens) of \(training.count) tokens")
    for (row, offset) in order.offsets(step: step, batch: batch, rank: rank, ranks: ranks).enumerated() {
      window(training.lowerBound + offset, order.length, row, inputs, targets)
    }
  }

  /// Number of validation windows of `length` inputs; they do not overlap, and what is left over at the end is unused.
  public func validationWindows(of length: Int) -> Int { max(0, (validation.count - 1) / length) }

  /// Fills `batch` rows with validation windows `first`, `first + 1`, …; returns how many there were. The remaining rows
  /// repeat the last window.
  @discardableResult
  public func validationBatch(
    first: Int, batch: Int, length: Int,
    inputs: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Int32>
  ) -> Int {
    let windows = validationWindows(of: length)
    precondition((0..<windows).contains(first), "validation window \(first) of \(windows)")
    for row in 0..<batch {
      window(validation.lowerBound + min(first + row, windows - 1) * length, length, row, inputs, targets)
    }
    return min(batch, windows - first)
  }

  /// Copies tokens of the whole sequence (training first) to `output`.
  public func copy(_ range: Range<Int>, to output: UnsafeMutablePointer<Int32>) {
    shard.copy(range.lowerBound, range.count, to: output)
  }

  private func window(
    _ start: Int, _ length: Int, _ row: Int, _ inputs: UnsafeMutablePointer<Int32>,
    _ targets: UnsafeMutablePointer<Int32>
  ) {
    shard.copy(start, length, to: inputs + row * length)
    shard.copy(start + 1, length, to: targets + row * length)
  }

  /// Encodes the units in waves, in parallel, and writes them in order.
  private static func write(
    _ corpus: Corpus, _ tokenizer: any Tokenizer, to path: String, threads: Int, progress: ((Double) -> Void)?
  ) throws(FormatsError) {
    var writer = try TokenShardWriter(path: path, vocabularySize: tokenizer.vocabularySize)
    let wave = max(threads, 1) * 4
    var done = 0
    for first in stride(from: 0, to: corpus.units.count, by: wave) {
      let units = corpus.units[first..<min(first + wave, corpus.units.count)]
      var results = [Result<[Int32], FormatsError>](repeating: .success([]), count: units.count)
      results.withUnsafeMutableBufferPointer { results in
        nonisolated(unsafe) let results = results  // each index is written by one thread
        Parallel.forEach(units.count, threads: threads) { index in
          results[index] = Result { () throws(FormatsError) in
            try encode(units[first + index], of: corpus, tokenizer)
          }
        }
      }
      for (unit, result) in zip(units, results) {
        try writer.append(result.get())
        done += unit.range.count
      }
      progress?(Double(done) / Double(max(corpus.byteCount, 1)))
    }
    guard writer.count > 0 else {
      throw FormatsError(.empty, "'\(corpus.name)' holds no text at all; training needs some.")
    }
    try writer.finish(
      tokenizer: tokenizer.fingerprint, source: corpus.fingerprint, vocabularySize: tokenizer.vocabularySize,
      endOfText: tokenizer.endOfText)
  }

  private static func encode(
    _ unit: Corpus.Unit, of corpus: Corpus, _ tokenizer: any Tokenizer
  ) throws(FormatsError) -> [Int32] {
    var tokens: [Int32] = []
    try corpus.forEachPart(of: unit) { text, endsDocument in
      tokenizer.encode(text, specials: .asText, into: &tokens)
      if endsDocument, let end = tokenizer.endOfText { tokens.append(end) }
    }
    return tokens
  }
}
