// What the scheduler knows of a request: numbers and tokens, nothing of models, texts or sockets.

/// A request as the scheduler sees it.
package struct ScheduledRequest: Sendable {
  package typealias ID = UInt64

  package var id: ID
  package var prompt: [Int32]
  /// The most tokens that are written.
  package var limit: Int
  /// Higher ones go first, also into the place of running ones.
  package var priority = 0
  /// Who asks: tenants get equal shares.
  package var tenant = ""
  /// When it is too late, in the scheduler's seconds; nil: never.
  package var deadline: Double?
  /// The adapter, with its version, that keys and values depend on; empty: none.
  package var adapter = ""
  /// Keeps the texts of a tenant from others' prefix hits.
  package var salt = ""

  package init(id: ID, prompt: [Int32], limit: Int) {
    (self.id, self.prompt, self.limit) = (id, prompt, limit)
  }
}

/// Why a request was not taken.
public enum Refusal: Hashable, Sendable {
  /// So many wait already.
  case queueFull(Int)
  /// The prompt and what may follow are longer than the model's context or than the cache: `limit` tokens.
  case tooLong(tokens: Int, limit: Int)
  case emptyPrompt
  /// It asks for what this model cannot do; the message says why.
  case invalid(String)
  /// The engine takes no more requests.
  case stopping
}

/// How a request ended.
public enum EndReason: String, Hashable, Sendable {
  /// By an end token or a stop string.
  case stop
  /// By its limit of tokens.
  case length
  case cancelled
  case deadline
}

/// One run of the model: some tokens of some texts.
package struct EngineStep: Sendable {
  /// Consecutive tokens of a text.
  package struct Part: Sendable {
    package var id: ScheduledRequest.ID
    /// The position of the first.
    package var start: Int
    package var tokens: ArraySlice<Int32>
    /// The blocks of the cache in which the text stands, as far as its last token here.
    package var blocks: [Int32]
    /// Whether the token that follows on the last is wanted.
    package var isLast: Bool
  }

  package var parts: [Part]

  /// Tokens in all.
  package var count: Int { parts.reduce(0) { $0 + $1.tokens.count } }
}
