// What goes into an engine and what comes out.

public import Models

/// A text to be written.
public struct GenerationRequest: Sendable {
  public var prompt: [Int32]
  /// The most tokens that are written.
  public var limit: Int
  /// Tokens of the answer that were chosen before, perhaps by another engine: they are told again, at once, and the answer goes on
  /// behind them as if this engine had chosen them. With the same seed it is the answer that nobody interrupted.
  public var written: [Int32] = []
  public var sampling = SamplingConfiguration()
  /// Which of the independent answers to one seed this is.
  public var stream = 0
  public var constraint: (any TokenConstraint)?
  /// The name of an adapter that the engine knows; the one that it stands for now is kept to the end. Nil: none.
  public var adapter: String?
  /// Higher ones go first.
  public var priority = 0
  /// Who asks: tenants get equal shares.
  public var tenant = ""
  /// Keeps what is cached of this text from others: only texts of the same salt share it.
  public var salt = ""
  /// Leaves special tokens out of the text.
  public var skipsSpecials = false
  /// Asks for the log-probabilities of the prompt's tokens and of so many likeliest ones at each place; nil: none. Such a
  /// prompt is computed whole, whatever is in the cache.
  public var promptLogProbabilities: Int?
  /// Asks for the hidden state behind the prompt, which texts are compared by; `limit` is 1 then.
  public var wantsState = false
  /// After how many seconds it is too late; nil: never.
  public var timeout: Double?

  public init(prompt: [Int32], limit: Int) { (self.prompt, self.limit) = (prompt, limit) }

  /// Whether it says which tokens there may be.
  var isHeld: Bool {
    constraint != nil || sampling.allowedTokens != nil || !sampling.bannedTokens.isEmpty || !sampling.logitBias.isEmpty
  }
}

/// What an engine tells of a request, in this order: `refused`; or `token`s that were written before, `started` (unless it ends
/// before), `prompt`s, `token`s, and one of `ended`, `impossible` and
/// `failed`.
public enum GenerationEvent: Sendable {
  case refused(Refusal)
  /// The prompt is being read; so many of its tokens were in the cache.
  case started(cached: Int)
  /// How likely a token of the prompt is; they come in order, from the second on, before any token is chosen.
  case prompt(PromptToken)
  /// The hidden state behind the prompt.
  case state([Float])
  /// A token was chosen; the text that is certain now. Tokens that end the text come without text.
  case token(TokenChoice, text: String)
  case ended(GenerationEnd)
  /// What the request holds its answer to leaves no token to go on with.
  case impossible(String)
  /// The model or the sampler could not go on; other requests are not affected.
  case failed(String)
}

/// A token of a prompt as the model sees it behind those before it.
public struct PromptToken: Sendable {
  public var choice: TokenChoice
  /// Its place among all tokens by how likely they are, from 1.
  public var rank: Int
}

/// How a text ended.
public struct GenerationEnd: Sendable {
  public var reason: EndReason
  /// The stop string that ended it.
  public var stop: String?
  /// What was held back of the text, as it might have become a stop string.
  public var text = ""
  /// Tokens of the prompt, those of them that were in the cache, and tokens that were written.
  public var prompt: Int
  public var cached: Int
  public var written: Int
  public var times: RequestTimes

  package init(
    reason: EndReason, stop: String? = nil, text: String = "", prompt: Int, cached: Int, written: Int,
    times: RequestTimes
  ) {
    (self.reason, self.stop, self.text, self.times) = (reason, stop, text, times)
    (self.prompt, self.cached, self.written) = (prompt, cached, written)
  }
}

/// When what happened to a request, in seconds of a monotonic clock.
public struct RequestTimes: Sendable, Hashable {
  public var arrived: Double
  /// Taken from the queue for the first time.
  public var started: Double?
  public var firstToken: Double?
  public var lastToken: Double?
  public var ended: Double?

  package init(arrived: Double) { self.arrived = arrived }
}
