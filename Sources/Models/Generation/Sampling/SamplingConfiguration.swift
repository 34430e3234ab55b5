// Everything that decides how tokens are chosen.
//
// The rules are applied in this order, which is llama.cpp's: bias, bans and allowed tokens; repetition, presence and frequency
// penalties; DRY; top-n-sigma; top-k; typical; top-p; min-p; XTC; temperature; mirostat. So top-p, min-p and typical see the model's own
// probabilities. vLLM and transformers divide by the temperature first: `temperatureFirst`. Each rule sees the probabilities
// of what the rules before it left over.
//
// Invariant: the defaults sample from the model's own distribution, and no combination of rules leaves no token over.

public import Core

/// How tokens are chosen.
public struct SamplingConfiguration: Configuration, Hashable {
  /// Divides the logits: 1 samples from the model's own distribution, 0 takes the likeliest token that bias, bans, penalties
  /// and constraints leave, whatever the other rules say.
  public var temperature = 1.0
  /// Divide by the temperature before typical, top-p, min-p and XTC look at probabilities, as vLLM and transformers do.
  public var temperatureFirst = false
  /// Only the likeliest so many tokens; nil: all.
  public var topK: Int?
  /// Only the likeliest tokens that together have at least this probability (Holtzman et al. 2020); 1: all.
  public var topP = 1.0
  /// Only tokens with at least this share of the likeliest one's probability (Nguyen et al. 2024); 0: all.
  public var minP = 0.0
  /// Only tokens whose information is nearest to the entropy, that together have at least this probability (Meister et al.
  /// 2023); 1: all.
  public var typical = 1.0
  /// Only tokens whose logit is at most so many standard deviations of all logits below the largest (Tang et al. 2024); nil:
  /// all.
  public var topNSigma: Double?
  /// Divides positive logits, and multiplies others, of tokens in the text (Keskar et al. 2019); 1: none.
  public var repetitionPenalty = 1.0
  /// Taken from the logits of tokens in the text, once; 0: none.
  public var presencePenalty = 0.0
  /// Taken from the logits of tokens in the text, as often as they are there; 0: none.
  public var frequencyPenalty = 0.0
  /// Over how many last tokens the three penalties count (llama.cpp's `repeat_last_n`); nil: the whole text, as vLLM does.
  public var penaltyLastTokens: Int?
  /// Which of the three penalties count the prompt as well.
  public var penaltyPrompt = PenalizedPrompt.repetition
  public var dry = DRYConfiguration()
  public var xtc = XTCConfiguration()
  public var mirostat = MirostatConfiguration()
  /// Added to the logits of tokens, by their numbers.
  public var logitBias: [Int: Double] = [:]
  /// Only these tokens; nil: all.
  public var allowedTokens: [Int32]?
  /// Never these tokens.
  public var bannedTokens: [Int32] = []
  /// The same seed gives the same text.
  public var seed: UInt64 = 1
  /// Tokens before which no end and no stop string ends the text.
  public var minTokens = 0
  /// Never choose the model's own tokens for the end.
  public var ignoreEnd = false
  /// Texts that end the text.
  public var stop: [String] = []
  /// Keep the stop string in the text.
  public var includeStop = false
  /// Tokens that end the text, beside the model's own.
  public var stopTokens: [Int32] = []
  /// Report the log-probability of each chosen token and of so many likeliest ones; nil: none. They are those of the model:
  /// the log-softmax of the logits before any rule, as vLLM's are.
  public var logProbabilities: Int?

  public init() {}

  public init(temperature: Double, topK: Int? = nil, seed: UInt64 = 1) {
    self.temperature = temperature
    self.topK = topK
    self.seed = seed
  }

  public func problems() -> [ConfigurationProblem] {
    check(temperature >= 0 && temperature.isFinite, "temperature", temperature, "must be 0 or more")
    check(topK.map { $0 >= 1 } ?? true, "topK", topK ?? 0, "must be 1 or more, or null for all")
    check(topP > 0 && topP <= 1, "topP", topP, "must be more than 0 and at most 1")
    check(minP >= 0 && minP <= 1, "minP", minP, "must be from 0 to 1")
    check(typical > 0 && typical <= 1, "typical", typical, "must be more than 0 and at most 1")
    check(
      topNSigma.map { $0 > 0 && $0.isFinite } ?? true, "topNSigma", topNSigma ?? 0,
      "must be more than 0, or null for all")
    check(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetitionPenalty", repetitionPenalty,
      "must be more than 0; 1 is none")
    check(abs(presencePenalty) <= 100, "presencePenalty", presencePenalty, "must be from -100 to 100; 0 is none")
    check(abs(frequencyPenalty) <= 100, "frequencyPenalty", frequencyPenalty, "must be from -100 to 100; 0 is none")
    check(
      penaltyLastTokens.map { $0 >= 1 } ?? true, "penaltyLastTokens", penaltyLastTokens ?? 0,
      "must be 1 or more, or null for the whole text")
    for (token, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
      check(
        (0...Int(Int32.max)).contains(token) && abs(bias) <= 1e6, "logitBias.\(token)", bias,
        "must be the number of a token and a bias from -1e6 to 1e6")
    }
    check(allowedTokens.map { !$0.isEmpty } ?? true, "allowedTokens", "[]", "must name a token, or be null for all")
    for (key, tokens) in lists {
      check(tokens.allSatisfy { $0 >= 0 }, key, "\(tokens)", "must be numbers of tokens, 0 or more")
    }
    check(minTokens >= 0, "minTokens", minTokens, "must not be negative")
    check(stop.allSatisfy { !$0.isEmpty }, "stop", "\(stop)", "must not hold an empty text")
    check(
      stop.reduce(0) { $0 + $1.utf8.count } <= 65536, "stop", "\(stop.count) texts", "must be at most 65536 bytes long")
    check(
      logProbabilities.map { (0...1000).contains($0) } ?? true, "logProbabilities", logProbabilities ?? 0,
      "must be from 0 to 1000, or null for none")
  }

