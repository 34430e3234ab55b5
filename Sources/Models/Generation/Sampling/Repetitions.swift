// DRY: which tokens would make a repetition longer, and by how much they are held back.
//
// How far the end of the text is repeated at each place of it is found by the Z algorithm (Gusfield, "Algorithms on strings",
// 1997) on the text read backwards, in linear time.

internal import Formats

/// Where in a text the last breaker ends: a string that a repetition does not reach beyond.
struct BreakerPosition: Sendable {
  private let matcher: StringMatcher
  private let tokenizer: (any Tokenizer)?
  private var state = StringMatcher.start
  private var bytes: [UInt8] = []
  /// How many tokens have come since.
  private(set) var distance = Int.max

  /// - Parameter tokenizer: knows the texts of tokens; without one nothing is a breaker.
  init(_ configuration: DRYConfiguration, _ tokenizer: (any Tokenizer)?) {
    // The search is as large as its texts are long: made only for those who need it.
    matcher = StringMatcher(configuration.multiplier > 0 ? configuration.breakers : [])
    self.tokenizer = tokenizer
  }

  mutating func push(_ token: Int32) {
    if distance < .max { distance += 1 }
    guard let tokenizer else { return }
    bytes.removeAll(keepingCapacity: true)
    tokenizer.appendBytes(of: token, to: &bytes)
    for byte in bytes {
      state = matcher.next(state, byte)
      if matcher.match(state) != nil { distance = 0 }
    }
  }

  /// Whether a token holds a breaker by itself.
  func isBreaker(_ token: Int32) -> Bool {
    var alone = self
    (alone.state, alone.distance) = (StringMatcher.start, .max)
    alone.push(token)
    return alone.distance == 0
  }
}

extension SamplingWorkspace {
  /// Holds back the tokens that would go on with a repetition.
  func penalize(repetitionsIn tokens: [Int32], _ breakers: BreakerPosition, _ rules: DRYConfiguration) {
    let text = tokens.suffix(rules.lastTokens ?? tokens.count)
    let limit = min(breakers.distance, text.count)
    guard limit >= rules.allowedLength, text.count > rules.allowedLength else { return }
    text.withUnsafeBufferPointer { findRepeats($0) }
    repeated.removeAll(keepingCapacity: true)
    let last = text.endIndex - 1
    for back in 1..<text.count where Int(repeats[back]) >= rules.allowedLength {
      repeated.append((text[last - back + 1], Int32(min(Int(repeats[back]), limit))))
    }
    // The longest repetition that a token goes on with comes first.
    repeated.sort { $0.token != $1.token ? $0.token < $1.token : $0.length > $1.length }
    var previous: Int32?
    for (token, length) in repeated where token != previous {
      previous = token
      if breakers.isBreaker(token) { continue }
      let penalty = rules.multiplier * power(rules.base, Double(Int(length) - rules.allowedLength))
      change(Int(token)) { $0 - Float(min(penalty, 1e30)) }
    }
  }

  /// `repeats[k]`: how many tokens before and at place k from the end equal those at the end.
  private func findRepeats(_ text: UnsafeBufferPointer<Int32>) {
    let count = text.count
    repeats.removeAll(keepingCapacity: true)
    repeats.append(contentsOf: repeatElement(0, count: count))
    func token(_ back: Int) -> Int32 { text[count - 1 - back] }
    // The match that reaches farthest begins at `start` and ends before `end`.
    var (start, end) = (0, 0)
    for place in 1..<max(1, count) {
      var length = place < end ? min(Int(repeats[place - start]), end - place) : 0
      while place + length < count, token(length) == token(place + length) { length += 1 }
      repeats[place] = Int32(length)
      if place + length > end { (start, end) = (place, place + length) }
    }
  }
}
