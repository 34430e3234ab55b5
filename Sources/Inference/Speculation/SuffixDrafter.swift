// Drafts from what was written before: a text goes on as it did where its end stood earlier, in itself (prompt lookup: Saxena,
// 2023) or in what was written for others (Oliaro et al., "SuffixDecoding", 2024, arXiv:2411.04975).
//
// Invariant: memory is bounded: of others' texts two spans of at most `span` tokens are kept. Texts with a salt neither see what
// others wrote nor show what they write.

package import Models
package import Tensors

/// Drafts what followed earlier on a text's end.
package final class SuffixDrafter: Drafter {
  /// Tokens of others' texts after which the older span is dropped.
  package static let span = 1 << 17
  /// The shortest end of a text that is looked for.
  static let shortest = 2
  /// Between others' texts.
  private static let separator: Int32 = -1

  private struct Text {
    var own: SuffixAutomaton
    let prompt: Int
    let isShared: Bool
    /// Where the text stands in each span, the number of which says whether it is still there.
    var matches: [(span: Int, match: SuffixAutomaton.Match)] = []
  }

  private var texts: [ID: Text] = [:]
  private let remembersOthers: Bool
  /// What was written of late, the newest last.
  private var spans: [(number: Int, text: SuffixAutomaton)] = []

  /// - Parameter others: whether texts may go on as others did.
  package init(others: Bool) { remembersOthers = others }

  package let cost = 0.0

  package func warm() {}

  package func begin(_ id: ID, _ request: GenerationRequest) {
    let tokens = request.prompt + request.written
    var text = Text(
      own: SuffixAutomaton(tokens), prompt: request.prompt.count,
      isShared: remembersOthers && request.salt.isEmpty)
    for token in tokens.suffix(64) { follow(&text, token) }
    texts[id] = text
  }

  package func prospect(of id: ID, most: Int, ways: Int) -> Prospect? {
    guard let text = texts[id] else { return nil }
    var sources = [(match: text.own.repetition, text: text.own)]
    for (number, match) in text.matches {
      if let span = spans.first(where: { $0.number == number }) { sources.append((match, span.text)) }
    }
    // Of equally long ones the text's own: sorting keeps their order.
    sources.sort { $0.match.length > $1.match.length }
    // Where several know the end of the text, they may know different ways on.
    var drafts: [[Int32]] = []
    var longest = 0
    for source in sources where source.match.length >= Self.shortest && drafts.count < ways {
      let tokens = source.text.continuation(of: source.match, most).prefix { $0 != Self.separator }
      // Where others' text ended, nothing follows.
      guard !tokens.isEmpty, !drafts.contains(where: { $0.first == tokens.first }) else { continue }
      if drafts.isEmpty { longest = source.match.length }
      drafts.append(Array(tokens))
    }
    if drafts.isEmpty { return nil }
    // The longer what is repeated, the surer what follows.
    let sort = min(7, Int.bitWidth - longest.leadingZeroBitCount - 1)
    return Prospect(counts: drafts.map(\.count), sort: sort, tokens: drafts)
  }

  package func draft(_ step: inout EngineStep, _ prospects: [ID: Prospect], sampler: (ID) -> Sampler?) {
    for index in step.parts.indices where step.parts[index].room > 0 {
      let part = step.parts[index]
      guard let drafts = prospects[part.id]?.tokens, !drafts.isEmpty else { continue }
      step.parts[index].append(drafted: drafts[0].prefix(part.room))
      for (branch, draft) in zip(part.branches.indices, drafts.dropFirst()) {
        step.parts[index].branches[branch].tokens = Array(draft.prefix(part.branches[branch].room))
      }
    }
  }

  package func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) {
    for (id, new) in chosen {
      guard texts[id] != nil else { continue }
      for token in new.tokens {
        texts[id]!.own.append(token)
        follow(&texts[id]!, token)
      }
    }
  }

  package func end(_ id: ID) {
    guard let text = texts.removeValue(forKey: id), text.isShared else { return }
    if spans.isEmpty || spans[spans.count - 1].text.tokens.count > Self.span {
      spans.append(((spans.last?.number ?? 0) + 1, SuffixAutomaton()))
      if spans.count > 2 { spans.removeFirst() }
    }
    for token in text.own.tokens[text.prompt...] { spans[spans.count - 1].text.append(token) }
    spans[spans.count - 1].text.append(Self.separator)
  }

  /// Goes on in others' texts.
  private func follow(_ text: inout Text, _ token: Int32) {
    guard text.isShared else { return }
    text.matches = spans.map { span in
      var match = text.matches.first { $0.span == span.number }?.match ?? SuffixAutomaton.Match()
      span.text.advance(&match, token)
      return (span.number, match)
    }
  }
}
