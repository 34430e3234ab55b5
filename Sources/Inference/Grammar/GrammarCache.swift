// Compiled grammars by what was asked for, so that requests with the same schema share all that is known of it.

internal import Synchronization

/// What a text may be held to.
package enum GrammarRequest: Sendable, Hashable {
  /// Any JSON object.
  case json
  /// JSON that fulfils a schema.
  case schema(String)
  /// What a regular expression matches as a whole.
  case regex(String)
  /// One of some texts.
  case choices([String])
  /// A grammar in llama.cpp's notation.
  case gbnf(String)
  /// Calls of tools as a family of models writes them, exactly one if `isSingle`.
  case calls([CalledTool], CallSyntax, isSingle: Bool)
  /// Any text that is not read as calls; calls may follow on it.
  indirect case text(without: CallMarkers, before: GrammarRequest?)
  /// A text of any of them.
  indirect case oneOf([GrammarRequest])
  /// One behind reasoning, or what else an answer begins with.
  indirect case framed(GrammarRequest, AnswerFrame)

  func grammar(whitespace: JSONWhitespace, _ budget: GrammarBudget) throws(GrammarError) -> Grammar {
    switch self {
    case .json: .json(whitespace: whitespace)
    case .schema(let text): try Grammar(jsonSchema: text, whitespace: whitespace, budget)
    case .regex(let pattern): try Grammar(regex: pattern, budget)
    case .choices(let choices): try Grammar(choices: choices)
    case .gbnf(let text): try Grammar(gbnf: text)
    case .calls(let tools, let syntax, let isSingle):
      try Grammar(calls: tools, syntax, isSingle: isSingle, whitespace: whitespace, budget)
    case .text(let markers, let calls):
      Grammar(
        textWithout: markers,
        before: try calls.map { (calls) throws(GrammarError) in try calls.grammar(whitespace: whitespace, budget) })
    case .oneOf(let requests):
      Grammar(
        oneOf: try requests.map { (request) throws(GrammarError) in try request.grammar(whitespace: whitespace, budget)
        })
    case .framed(let request, let frame): try request.grammar(whitespace: whitespace, budget).framed(frame)
    }
  }
}

/// The grammars that were asked for last, compiled for one vocabulary. Any thread may ask.
package final class GrammarCache: Sendable {
  /// A compiled grammar.
  package struct Entry: Sendable {
    package let masks: GrammarMasks
    /// What is fulfilled only in part, in sentences for people.
    package let notices: [String]
  }

  private struct Key: Hashable {
    let request: GrammarRequest
    let whitespace: JSONWhitespace
  }

  private struct Known {
    var entries: [Key: (entry: Entry, lastUse: Int)] = [:]
    var uses = 0
  }

  /// Made when it is first needed, which takes a while for a large one.
  private let vocabulary = Mutex<GrammarVocabulary?>(nil)
  private let makeVocabulary: @Sendable () -> GrammarVocabulary
  private let capacity: Int
  private let known = Mutex(Known())

  private init(capacity: Int, _ makeVocabulary: @escaping @Sendable () -> GrammarVocabulary) {
    precondition(capacity > 0, "a cache for \(capacity) grammars")
    self.makeVocabulary = makeVocabulary
    self.capacity = capacity
  }

  /// - Parameter capacity: how many grammars are kept; the one that was not used for longest goes first.
  package convenience init(_ vocabulary: GrammarVocabulary, capacity: Int = 64) {
    self.init(capacity: capacity) { vocabulary }
  }

  /// For the texts of an engine.
  ///
  /// - Parameter markers: special tokens whose spelling is in this text are allowed.
  package convenience init(_ engine: InferenceEngine, markers: String = "", capacity: Int = 64) {
    let (tokenizer, ends, size) = (engine.tokenizer, engine.ends, engine.vocabulary)
    self.init(capacity: capacity) { GrammarVocabulary(tokenizer, ends: ends, size: size, markers: markers) }
  }

  /// A grammar that is there already.
  package func known(_ request: GrammarRequest, whitespace: JSONWhitespace = .flexible) -> Entry? {
    find(Key(request: request, whitespace: whitespace))
  }

  /// A grammar, compiled now if it is not there. Other threads go on meanwhile.
  package func entry(
    for request: GrammarRequest, whitespace: JSONWhitespace = .flexible
  ) throws(GrammarError) -> Entry {
    let key = Key(request: request, whitespace: whitespace)
    if let found = find(key) { return found }
    let budget = GrammarBudget()
    let grammar = try request.grammar(whitespace: whitespace, budget)
    let vocabulary = vocabulary.withLock { known in
      let vocabulary = known ?? makeVocabulary()
      known = vocabulary
      return vocabulary
    }
    let entry = Entry(masks: GrammarMasks(try GrammarNetwork(grammar, budget), vocabulary), notices: grammar.notices)
    return known.withLock { known in
      // Another thread may have been quicker; then its masks are shared.
      if let other = known.entries[key] { return other.entry }
      if known.entries.count >= capacity, let oldest = known.entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
        known.entries[oldest.key] = nil
      }
      known.uses += 1
      known.entries[key] = (entry, known.uses)
      return entry
    }
  }

  private func find(_ key: Key) -> Entry? {
    known.withLock { known in
      guard let found = known.entries[key] else { return nil }
      known.uses += 1
      known.entries[key] = (found.entry, known.uses)
      return found.entry
    }
  }
}
