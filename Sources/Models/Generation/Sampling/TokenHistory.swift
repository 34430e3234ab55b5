// What a text consists of so far, as penalties see it.
//
// Invariant: `counts` are those of the last `window` tokens, each token once, so that a penalty costs as much as there are
// different tokens.

/// How often a token is there.
struct TokenCount: Sendable {
  let token: Int32
  var prompt: Int32 = 0
  var written: Int32 = 0
}

/// The tokens of a text, counted.
struct TokenHistory: Sendable {
  private(set) var tokens: [Int32] = []
  private(set) var counts: [TokenCount] = []
  private var places: [Int32: Int] = [:]
  private var prompt = 0
  private let window: Int

  /// - Parameter window: how many last tokens are counted; all if nil.
  init(window: Int?) { self.window = window ?? .max }

  mutating func append(_ token: Int32, isPrompt: Bool) {
    if isPrompt { prompt += 1 }
    tokens.append(token)
    count(token, isPrompt, 1)
    let left = tokens.count - 1 - window
    if left >= 0 { count(tokens[left], left < prompt, -1) }
  }

  private mutating func count(_ token: Int32, _ isPrompt: Bool, _ change: Int32) {
    let place = places[token] ?? counts.count
    if place == counts.count {
      counts.append(TokenCount(token: token))
      places[token] = place
    }
    if isPrompt { counts[place].prompt += change } else { counts[place].written += change }
    guard counts[place].prompt + counts[place].written == 0 else { return }
    counts.swapAt(place, counts.count - 1)
    places[counts[place].token] = place
    places[token] = nil
    counts.removeLast()
  }
}

extension SamplingConfiguration {
  var hasPenalties: Bool { repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0 }
}

extension SamplingWorkspace {
  /// Repetition, presence and frequency penalties.
  func penalize(_ history: TokenHistory, _ rules: SamplingConfiguration) {
    let factor = Float(rules.repetitionPenalty)
    let (presence, frequency) = (Float(rules.presencePenalty), Float(rules.frequencyPenalty))
    for count in history.counts {
      let repeats = rules.penaltyPrompt == .none ? count.written : count.written + count.prompt
      let occurrences = rules.penaltyPrompt == .all ? count.written + count.prompt : count.written
      change(Int(count.token)) { logit in
        var logit = logit
        if repeats > 0 { logit = logit > 0 ? logit / factor : logit * factor }
        if occurrences > 0 { logit -= presence + frequency * Float(occurrences) }
        return logit
      }
    }
  }
}
