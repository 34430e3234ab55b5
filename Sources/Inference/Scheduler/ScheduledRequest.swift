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
  /// Stands for the adapter that keys and values depend on; empty: none.
  package var adapter = ""
  /// Keeps the texts of a tenant from others' prefix hits.
  package var salt = ""
  /// Whether its blocks may be kept beyond the engine.
  package var isStored = true

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
public enum EndReason: String, Hashable, Sendable, CaseIterable {
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
    /// The place of the text's adapter; nil: it has none.
    package var slot: Int?
    /// Whether the token that follows on the last is wanted.
    package var isLast: Bool
    /// Whether the text is being written: the first token here is the last that was chosen.
    package var isWriting: Bool
    /// For how many drafted tokens `blocks` have room behind `tokens`.
    package var room = 0
    /// How many of `tokens`, the last, are drafted: the tokens that follow on them are wanted, too.
    package var drafted = 0
    /// Other ways on behind the first of `tokens`, of a text that is being written.
    package var branches: [Branch] = []

    /// Takes drafted tokens behind its own.
    package mutating func append(drafted new: some Collection<Int32>) {
      precondition(new.count <= room, "\(new.count) drafted tokens where \(room) have room")
      tokens += new
      room -= new.count
      drafted += new.count
    }
  }

  /// A way in which a text might go on, beside that of its part. It reads the text's last token once more, into blocks of its
  /// own, and what it drafts behind it: so it is a sequence like any other, which shares the text's full blocks.
  package struct Branch: Sendable {
    /// What it drafts behind the text's last token; empty: nothing, and then it is not computed.
    package var tokens: [Int32] = []
    /// The blocks of the cache, those of the text before its last token's among them.
    package var blocks: [Int32]
    /// For how many drafted tokens there is room.
    package var room: Int

    /// Rows of a step that it takes.
    package var rows: Int { tokens.isEmpty ? 0 : 1 + tokens.count }
  }

  /// Those of texts with adapters first, by their adapters' places.
  package var parts: [Part]
  /// Places of adapters that are written before, each with a request whose adapter it is for.
  package var placed: [(slot: Int, id: ScheduledRequest.ID)] = []

  init(parts: [Part], placed: [(slot: Int, id: ScheduledRequest.ID)]) {
    (self.parts, self.placed) = (parts, placed)
    guard parts.contains(where: { $0.slot != nil }) else { return }
    let order = parts.indices.sorted { (parts[$0].slot ?? .max, $0) < (parts[$1].slot ?? .max, $1) }
    self.parts = order.map { parts[$0] }
  }

  package init(parts: [Part]) { self.parts = parts }

  /// Tokens in all, those that branches read again among them.
  package var count: Int { parts.reduce(0) { $0 + $1.rows } }
  /// Texts, and ways in which they might go on.
  package var sequences: Int { parts.reduce(0) { $0 + 1 + $1.branches.count { !$0.tokens.isEmpty } } }
  /// Tokens that others follow on that are wanted.
  package var wanted: Int { parts.reduce(0) { $0 + $1.wanted } }
}

/// What was chosen behind a part of a step: one token, and behind drafted tokens that were chosen, too, one more each.
package struct ChosenTokens: Sendable {
  package var tokens: [Int32]
  /// Whether the last of them ends the text.
  package var isEnd: Bool
  /// The branch of the part whose drafts the tokens but the last are; nil: the part itself.
  package var branch: Int?

  package init(_ tokens: [Int32], isEnd: Bool, branch: Int? = nil) {
    (self.tokens, self.isEnd, self.branch) = (tokens, isEnd, branch)
  }
}

extension EngineStep.Part {
  /// Rows of the step: the part's tokens, then those of its branches.
  package var rows: Int { branches.reduce(tokens.count) { $0 + $1.rows } }

  /// Of how many rows the following tokens are wanted.
  package var wanted: Int { isLast ? branches.reduce(1 + drafted) { $0 + $1.tokens.count } : 0 }

  /// What is drafted on a way, `nil` for the part's own.
  package func drafts(_ branch: Int?) -> ArraySlice<Int32> {
    branch.map { branches[$0].tokens[...] } ?? tokens.suffix(drafted)
  }

  /// Of the part's rows, that of the last token that the text is sure of, as a way reads it; its drafts follow.
  package func firstRow(_ branch: Int?) -> Int {
    guard let branch else { return tokens.count - drafted - 1 }
    return branches[..<branch].reduce(tokens.count) { $0 + $1.rows }
  }

  /// Of the rows that the part wants, that behind so many drafts of a way.
  package func wantedRow(_ branch: Int?, depth: Int) -> Int {
    guard let branch, depth > 0 else { return depth }
    return branches[..<branch].reduce(1 + drafted) { $0 + $1.tokens.count } + depth - 1
  }

  /// All rows of the part: which sequence they belong to (0: the part's own), their places in it, and their tokens.
  func forEachRow(_ body: (_ sequence: Int, _ blocks: [Int32], _ position: Int, _ token: Int32) -> Void) {
    for (offset, token) in tokens.enumerated() { body(0, blocks, start + offset, token) }
    var sequence = 0
    for branch in branches where !branch.tokens.isEmpty {
      sequence += 1
      body(sequence, branch.blocks, start, tokens.first!)
      for (offset, token) in branch.tokens.enumerated() { body(sequence, branch.blocks, start + 1 + offset, token) }
    }
  }
}
