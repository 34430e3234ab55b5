// What families of models write around calls of tools and reasoning: what `StreamParser` reads, for grammars that compel it.

/// The fixed texts around the calls of an answer.
package struct CallSyntax: Sendable, Hashable {
  /// What calls are called when they are answered.
  package enum IDs: Sendable { case any, nineCharacters, functions }

  /// Before all calls.
  let opening: String
  /// Before the name of each, between its name and its arguments, and behind these.
  let before: String
  /// Names are followed by a colon and their call's number.
  let isNumbered: Bool
  let between: String
  let after: String
  /// Between calls; nil: an answer has one.
  let separator: String?
  /// Behind all calls.
  let closing: String
  /// What templates of the family want to see as the calls' ids.
  package let ids: IDs

  static func object(
    opening: String = "", before: String, isNumbered: Bool = false, between: String, after: String, separator: String?,
    closing: String = "", ids: IDs = .any
  ) -> CallSyntax {
    CallSyntax(
      opening: opening, before: before, isNumbered: isNumbered, between: between, after: after, separator: separator,
      closing: closing, ids: ids)
  }
}

/// The fixed texts around reasoning, which stands before all else.
package struct ReasoningSyntax: Sendable, Hashable {
  package let opening: String
  package let closing: String
  /// The characters that may stand between it and the answer.
  var separator = " \n"

  static let think = ReasoningSyntax(opening: "<think>", closing: "</think>")
}

/// A tool that may be called.
package struct CalledTool: Sendable, Hashable {
  package let name: String
  /// The JSON schema of its arguments; nil: any object.
  package let schema: String?

  package init(name: String, schema: String?) { (self.name, self.schema) = (name, schema) }
}

/// What an answer has before the text that is held to a grammar.
package enum AnswerFrame: Sendable, Hashable {
  /// A fixed text.
  case lead(String)
  /// Reasoning, if the model wants to; or its rest, if the prompt has begun it.
  case reasoning(ReasoningSyntax, isBegun: Bool)
}

/// Texts that would be read as calls.
package struct CallMarkers: Sendable, Hashable {
  /// Wherever they stand.
  var anywhere: [String] = []
  /// At the beginning only, white space apart.
  var first: [String] = []
}

extension GrammarRequest {
  /// What the answer of a model is to be held to; nil: it is free.
  ///
  /// - Parameters:
  ///   - tools: that may be called.
  ///   - mustCall: the answer is calls; else it may be, if `content` is not nil or `isLimited`.
  ///   - isLimited: the model knows of other tools, which must not be called.
  ///   - isSingle: there is no more than one call.
  ///   - content: what an answer that is no call is held to.
  ///   - prompt: what the answer follows on.
  package init?(
    _ family: StreamFamily, tools: [CalledTool], mustCall: Bool, isLimited: Bool = false, isSingle: Bool,
    content: GrammarRequest?, after prompt: String
  ) {
    var ways: [GrammarRequest] = []
    var content = content
    if let calls = family.calls, !tools.isEmpty, mustCall || content != nil || isLimited {
      ways.append(.calls(tools, calls, isSingle: isSingle))
      if isLimited, !mustCall, content == nil {
        let markers = family.callMarkers
        // A message of gpt-oss has no calls in its midst.
        let follow = family.lead.isEmpty && markers.anywhere.contains { (calls.opening + calls.before).hasPrefix($0) }
        content = .text(without: markers, before: follow ? ways[0] : nil)
        if follow { ways = [] }
      }
    }
    if let content, !mustCall { ways.append(family.lead.isEmpty ? content : .framed(content, .lead(family.lead))) }
    guard let first = ways.first else { return nil }
    self = ways.count == 1 ? first : .oneOf(ways)
    let state = family.state(after: prompt)
    if let reasoning = family.reasoning, state != .closed {
      self = .framed(self, .reasoning(reasoning, isBegun: state == .open))
    }
  }
}

extension Grammar {
  /// One or more calls of some tools.
  ///
  /// - Parameter isSingle: there is exactly one.
  init(
    calls tools: [CalledTool], _ syntax: CallSyntax, isSingle: Bool, whitespace: JSONWhitespace, _ budget: GrammarBudget
  ) throws(GrammarError) {
    guard !tools.isEmpty else { throw GrammarError(.empty, "There is no tool to call; give at least one.") }
    self.init()
    let root = declare("calls")
    self.root = root
    var calls: [GrammarExpression] = []
    for tool in tools {
      let arguments: Grammar =
        if let schema = tool.schema {
          try Grammar(jsonSchema: schema, whitespace: whitespace, budget)
        } else {
          .json(whitespace: whitespace)
        }
      var parts = [GrammarExpression.text(syntax.before + tool.name)]
      if syntax.isNumbered { parts += [.text(":"), .repeated(.ascii("0"..."9"), least: 1, most: 2)] }
      parts += [.text(syntax.between), include(arguments), .text(syntax.after)]
      calls.append(.sequence(parts))
    }
    let call = declare("call")
    define(call, as: .alternatives(calls))
    let most = isSingle || syntax.separator == nil ? 1 : nil
    let list = GrammarExpression.list(
      [GrammarListElement(.rule(call), least: 1, most: most)], separator: .text(syntax.separator ?? ""))
    define(root, as: .sequence([.text(syntax.opening), list, .text(syntax.closing)]))
  }

  /// Any text that is not read as a call; behind it there may be calls.
  init(textWithout markers: CallMarkers, before calls: Grammar?) {
    self.init()
    root = declare("text")
    let any = GrammarExpression.repeated(.scalars(.all), least: 0, most: nil)
    let spaces = GrammarExpression.repeated(.scalars(ScalarRanges([9...10, 13...13, 32...32])), least: 0, most: nil)
    func texts(_ texts: [String]) -> GrammarExpression { .alternatives(texts.map { .text($0) }) }
    var text = any
    if !markers.anywhere.isEmpty { text = .except(text, .sequence([any, texts(markers.anywhere), any])) }
    if !markers.first.isEmpty { text = .except(text, .sequence([spaces, texts(markers.first), any])) }
    var parts = [text]
    if let calls { parts.append(.optional(include(calls))) }
    define(root, as: .sequence(parts))
  }

  /// The texts of all of some grammars.
  init(oneOf grammars: [Grammar]) {
    self.init()
    root = declare("answer")
    var ways: [GrammarExpression] = []
    for grammar in grammars { ways.append(include(grammar)) }
    define(root, as: .alternatives(ways))
  }

  /// The same behind what an answer has before it.
  func framed(_ frame: AnswerFrame) -> Grammar {
    var result = self
    result.root = result.declare("answer")
    result.define(result.root, as: .sequence([frame.expression, .rule(root)]))
    return result
  }
}

extension AnswerFrame {
  var expression: GrammarExpression {
    switch self {
    case .lead(let text): return .text(text)
    case .reasoning(let syntax, let isBegun):
      let any = GrammarExpression.repeated(.scalars(.all), least: 0, most: nil)
      let text = GrammarExpression.except(any, .sequence([any, .text(syntax.closing), any]))
      var parts = [text, .text(syntax.closing)]
      let spaces = ScalarRanges(syntax.separator.unicodeScalars.map { $0.value...$0.value })
      if !spaces.isEmpty { parts.append(.repeated(.scalars(spaces), least: 0, most: 2)) }
      return isBegun ? .sequence(parts) : .optional(.sequence([.text(syntax.opening)] + parts))
    }
  }
}