  private var lists: [(String, [Int32])] {
    [("allowedTokens", allowedTokens ?? []), ("bannedTokens", bannedTokens), ("stopTokens", stopTokens)]
  }

  /// Checks the tokens that are named here against a model.
  ///
  /// - Parameter vocabulary: how many tokens the model has.
  /// - Throws: `ModelError` that names the first that it does not have.
  package func check(vocabulary: Int) throws(ModelError) {
    let named = lists + [("logitBias", logitBias.keys.sorted().map { Int32($0) })]
    for (key, tokens) in named {
      guard let unknown = tokens.first(where: { Int($0) >= vocabulary }) else { continue }
      throw ModelError(
        .unknownToken, "\(key) names token \(unknown), but the model has only 0 to \(vocabulary - 1). Leave it out.")
    }
  }
}

/// For which penalties a token in the prompt counts.
public enum PenalizedPrompt: String, Codable, Sendable, CaseIterable {
  /// For the repetition penalty only: vLLM's rule, and OpenAI's for the other two.
  case repetition
  /// For all three: llama.cpp's rule.
  case all
  /// For none.
  case none
}

/// "Don't repeat yourself": takes `multiplier * base^(n - allowedLength)` from the logit of a token that would make a
/// repetition of n tokens longer (p-e-w, text-generation-webui #5677, as llama.cpp has it).
public struct DRYConfiguration: Configuration, Hashable {
  /// 0: off.
  public var multiplier = 0.0
  public var base = 1.75
  /// Repetitions that are shorter are left alone.
  public var allowedLength = 2
  /// Over how many last tokens repetitions are looked for, the prompt counting; nil: the whole text.
  public var lastTokens: Int?
  /// Texts that a repetition does not reach beyond.
  public var breakers = ["\n", ":", "\"", "*"]

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(multiplier >= 0 && multiplier.isFinite, "multiplier", multiplier, "must be 0 or more; 0 is none")
    check(base >= 1 && base.isFinite, "base", base, "must be 1 or more")
    check(allowedLength >= 1, "allowedLength", allowedLength, "must be 1 or more")
    check(
      lastTokens.map { $0 >= 1 } ?? true, "lastTokens", lastTokens ?? 0, "must be 1 or more, or null for the whole text"
    )
    check(
      breakers.allSatisfy { !$0.isEmpty } && breakers.reduce(0) { $0 + $1.utf8.count } <= 65536, "breakers",
      "\(breakers.count) texts", "must not hold an empty text, nor more than 65536 bytes")
  }
}

/// "Exclude top choices": now and then takes away all tokens of at least some probability but the least likely of them (p-e-w,
/// text-generation-webui #6335, as llama.cpp has it).
public struct XTCConfiguration: Configuration, Hashable {
  /// How often; 0: never.
  public var probability = 0.0
  /// From which probability on; above 0.5 there are never two such tokens.
  public var threshold = 0.1

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(probability >= 0 && probability <= 1, "probability", probability, "must be from 0 to 1")
    check(threshold > 0 && threshold <= 1, "threshold", threshold, "must be more than 0 and at most 1")
  }
}

/// Mirostat in its second version (Basu et al. 2021, arXiv:2007.14966, as llama.cpp has it): leaves out tokens whose surprise, -log2 of
/// their probability, is more than a limit, and moves the limit behind each token so that the mean surprise becomes `tau`.
public struct MirostatConfiguration: Configuration, Hashable {
  /// The surprise that is aimed at, in bits; 0: off. llama.cpp's default is 5.
  public var tau = 0.0
  /// By how much of what a token missed the aim the limit is moved.
  public var eta = 0.1

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(tau >= 0 && tau <= 100, "tau", tau, "must be from 0 to 100; 0 is off")
    check(eta >= 0 && eta <= 1, "eta", eta, "must be from 0 to 1")
  }
}
