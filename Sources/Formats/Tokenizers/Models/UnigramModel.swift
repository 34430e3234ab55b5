// The unigram language model (Kudo 2018): of all ways to cut a piece into tokens, the one with the highest sum of scores,
// found by Viterbi's algorithm over the positions between characters.
//
// Invariant: of equal sums the one with the earlier last token wins, as in the published encoders. They add differently,
// and near ties fall accordingly: Hugging Face's in Double; SentencePiece (since 0.2.2) in Float, counted anew from where a
// sum exceeds 100,000. All places between words that no token reaches over are on the best path, so a text is cut there,
// and only its sum goes on.

final class UnigramModel: SubwordModel {
  struct Settings: Sendable {
    /// The score that unknown characters are ten below.
    var lowest = 0.0
    /// Whether sums are those of SentencePiece.
    var addsFloats = false
    var fallback = Fallback()
  }

  /// The best way to reach a place.
  struct Step {
    var score: Double
    /// Where its last token starts; -1: nothing leads here yet.
    var start: Int32
    /// -1: an unknown character.
    var token: Int32
  }

  private let table: TokenTable
  private let trie: PieceTrie
  private let scores: [Double]
  private let unknownScore: Double
  private let settings: Settings
  private let cutsBeforeSpaces: Bool
  /// Float sums beyond it are counted anew.
  private static let largestSum = 100_000.0
  let fingerprint: UInt64

  /// - Parameters:
  ///   - table: tokens without bytes are never matched.
  ///   - scores: one a token.
  init(table: TokenTable, scores: [Double], settings: Settings) {
    trie = PieceTrie(table)
    self.table = table
    self.scores = scores
    self.settings = settings
    unknownScore = settings.addsFloats ? Double(Float(settings.lowest) - 10) : settings.lowest - 10
    cutsBeforeSpaces = SpaceMark.startsTokens(of: table)
    var hash = Hashing.fold(table.fingerprint, UInt64(bitPattern: Int64(settings.fallback.unknown ?? -1)))
    for score in scores { hash = Hashing.fold(hash, score.bitPattern) }
    hash = Hashing.fold(hash, settings.addsFloats ? 1 : 0)
    fingerprint = Hashing.fold(hash, settings.fallback.bytes == nil ? 0 : 1)
  }

  func encode(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch) {
    let first = scratch.count
    var score = 0.0
    func encodeWord(_ range: Range<Int>) {
      let word = UnsafeBufferPointer(rebasing: piece[range])
      let steps = scratch.steps(word.count + 1)
      steps[0].score = score
      search(word, steps)
      score = steps[word.count].score
      append(word, steps, scratch, since: first)
    }
    if cutsBeforeSpaces { SpaceMark.forEachWord(of: piece, encodeWord) } else { encodeWord(0..<piece.count) }
  }

  /// Fills in the best step to each place behind the first.
  private func search(_ word: UnsafeBufferPointer<UInt8>, _ steps: UnsafeMutablePointer<Step>) {
    let addsFloats = settings.addsFloats
    for place in 1...word.count { steps[place].start = -1 }
    var frontier = 0
    @inline(__always) func offer(_ sum: Double, _ token: Int32, _ start: Int, _ end: Int) {
      // The sum of two Floats is exact enough in Double to be rounded twice.
      let sum = addsFloats ? Double(Float(sum)) : sum
      if steps[end].start < 0 || sum > steps[end].score {
        steps[end] = Step(score: sum, start: Int32(truncatingIfNeeded: start), token: token)
        frontier = max(frontier, end)
      }
    }
    scores.withUnsafeBufferPointer { scores in
      var position = 0
      while position < word.count {
        if addsFloats, abs(steps[position].score) > Self.largestSum {
          let offset = steps[position].score
          for place in position...max(position, frontier) where place == position || steps[place].start >= 0 {
            steps[place].score = Double(Float(steps[place].score - offset))
          }
        }
        let score = steps[position].score
        let characterEnd = min(position &+ UTF8Scan.length(lead: word[position]), word.count)
        var hasSingle = false
        trie.forEachMatch(word, from: position) { end, token in
          offer(score + scores[Int(token)], token, position, end)
          if end == characterEnd { hasSingle = true }
        }
        if !hasSingle { offer(score + unknownScore, -1, position, characterEnd) }
        position = characterEnd
      }
    }
  }

  /// Appends the tokens of the best path.
  private func append(
    _ word: UnsafeBufferPointer<UInt8>, _ steps: UnsafeMutablePointer<Step>, _ scratch: EncodingScratch,
    since first: Int
  ) {
    // Turns the path around: the start of each step becomes the end of the one after it.
    var next: Int32 = -1
    var position = word.count
    while position > 0 {
      let start = steps[position].start
      steps[position].start = next
      next = Int32(truncatingIfNeeded: position)
      position = Int(start)
    }
    var unknownStart: Int?
    func appendUnknown(upTo end: Int) {
      guard let start = unknownStart else { return }
      unknownStart = nil
      let text = UnsafeBufferPointer(rebasing: word[start..<end])
      if let token = table.token(of: UnsafeRawBufferPointer(text)) {
        scratch.append(token)
      } else {
        settings.fallback.append(text, scratch, since: first)
      }
    }
    let unknown = settings.fallback.unknown
    var start = 0
    while next >= 0 {
      let step = steps[Int(next)]
      // The unknown token as it is spelled is unknown, too, and one with its unknown neighbours.
      if step.token < 0 || step.token == unknown {
        unknownStart = unknownStart ?? start
      } else {
        appendUnknown(upTo: start)
        scratch.append(step.token)
      }
      start = Int(next)
      next = step.start
    }
    appendUnknown(upTo: word.count)
  }
}
