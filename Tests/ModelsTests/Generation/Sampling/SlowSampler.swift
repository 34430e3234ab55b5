// The rules of sampling, slowly and obviously right: a dictionary of tokens and logits in Double, and a full sort for each rule.

import Core
import Models

/// What the rules leave of logits.
struct SlowSampler {
  let rules: SamplingConfiguration
  /// By token; those that cannot be chosen are not there.
  private(set) var logits: [Int32: Double] = [:]
  /// How near the nearest decision was: below the precision of floats it may fall otherwise.
  private(set) var margin = Double.infinity

  init(_ logits: [Float], _ rules: SamplingConfiguration, prompt: [Int32] = [], written: [Int32] = []) {
    self.rules = rules
    for (token, logit) in logits.enumerated() where !logit.isNaN && logit > -.infinity {
      self.logits[Int32(token)] = Double(logit)
    }
    if let allowed = rules.allowedTokens { self.logits = self.logits.filter { allowed.contains($0.key) } }
    for (token, bias) in rules.logitBias { self.logits[Int32(token)]? += bias }
    for token in rules.bannedTokens { self.logits[token] = nil }
    penalize(prompt, written)
    penalizeRepetitions(prompt + written)
  }

  /// The distribution, if XTC is applied or not.
  ///
  /// - Parameter surprise: the limit of mirostat, in bits; nil: at a text's beginning.
  mutating func distribution(xtc: Bool, surprise: Double? = nil) -> [Int32: Double] {
    let scale = rules.temperatureFirst ? 1 / rules.temperature : 1
    if let sigmas = rules.topNSigma {
      let values = Array(logits.values)
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
      keep(atLeast: values.max()! - sigmas * variance.squareRoot())
    }
    if let count = rules.topK { keep(sorted { logits[$0]! }.prefix(count)) }
    if rules.typical < 1 {
      let p = probabilities(scale)
      let entropy = -p.values.map { $0 * log($0) }.reduce(0, +)
      keep(share: rules.typical, p, in: sorted { -abs(-log(p[$0]!) - entropy) })
    }
    if rules.topP < 1 {
      let p = probabilities(scale)
      keep(share: rules.topP, p, in: sorted { p[$0]! })
    }
    if rules.minP > 0 { keep(atLeast: logits.values.max()! + log(rules.minP) / scale) }
    if xtc {
      let p = probabilities(scale)
      for value in p.values { margin = min(margin, abs(value - rules.xtc.threshold)) }
      let tops = sorted { p[$0]! }.filter { p[$0]! >= rules.xtc.threshold }
      for token in tops.dropLast() { logits[token] = nil }
    }
    if rules.mirostat.tau > 0 {
      let p = probabilities(1 / rules.temperature)
      let bits = p.mapValues { -log2($0) }
      let limit = surprise ?? 2 * rules.mirostat.tau
      // Bits are farther from each other than logits in floats.
      for value in bits.values { margin = min(margin, abs(value - limit) / 16) }
      let least = bits.values.min()!
      keep(p.keys.filter { bits[$0]! <= max(limit, least) })
    }
    return probabilities(1 / rules.temperature)
  }

  private func probabilities(_ scale: Double) -> [Int32: Double] {
    let most = logits.values.max()!
    let weights = logits.mapValues { exp(($0 - most) * scale) }
    let total = weights.values.reduce(0, +)
    return weights.mapValues { $0 / total }
  }

  private func sorted(_ key: (Int32) -> Double) -> [Int32] {
    logits.keys.map { (key($0), -$0) }.sorted(by: >).map { -$0.1 }
  }

  private mutating func keep(_ tokens: some Sequence<Int32>) {
    let kept = Set(tokens)
    logits = logits.filter { kept.contains($0.key) }
  }

  private mutating func keep(atLeast cut: Double) {
    let most = logits.values.max()!
    for value in logits.values where value != most { margin = min(margin, abs(value - cut)) }
    logits = logits.filter { $0.value >= cut || $0.value == most }
  }

  private mutating func keep(share: Double, _ p: [Int32: Double], in order: [Int32]) {
    var kept: [Int32] = []
    var sum = 0.0
    for token in order {
      kept.append(token)
      sum += p[token]!
      margin = min(margin, abs(sum - share))
      if sum >= share { break }
    }
    keep(kept)
  }

  private mutating func penalize(_ prompt: [Int32], _ written: [Int32]) {
    let text = prompt.map { ($0, true) } + written.map { ($0, false) }
    let window = text.suffix(rules.penaltyLastTokens ?? text.count)
    for (token, logit) in logits where window.contains(where: { $0.0 == token }) {
      let inPrompt = window.filter { $0 == (token, true) }.count
      let own = window.filter { $0 == (token, false) }.count
      let repeats = rules.penaltyPrompt == .none ? own : own + inPrompt
      let occurrences = rules.penaltyPrompt == .all ? own + inPrompt : own
      var result = logit
      if repeats > 0 { result = result > 0 ? result / rules.repetitionPenalty : result * rules.repetitionPenalty }
      if occurrences > 0 { result -= rules.presencePenalty + rules.frequencyPenalty * Double(occurrences) }
      logits[token] = result
    }
  }

  /// DRY without breakers: for each token, the longest end of the text that stands somewhere before it.
  private mutating func penalizeRepetitions(_ text: [Int32]) {
    guard rules.dry.multiplier > 0 else { return }
    let text = Array(text.suffix(rules.dry.lastTokens ?? text.count))
    for (token, logit) in logits where text.contains(token) {
      var longest = 0
      for place in text.indices where text[place] == token {
        var length = 0
        while length < place, text[place - 1 - length] == text[text.count - 1 - length] { length += 1 }
        longest = max(longest, length)
      }
      guard longest >= rules.dry.allowedLength else { continue }
      logits[token] = logit - rules.dry.multiplier * pow(rules.dry.base, Double(longest - rules.dry.allowedLength))
    }
  }
}
