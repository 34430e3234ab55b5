// Learning a tokenizer from a corpus.

internal import Synchronization

extension Corpus {
  /// The tokenizer of all characters of the corpus.
  public func trainCharacterTokenizer() throws -> CharacterTokenizer {
    var builder = CharacterSetBuilder()
    for unit in units {
      try forEachPart(of: unit) { text, _ in builder.add(text) }
    }
    return CharacterTokenizer(characters: builder.characters)
  }

  /// A byte-level BPE tokenizer of up to `vocabularySize` tokens (fewer if the text is too small to teach more), learned
  /// from at most the first `maximumBytes` bytes.
  public func trainBytePairEncoding(
    vocabularySize: Int, splitRule: SplitRule = .gpt2, threads: Int = 2, maximumBytes: Int = .max
  ) throws -> BytePairEncoding {
    var trainer = BytePairTrainer(splitRule: splitRule, threads: threads)
    var taken = 0
    var chosen: [Unit] = []
    for unit in units where taken < maximumBytes {
      chosen.append(unit)
      taken += unit.range.count
    }
    try trainer.add(units: chosen, of: self)
    return try trainer.train(vocabularySize: vocabularySize)
  }
}

extension BytePairTrainer {
  /// Counts the pieces of units in parallel.
  mutating func add(units: [Corpus.Unit], of corpus: Corpus) throws(FormatsError) {
    let workers = max(1, min(threads, units.count))
    var partial = [PieceCounts](repeating: PieceCounts(), count: workers)
    var failures = [FormatsError?](repeating: nil, count: workers)
    let next = Atomic<Int>(0)
    partial.withUnsafeMutableBufferPointer { partial in
      failures.withUnsafeMutableBufferPointer { failures in
        // Each worker writes to its own elements only.
        nonisolated(unsafe) let (partial, failures) = (partial, failures)
        Parallel.forEach(workers, threads: workers) { worker in
          while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < units.count else { return }
            do throws(FormatsError) {
              try corpus.forEachPart(of: units[index]) { text, _ in partial[worker].add(text, rule: splitRule) }
            } catch {
              failures[worker] = error
              return
            }
          }
        }
      }
    }
    if let failure = failures.compactMap({ $0 }).first { throw failure }
    for counts in partial { pieces.add(counts) }
  }
}
