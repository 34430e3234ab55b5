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

  func grammar(whitespace: JSONWhitespace) throws(GrammarError) -> Grammar {
    switch self {
    case .json: .json(whitespace: whitespace)
    case .schema(let text): try Grammar(jsonSchema: text, whitespace: whitespace)
    case .regex(let pattern): try Grammar(regex: pattern)
    case .choices(let choices): try Grammar(choices: choices)
    case .gbnf(let text): try Grammar(gbnf: text)
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

  private let vocabulary: GrammarVocabulary
  private let capacity: Int
  private let known = Mutex(Known())

  /// - Parameter capacity: how many grammars are kept; the one that was not used for longest goes first.
  package init(_ vocabulary: GrammarVocabulary, capacity: Int = 64) {
    precondition(capacity > 0, "a cache for \(capacity) grammars")
    self.vocabulary = vocabulary
    self.capacity = capacity
  }

  /// A grammar, compiled now if it is not there. Other threads go on meanwhile.
  package func entry(
    for request: GrammarRequest, whitespace: JSONWhitespace = .flexible
  ) throws(GrammarError) -> Entry {
    let key = Key(request: request, whitespace: whitespace)
    if let found = find(key) { return found }
    let grammar = try request.grammar(whitespace: whitespace)
    let entry = Entry(masks: GrammarMasks(try GrammarNetwork(grammar), vocabulary), notices: grammar.notices)
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
