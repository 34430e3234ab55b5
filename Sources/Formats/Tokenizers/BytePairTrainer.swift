// Learning the merges of a byte-pair encoding: always the most frequent pair, counted over the distinct pieces.
//
// Counting runs over chunks in parallel. Merging keeps the count of every pair and the pieces that it occurs in, so a
// merge touches only those pieces; a heap with lazy updates gives the next pair. Equal counts go to the smaller left, then
// the smaller right token. The result depends on the text alone: not on threads, chunk order or hashing.

/// Collects text and learns a byte-level BPE vocabulary from it.
public struct BytePairTrainer: Sendable {
  let splitRule: SplitRule
  let threads: Int
  var pieces = PieceCounts()

  /// A trainer that has seen nothing; counts on up to `threads` threads.
  public init(splitRule: SplitRule = .gpt2, threads: Int = 2) {
    self.splitRule = splitRule
    self.threads = threads
  }

  /// Counts the pieces of a text; call it for each document or part. Large texts are counted in parallel.
  public mutating func add(_ text: UnsafeBufferPointer<UInt8>) {
    let chunks = TextChunks.ranges(of: text)
    guard chunks.count > 1, threads > 1 else {
      pieces.add(text, rule: splitRule)
      return
    }
    // A wave of one chunk per thread bounds the memory; the order of addition does not matter to a multiset.
    var next = 0
    var partial = [PieceCounts](repeating: PieceCounts(), count: min(threads, chunks.count))
    while next < chunks.count {
      let wave = min(partial.count, chunks.count - next)
      partial.withUnsafeMutableBufferPointer { partial in
        // The threads write to elements of their own.
        nonisolated(unsafe) let own = partial
        Parallel.forEach(wave, threads: threads) { worker in
          own[worker].add(UnsafeBufferPointer(rebasing: text[chunks[next + worker]]), rule: splitRule)
        }
      }
      next += wave
    }
    for counts in partial { pieces.add(counts) }
  }

  /// Counts the pieces of a string.
  public mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add($0) }
  }

  /// Learns merges until the vocabulary, 256 bytes + merges + special tokens, has `vocabularySize` tokens, or no pair
  /// occurs `minimumCount` times. Special tokens get the last numbers, in the given order.
  public func train(
    vocabularySize: Int, minimumCount: Int = 2, specialTokens: [String] = ["<|endoftext|>"]
  ) throws -> BytePairEncoding {
    let merges = vocabularySize - 256 - specialTokens.count
    guard merges >= 0 else {
      throw FormatsError(
        .setting,
        "A byte-level vocabulary needs at least \(256 + specialTokens.count) tokens (256 bytes and the special ones); "
          + "\(vocabularySize) were asked for.")
    }
    var learner = MergeLearner(pieces)
    learner.run(merges: merges, minimumCount: minimumCount)
    var tokens = (0..<256).map { [UInt8($0)] }
    for merge in learner.merges { tokens.append(tokens[Int(merge.left)] + tokens[Int(merge.right)]) }
    let specials = Dictionary(
      zip(specialTokens, (0...).lazy.map { Int32(tokens.count + $0) }), uniquingKeysWith: { first, _ in first })
    return try BytePairEncoding(
      tokens: tokens, merges: .list(learner.merges), splitRule: splitRule, specialTokens: specials)
  }
}

/// The state of the merging loop.
private struct MergeLearner: ~Copyable {
  private struct Candidate: Comparable {
    let count: Int
    let left: Int32
    let right: Int32
    let pair: Int32

    static func < (a: Candidate, b: Candidate) -> Bool {
      (b.count, a.left, a.right) < (a.count, b.left, b.right)
    }
  }

  private(set) var merges: [(left: Int32, right: Int32)] = []
  /// Tokens of all pieces, each piece in a range of its own whose used length shrinks.
  private var symbols: [Int32] = []
  private var starts: [Int] = []
  private var lengths: [Int] = []
  private let weights: [Int]
  /// Index of a pair in the arrays below.
  private var pairIndex = PairTable(minimumCapacity: 1 << 14)
  private var counts: [Int] = []
  /// Pieces that hold, or held, the pair; may name one twice.
  private var holders: [[Int32]] = []
  private var heap = MinimumHeap<Candidate>()

  init(_ pieces: borrowing PieceCounts) {
    weights = pieces.counts
    for piece in 0..<pieces.distinct {
      starts.append(symbols.count)
      lengths.append(pieces[piece].count)
      symbols.append(contentsOf: pieces[piece].lazy.map { Int32($0) })
    }
    var seen: [(Int32, Int32)] = []
    for piece in starts.indices where lengths[piece] > 1 {
      for position in starts[piece]..<starts[piece] + lengths[piece] - 1 {
        let (left, right) = (symbols[position], symbols[position + 1])
        if add(left, right, weights[piece], holder: piece) { seen.append((left, right)) }
      }
    }
    for (left, right) in seen { push(left, right) }
  }

  /// Learns up to `merges` merges.
  mutating func run(merges wanted: Int, minimumCount: Int) {
    merges.reserveCapacity(wanted)
    while merges.count < wanted, let best = heap.removeMinimum() {
      let current = counts[Int(best.pair)]
      if current < max(minimumCount, 1) { continue }
      if current != best.count {  // counts of old pairs only fall, so this one belongs further down
        heap.insert(Candidate(count: current, left: best.left, right: best.right, pair: best.pair))
        continue
      }
      merges.append((best.left, best.right))
      apply(best, token: Int32(255 + merges.count))
    }
  }

  /// Replaces the pair by `token` in all pieces that hold it.
  private mutating func apply(_ pair: Candidate, token: Int32) {
    var created: [(Int32, Int32)] = []
    let pieces = holders[Int(pair.pair)]
    holders[Int(pair.pair)] = []
    for piece in pieces {
      let piece = Int(piece)
      let start = starts[piece]
      let length = lengths[piece]
      let weight = weights[piece]
      var read = 0
      var write = 0
      while read < length {
        let symbol = symbols[start + read]
        guard symbol == pair.left, read + 1 < length, symbols[start + read + 1] == pair.right else {
          symbols[start + write] = symbol
          write += 1
          read += 1
          continue
        }
        if write > 0 {
          let before = symbols[start + write - 1]
          subtract(before, pair.left, weight)
          if add(before, token, weight, holder: piece) { created.append((before, token)) }
        }
        if read + 2 < length {
          let after = symbols[start + read + 2]
          subtract(pair.right, after, weight)
          if add(token, after, weight, holder: piece) { created.append((token, after)) }
        }
        symbols[start + write] = token
        write += 1
        read += 2
      }
      lengths[piece] = write
    }
    counts[Int(pair.pair)] = 0
    for (left, right) in created { push(left, right) }
  }

  /// Raises the count of a pair; true if the pair is new.
  private mutating func add(_ left: Int32, _ right: Int32, _ weight: Int, holder: Int) -> Bool {
    let next = counts.count
    let pair = Int(pairIndex.insert(left, right, UInt64(next)))
    if pair == next {
      counts.append(0)
      holders.append([])
    }
    counts[pair] += weight
    if holders[pair].last != Int32(holder) { holders[pair].append(Int32(holder)) }
    return pair == next
  }

  private mutating func subtract(_ left: Int32, _ right: Int32, _ weight: Int) {
    if let pair = pairIndex[left, right] { counts[Int(pair)] -= weight }
  }

  private mutating func push(_ left: Int32, _ right: Int32) {
    let pair = Int32(pairIndex[left, right]!)
    heap.insert(Candidate(count: counts[Int(pair)], left: left, right: right, pair: pair))
  }
}
