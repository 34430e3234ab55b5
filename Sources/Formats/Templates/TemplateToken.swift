// The words of a chat template: text between tags, and what stands within tags.

/// A token with the line on which it begins, from 1.
struct TemplateToken {
  enum Kind: Equatable {
    /// Text outside of tags, with the whitespace that the tags around it strip already gone.
    case text(String)
    case outputBegin, outputEnd, blockBegin, blockEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// An operator or a bracket.
    case symbol(String)
    case end
  }

  let kind: Kind
  let line: Int

  /// What this is, for messages.
  var description: String {
    switch kind {
    case .text: "text outside of tags"
    case .outputBegin: "'{{'"
    case .outputEnd: "'}}'"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .symbol(let text): "'\(text)'"
    case .end: "the end of the template"
    }
  }
}

extension FormatsError.Code {
  /// The template itself refused the messages: it called `raise_exception`.
  public static let refusedByTemplate = FormatsError.Code(description: "refusedByTemplate")
  /// Rendering took more steps, memory, output or nesting than the limits allow.
  public static let templateLimit = FormatsError.Code(description: "templateLimit")
}

extension FormatsError {
  /// Something wrong at a line of the chat template.
  init(_ code: Code, templateLine line: Int, _ problem: String) {
    self.init(code, "line \(line) of the chat template: \(problem)")
  }
}
