// From logits to a token: the rules of a `SamplingConfiguration` in their order.
//
// Invariant: a choice depends on the logits, the configuration, the text so far, the stream and how many tokens were chosen
// before, and on nothing else: not on other texts, on threads, or on what a workspace was used for before. Random numbers are
// read at the position that the number of chosen tokens is.

public import Formats
private import Core

/// Chooses the tokens of one text. A value: a copy goes on from the same past.
public struct Sampler: Sendable {
  public let configuration: SamplingConfiguration
  /// The tokens that end the text: the model's and the configuration's.
  public let ends: Set<Int32>
  /// Limits the text from outside.
  public private(set) var constraint: (any TokenConstraint)?
  /// How many tokens were chosen.
  public private(set) var chosen = 0

  private let modelEnds: Set<Int32>
  private let tokenizer: (any Tokenizer)?
  private let random: RandomStream
  private var history: TokenHistory
  private var breakers: BreakerPosition
  /// The limit of mirostat, in bits.
  private var surpriseLimit: Double
  /// The bits of `allowedTokens`.
  private let allowed: [UInt64]?

  /// - Parameters:
  ///   - ends: the tokens that end a text of the model.
  ///   - stream: which of the independent texts of one seed this is.
  ///   - constraint: limits the text from outside.
  ///   - tokenizer: for the breakers of DRY, which are text; without it there are none.
  public init(
    _ configuration: SamplingConfiguration = SamplingConfiguration(), ends: Set<Int32> = [], stream: Int = 0,
    constraint: (any TokenConstraint)? = nil, tokenizer: (any Tokenizer)? = nil
  ) {
    self.configuration = configuration
    self.ends = ends.union(configuration.stopTokens)
    self.constraint = constraint
    self.tokenizer = tokenizer
    modelEnds = ends
    random = RandomStream(key: configuration.seed, stream: 0x73616D706C65 &+ UInt64(stream) << 48)
    history = TokenHistory(window: configuration.penaltyLastTokens)
    breakers = BreakerPosition(configuration.dry, tokenizer)
    surpriseLimit = 2 * configuration.mirostat.tau
    allowed = configuration.allowedTokens.map { tokens in
      var words = [UInt64](repeating: 0, count: Int(tokens.max() ?? 0) / 64 + 1)
      for token in tokens { words[Int(token) / 64] |= 1 << UInt64(token % 64) }
      return words
    }
  }

  /// Begins a text behind a prompt.
  public mutating func begin(after prompt: [Int32]) {
    chosen = 0
    history = TokenHistory(window: configuration.penaltyLastTokens)
    breakers = BreakerPosition(configuration.dry, tokenizer)
    surpriseLimit = 2 * configuration.mirostat.tau
    for token in prompt { remember(token, isPrompt: true) }
  }

  /// Whether the text ends here because the constraint lets nothing follow.
  public var mustEnd: Bool { constraint?.mustEnd ?? false }

  /// Chooses a token by logits, one for each token of the vocabulary, and takes it into the text.
  ///
  /// - Throws: `ModelError` if no token can be chosen: all logits are NaN or -infinity, or bans and the constraint leave none.
  public mutating func next(
    _ logits: UnsafeBufferPointer<Float>, in workspace: SamplingWorkspace
  ) throws(ModelError) -> TokenChoice {
    precondition(!logits.isEmpty, "no logits to choose from")
    let token: Int32
    switch try reduce(logits, workspace) {
    case .single(let only): token = only
    case .cut(let cut):
      let sum = workspace.exponentialSum(scale: scale, cut: cut)
      token = workspace.draw(uniform * sum, scale: scale, cut: cut)
      note(token, workspace, most: workspace.most, sum)
    case .candidates:
      let sum = workspace.weigh(scale: scale)
      token = workspace.draw(uniform * sum)
      note(token, workspace, most: workspace.largest, sum)
    }
    var choice = TokenChoice(token: token)
    if let count = configuration.logProbabilities {
      let (logProbability, likeliest) = workspace.logProbabilities(logits, of: token, likeliest: count)
      choice.logProbability = logProbability
      choice.likeliest = likeliest
    }
    accept(token)
    return choice
  }

  /// The same with an array, for those who do not choose often.
  public mutating func next(
    _ logits: [Float], in workspace: SamplingWorkspace = SamplingWorkspace()
  ) throws(ModelError) -> TokenChoice {
    try logits.withUnsafeBufferPointer { (logits) throws(ModelError) in try next(logits, in: workspace) }
  }

