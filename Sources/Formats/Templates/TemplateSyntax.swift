// A chat template as a tree. Chains of one operator are flat (a list of operands), so that a long one is not deep.

indirect enum TemplateExpression: Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  case name(String)
  case list([TemplateExpression])
  case tuple([TemplateExpression])
  case dictionary([(key: TemplateExpression, value: TemplateExpression)])
  /// `a.b`: an attribute before an item of that name.
  case attribute(of: TemplateExpression, name: String, line: Int)
  /// `a[b]`: an item before an attribute of that name.
  case item(of: TemplateExpression, at: TemplateExpression, line: Int)
  case slice(of: TemplateExpression, TemplateSlice, line: Int)
  case call(TemplateExpression, TemplateCallArguments, line: Int)
  /// The input is nil for the first filter of a block: it is what the block rendered.
  case filter(TemplateExpression?, name: String, TemplateCallArguments, line: Int)
  case test(TemplateExpression, name: String, TemplateCallArguments, line: Int)
  case not(TemplateExpression)
  case negative(TemplateExpression)
  case positive(TemplateExpression)
  case arithmetic(TemplateExpression, [(operation: Operation, operand: TemplateExpression)])
  case concatenation([TemplateExpression])
  case comparison(TemplateExpression, [(operation: Comparison, operand: TemplateExpression)])
  case and([TemplateExpression])
  case or([TemplateExpression])
  /// Undefined without an else.
  case conditional(TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)

  enum Operation: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
  }

  enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contained = "in"
    case notContained = "not in"
  }
}

/// `[start:stop:step]`, each of which may be left out.
struct TemplateSlice: Sendable {
  var start: TemplateExpression?
  var stop: TemplateExpression?
  var step: TemplateExpression?
}

/// What stands in the parentheses of a call.
struct TemplateCallArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  /// `*list`
  var list: TemplateExpression?
  /// `**dictionary`
  var dictionary: TemplateExpression?
}

struct TemplateStatement: Sendable {
  let kind: Kind
  let line: Int

  indirect enum Kind: Sendable {
    case text(String)
    case output([TemplateExpression])
    case conditional(
      [(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
    case loop(TemplateForLoop)
    case breakLoop
    case continueLoop
    case assignment(TemplateTarget, TemplateExpression)
    case blockAssignment(TemplateTarget, filter: TemplateExpression?, body: [TemplateStatement])
    case macro(TemplateMacro)
    /// The body becomes the macro `caller` of the call.
    case callBlock(TemplateMacro, TemplateExpression, TemplateCallArguments)
    case filterBlock(TemplateExpression, body: [TemplateStatement])
    case with([(target: TemplateTarget, value: TemplateExpression)], body: [TemplateStatement])
    /// `generation`: the text that the model writes; rendered as its body.
    case generation([TemplateStatement])
  }
}

/// What can be assigned to.
indirect enum TemplateTarget: Sendable {
  case name(String)
  case tuple([TemplateTarget])
  case attribute(of: String, name: String)
}

struct TemplateForLoop: Sendable {
  let target: TemplateTarget
  let sequence: TemplateExpression
  let filter: TemplateExpression?
  let isRecursive: Bool
  let body: [TemplateStatement]
  let otherwise: [TemplateStatement]
}

/// A macro, or the body of a call block.
final class TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, standard: TemplateExpression?)]
  let body: [TemplateStatement]
  /// Whether the body mentions `varargs`, `kwargs` or `caller`: only then may they be passed.
  let takesList: Bool
  let takesDictionary: Bool
  let takesCaller: Bool

  init(
    name: String, parameters: [(name: String, standard: TemplateExpression?)], body: [TemplateStatement],
    mentioned: Set<String>
  ) {
    self.name = name
    self.parameters = parameters
    self.body = body
    takesList = mentioned.contains("varargs")
    takesDictionary = mentioned.contains("kwargs")
    takesCaller = mentioned.contains("caller")
  }
}
