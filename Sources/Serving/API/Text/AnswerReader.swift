// An answer as what it consists of: reasoning, texts and calls of tools, in their order, while it is written.
//
// Invariant: what the events say, put together, is what `parts` say. Where a model marks parts, white space at their borders
// belongs to none of them.

package import Inference

/// A piece of an answer.
package struct AnswerPart: Sendable, Equatable {
  package enum Kind: Sendable { case reasoning, content, call }

  package var kind: Kind
  /// Of the tool that is called.
  package var name = ""
  /// Reasoning, content, or the JSON of a call's arguments.
  package var text = ""
}

/// Reads one answer.
package struct AnswerReader: Sendable {
  /// Nil: all of it is content.
  private var parser: StreamParser?
  package private(set) var parts: [AnswerPart] = []
  /// White space that may be the end of a part.
  private var held = ""
  private var heldKind = AnswerPart.Kind.content

  /// - Parameter family: how the model marks parts; nil: not at all.
  package init(_ family: StreamFamily? = nil) { parser = family.map { StreamParser($0) } }

  var isReasoning: Bool { parser?.isReasoning ?? false }
  var hasCalls: Bool { parts.contains { $0.kind == .call } }

  /// All text of a kind; nil if there is none.
  func text(_ kind: AnswerPart.Kind) -> String? {
    var result: String?
    for part in parts where part.kind == kind { result = result.map { $0 + part.text } ?? part.text }
    return result
  }

  package mutating func push(_ text: String) -> [StreamEvent] {
    if parser != nil { return parser!.push(text).flatMap { take($0) } }
    if text.isEmpty { return [] }
    append(text, .content)
    return [.content(text)]
  }

  package mutating func finish() -> [StreamEvent] {
    guard parser != nil else { return [] }
    var events = parser!.finish().flatMap { take($0) }
    if !held.isEmpty, heldKind == .content, !hasCalls {
      append(held, .content)
      events.append(.content(held))
      held = ""
    }
    return events
  }

  private mutating func append(_ text: String, _ kind: AnswerPart.Kind) {
    if parts.last?.kind != kind { parts.append(AnswerPart(kind: kind)) }
    parts[parts.count - 1].text += text
  }

  private mutating func take(_ event: StreamEvent) -> [StreamEvent] {
    switch event {
    case .content(let text): return take(text, .content).map { [.content($0)] } ?? []
    case .reasoning(let text): return take(text, .reasoning).map { [.reasoning($0)] } ?? []
    case .call(_, let name):
      held = ""
      parts.append(AnswerPart(kind: .call, name: name))
    case .arguments(_, let text): parts[parts.count - 1].text += text
    case .done: return []
    }
    return [event]
  }

  /// What of a text of a kind is certain not to be white space at a border.
  private mutating func take(_ text: String, _ kind: AnswerPart.Kind) -> String? {
    var text = heldKind == kind ? held + text : text
    (held, heldKind) = ("", kind)
    if let last = parts.last?.kind ?? (kind == .reasoning ? .content : nil), last != kind {
      text = String(text.drop { $0.isWhitespace })
    }
    if let end = text.lastIndex(where: { !$0.isWhitespace }) {
      let next = text.index(after: end)
      held = String(text[next...])
      text = String(text[..<next])
      append(text, kind)
      return text
    }
    held = text
    return nil
  }
}