  /// The distribution that `next` would choose from: the tokens that are left, in no particular order, with the logarithms of
  /// their probabilities.
  ///
  /// - Throws: as `next` does.
  public func distribution(
    _ logits: UnsafeBufferPointer<Float>, in workspace: SamplingWorkspace
  ) throws(ModelError) -> [TokenProbability] {
    var copy = self
    switch try copy.reduce(logits, workspace) {
    case .single(let only): return [TokenProbability(token: only, logProbability: 0)]
    case .cut(let cut): workspace.collect(cut: cut)
    case .candidates: break
    }
    let sum = workspace.weigh(scale: scale)
    return workspace.candidates.map {
      TokenProbability(token: $0.token, logProbability: Float(logarithm($0.weight / sum)))
    }
  }

  /// The tokens with the largest logits under the rules that change single ones, the best first; fewer than `count` if no more
  /// may follow.
  package func likeliest(
    _ count: Int, of logits: UnsafeBufferPointer<Float>, in workspace: SamplingWorkspace
  ) -> [Int32] {
    var copy = self
    copy.adjust(logits, workspace)
    workspace.collect(likeliest: count)
    workspace.sortCandidates()
    return workspace.candidates.map(\.token)
  }

  /// Moves the limit of mirostat by how surprising a token was among those that were left.
  private mutating func note(_ token: Int32, _ workspace: SamplingWorkspace, most: Float, _ sum: Double) {
    guard configuration.mirostat.tau > 0 else { return }
    let surprise = (logarithm(sum) - Double(workspace.logit(Int(token)) - most) * scale) / logarithm(2)
    surpriseLimit -= configuration.mirostat.eta * (surprise - configuration.mirostat.tau)
  }

  /// Whether the constraint lets a token follow.
  public func allows(_ token: Int32, vocabulary: Int) -> Bool {
    guard let constraint, !ends.contains(token) else { return true }
    if constraint.mustEnd { return false }
    var (copy, mask) = (constraint, [UInt64](repeating: 0, count: (vocabulary + 63) / 64))
    copy.mask(into: &mask)
    return mask[Int(token) / 64] >> UInt64(token % 64) & 1 == 1
  }

  /// Takes a token into the text that was chosen by other means: drafted, or given.
  public mutating func accept(_ token: Int32) {
    chosen += 1
    if ends.contains(token) { return }
    remember(token, isPrompt: false)
    constraint?.accept(token)
  }

  private mutating func remember(_ token: Int32, isPrompt: Bool) {
    let hasDRY = configuration.dry.multiplier > 0
    if configuration.hasPenalties || hasDRY { history.append(token, isPrompt: isPrompt) }
    if hasDRY { breakers.push(token) }
  }

  // MARK: Random numbers

  private var block: SIMD4<UInt32> { random.block(UInt64(chosen)) }

  /// From 0 to 1, 1 left out, for the choice.
  private var uniform: Double { Double((UInt64(block[0]) | UInt64(block[1]) << 32) >> 11) * 0x1p-53 }

  /// The same, for whether XTC is applied.
  private var chance: Double { Double(block[2]) * 0x1p-32 }

  // MARK: Rules

  /// What the rules leave.
  private enum Reduced {
    case single(Int32)
    /// All tokens whose logits in the workspace are at least so large.
    case cut(Float)
    /// The workspace's candidates.
    case candidates
  }

  /// By what logits are multiplied in the end. A temperature of nearly 0 must not give infinity.
  private var scale: Double { min(1 / configuration.temperature, 1e30) }

  /// Applies all rules but the temperature.
  private mutating func reduce(
    _ logits: UnsafeBufferPointer<Float>, _ workspace: SamplingWorkspace
  ) throws(ModelError) -> Reduced {
    adjust(logits, workspace)
    let most = workspace.most
    guard most > -.infinity else {
      throw ModelError(
        .noToken,
        constraint?.problem
          ?? "No token can follow: the model's logits are not numbers, or the allowed and banned tokens and the constraint leave "
          + "none. Loosen them, or check the model with another prompt.")
    }
    if configuration.temperature == 0 || most == .infinity { return .single(workspace.likeliest) }
    return filter(workspace, most)
  }

  /// What changes single logits: masks, bias, bans, penalties.
  private mutating func adjust(_ logits: UnsafeBufferPointer<Float>, _ workspace: SamplingWorkspace) {
    let rules = configuration
    let isMasked = fillMask(logits.count, workspace)
    let bansEnds = !mustEnd && (chosen < rules.minTokens || rules.ignoreEnd)
    let changes =
      bansEnds || !rules.logitBias.isEmpty || !rules.bannedTokens.isEmpty || !history.tokens.isEmpty
    guard isMasked || changes else { return workspace.read(logits) }
    workspace.copy(logits, masked: isMasked)
    for (token, bias) in rules.logitBias { workspace.change(token) { $0 + Float(bias) } }
    for token in rules.bannedTokens { workspace.change(Int(token)) { _ in -.infinity } }
    if bansEnds {
      let banned = chosen < rules.minTokens ? ends : modelEnds
      for token in banned { workspace.change(Int(token)) { _ in -.infinity } }
    }
    if rules.hasPenalties { workspace.penalize(history, rules) }
    if rules.dry.multiplier > 0 { workspace.penalize(repetitionsIn: history.tokens, breakers, rules.dry) }
  }

  /// The bits of the tokens that may be chosen, if not all may.
  private mutating func fillMask(_ count: Int, _ workspace: SamplingWorkspace) -> Bool {
    guard constraint != nil || allowed != nil else { return false }
    let words = (count + 63) / 64
    if workspace.mask.count != words { workspace.mask = [UInt64](repeating: 0, count: words) }
    for word in 0..<words { workspace.mask[word] = 0 }
    if constraint != nil {
      if !mustEnd { constraint!.mask(into: &workspace.mask) }
      let mayEnd = constraint!.mayEnd || constraint!.mustEnd
      for token in ends where Int(token) < count {
        let bit: UInt64 = 1 << UInt64(token % 64)
        if mayEnd { workspace.mask[Int(token) / 64] |= bit } else { workspace.mask[Int(token) / 64] &= ~bit }
      }
    }
    guard let allowed else { return true }
    for word in 0..<words {
      let bits = word < allowed.count ? allowed[word] : 0
      workspace.mask[word] = constraint == nil ? bits : workspace.mask[word] & bits
    }
    return true
  }

  /// What takes tokens away by their probabilities.
  private func filter(_ workspace: SamplingWorkspace, _ most: Float) -> Reduced {
    let rules = configuration
    let scale = rules.temperatureFirst ? scale : 1
    var result = Reduced.cut(-.infinity)
    if let sigmas = rules.topNSigma {
      result = .cut(min(most, Float(Double(most) - sigmas * workspace.deviation)))
    }
    if let count = rules.topK, count < workspace.count, case .cut(let cut) = result {
      workspace.collect(likeliest: count, cut: cut)
      result = .candidates
    }
    if rules.typical < 1 {
      if case .cut(let cut) = result { workspace.collect(cut: cut) }
      result = .candidates
      workspace.keep(typical: rules.typical, scale: scale)
    }
    if rules.topP < 1 {
      if case .cut(let cut) = result {
        workspace.collect(share: rules.topP, scale: scale, cut: cut)
      } else {
        workspace.keep(share: rules.topP, scale: scale)
      }
      result = .candidates
    }
    if rules.minP > 0 {
      if case .cut(let cut) = result {
        result = .cut(max(cut, SamplingWorkspace.cut(relative: rules.minP, to: most, scale: scale)))
      } else {
        workspace.keep(relative: rules.minP, scale: scale)
      }
    }
    if rules.xtc.probability > 0, chance <= rules.xtc.probability { excludeTopChoices(workspace, result, scale) }
    if rules.mirostat.tau > 0 {
      let (scale, share) = (self.scale, power(2, -surpriseLimit))
      if case .cut(let cut) = result {
        let least = min(1, share * workspace.exponentialSum(scale: scale, cut: cut))
        result = .cut(max(cut, SamplingWorkspace.cut(relative: least, to: workspace.most, scale: scale)))
      } else {
        workspace.keep(relative: min(1, share * workspace.weigh(scale: scale)), scale: scale)
      }
    }
    return result
  }

  /// XTC.
  private func excludeTopChoices(_ workspace: SamplingWorkspace, _ left: Reduced, _ scale: Double) {
    let threshold = configuration.xtc.threshold
    if case .cut(let cut) = left {
      let most = workspace.most
      let share = threshold * workspace.exponentialSum(scale: scale, cut: cut)
      guard share <= 1 else { return }
      workspace.collect(cut: max(cut, SamplingWorkspace.cut(relative: share, to: most, scale: scale)))
      workspace.makeMutable()
      workspace.sortCandidates()
      for candidate in workspace.candidates.dropLast() {
        workspace.change(Int(candidate.token)) { _ in -.infinity }
      }
    } else {
      let least = threshold * workspace.weigh(scale: scale)
      workspace.sortCandidates()
      let tops = workspace.candidates.prefix { $0.weight >= least }.count
      if tops > 1 { workspace.candidates.removeFirst(tops - 1) }
    }
  }
}
