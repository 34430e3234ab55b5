// The values of a chat template: Python's, as far as templates can see them.
//
// Invariants: lists and dictionaries never change (the sandbox of `transformers` refuses their mutating methods), so they
// have value semantics; a value is at most `maximumDepth` deep, so that walking and freeing one cannot exhaust the stack.
// Only namespaces change; the renderer empties them at its end, so that cycles through them are freed.

internal import Core

enum TemplateValue {
  /// With what was not found, for messages.
  case undefined(String)
  case null
  case bool(Bool)
  case integer(Int)
  case float(Double)
  /// Compared and counted in code points, as in Python; never in Swift's characters.
  case string(String)
  case sequence(TemplateSequence)
  case dictionary(TemplateDictionary)
  case namespace(TemplateNamespace)
  case loop(TemplateLoop)
  case callable(TemplateCallable)

  static let maximumDepth = 256

  static func list(_ elements: [TemplateValue]) -> TemplateValue { .sequence(TemplateSequence(.list, elements)) }
  static func tuple(_ elements: [TemplateValue]) -> TemplateValue { .sequence(TemplateSequence(.tuple, elements)) }
  static func iterator(_ elements: [TemplateValue]) -> TemplateValue {
    .sequence(TemplateSequence(.iterator, elements))
  }

  /// How many levels of lists, dictionaries and other values that hold values this has.
  var depth: Int {
    switch self {
    case .sequence(let sequence): sequence.depth
    case .dictionary(let dictionary): dictionary.depth
    case .loop(let loop): loop.depth
    case .callable(.method(let owner, _)): 1 + owner.depth
    case .callable(.cycler(let cycler)): cycler.depth
    case .callable(.joiner(let joiner)): 1 + joiner.separator.depth
    // Namespaces and the scopes of macros are emptied one by one.
    default: 0
    }
  }

  /// Python's name of the type.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .null: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .string: "str"
    case .sequence(let sequence): sequence.kind.typeName
    case .dictionary: "dict"
    case .namespace: "Namespace"
    case .loop: "LoopContext"
    case .callable: "function"
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// Python's `bool(value)`.
  var isTrue: Bool {
    switch self {
    case .undefined, .null: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    // An iterator does not know whether something will come.
    case .sequence(let sequence): sequence.kind == .iterator || !sequence.elements.isEmpty
    case .dictionary(let dictionary): !dictionary.isEmpty
    case .loop(let loop): !loop.elements.isEmpty
    case .namespace, .callable: true
    }
  }

  /// The integer of an integer or a truth value, which is one in Python.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  /// The number of a number or a truth value.
  var number: Double? {
    if case .float(let value) = self { return value }
    return integer.map(Double.init)
  }

  var string: String? { if case .string(let text) = self { text } else { nil } }

  /// From JSON. Throws where a number does not fit.
  init(_ json: JSONValue) throws(FormatsError) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .string(let text): self = .string(text)
    case .number(let number):
      if let value = Int(number.text) {
        self = .integer(value)
      } else if number.text.utf8.contains(where: { ".eEN".utf8.contains($0) }) || number.text.hasSuffix("Infinity") {
        self = .float(number.double)
      } else if let value = number.integer(Int.self) {
        self = .integer(value)
      } else {
        throw FormatsError(
          .unsupported,
          "The number \(number.text) in the messages, tools or variables does not fit 64 bits; pass it as a string.")
      }
    case .array(let elements):
      self = .list(try elements.map { (element) throws(FormatsError) in try TemplateValue(element) })
    case .object(let object):
      var dictionary = TemplateDictionary()
      for (key, value) in object { dictionary.set(.string(key), try TemplateValue(value)) }
      self = .dictionary(dictionary)
    }
    guard depth <= Self.maximumDepth else {
      throw FormatsError(.templateLimit, "A value for the chat template is nested more than \(Self.maximumDepth) deep.")
    }
  }
}

/// Lists and whatever else has elements in order.
final class TemplateSequence {
  enum Kind: Equatable {
    case list, tuple, keys, values, items
    /// A tuple of `groupby`, whose elements are also called `grouper` and `list`.
    case group
    case range(start: Int, stop: Int, step: Int)
    /// What `map`, `select` and others give: it can be gone through once.
    case iterator

    var typeName: String {
      switch self {
      case .list: "list"
      case .tuple, .group: "tuple"
      case .keys: "dict_keys"
      case .values: "dict_values"
      case .items: "dict_items"
      case .range: "range"
      case .iterator: "generator"
      }
    }

    /// Whether `value[0]` is possible.
    var isIndexed: Bool {
      switch self {
      case .list, .tuple, .group, .range: true
      case .keys, .values, .items, .iterator: false
      }
    }
  }

  let kind: Kind
  private(set) var elements: [TemplateValue]
  let depth: Int

  init(_ kind: Kind, _ elements: [TemplateValue]) {
    self.kind = kind
    self.elements = elements
    if case .range = kind { depth = 1 } else { depth = Self.depth(elements) }
  }

  static func depth(_ elements: [TemplateValue]) -> Int { 1 + elements.reduce(0) { max($0, $1.depth) } }

  /// The elements for going through them; an iterator is empty afterwards.
  func take() -> [TemplateValue] {
    guard kind == .iterator else { return elements }
    defer { elements = [] }
    return elements
  }
}

/// A dictionary in the order of insertion.
struct TemplateDictionary {
  /// What can be a key: equal numbers are one key whatever their type.
  enum Key: Hashable {
    case null
    case number(Double)
    case integer(Int)
    case string([UInt8])
  }

  private(set) var keys: [TemplateValue] = []
  private(set) var values: [TemplateValue] = []
  private var positions: [Key: Int] = [:]
  private(set) var depth = 1

  var isEmpty: Bool { keys.isEmpty }
  var count: Int { keys.count }

  /// Whether a value can be a key here.
  static func key(_ value: TemplateValue) -> Key? {
    switch value {
    case .null: .null
    case .string(let text): .string(Array(text.utf8))
    case .float(let value): Int(exactly: value).map { .integer($0) } ?? .number(value)
    case .bool, .integer: value.integer.map { .integer($0) }
    default: nil
    }
  }

  func value(_ key: TemplateValue) -> TemplateValue? {
    guard let key = Self.key(key), let position = positions[key] else { return nil }
    return values[position]
  }

  func value(_ key: String) -> TemplateValue? { positions[.string(Array(key.utf8))].map { values[$0] } }

  /// Sets a key that `key(_:)` accepts.
  mutating func set(_ key: TemplateValue, _ value: TemplateValue) {
    guard let identity = Self.key(key) else { preconditionFailure("a \(key.typeName) cannot be a key") }
    depth = max(depth, 1 + value.depth)
    if let position = positions[identity] {
      values[position] = value
    } else {
      positions[identity] = keys.count
      keys.append(key)
      values.append(value)
    }
  }

  var items: [TemplateValue] { zip(keys, values).map { .tuple([$0, $1]) } }
}

/// What `namespace(...)` makes: attributes that can be set from inner scopes.
final class TemplateNamespace {
  var attributes = TemplateDictionary()
}

/// What can be called.
enum TemplateCallable {
  /// A macro with the scope that it was defined in.
  case macro(TemplateMacro, TemplateScope)
  case global(String)
  indirect case method(of: TemplateValue, name: String)
  case cycler(TemplateCycler)
  case joiner(TemplateJoiner)
}

final class TemplateCycler {
  let elements: [TemplateValue]
  let depth: Int
  var position = 0

  init(_ elements: [TemplateValue]) {
    self.elements = elements
    depth = TemplateSequence.depth(elements)
  }
}

final class TemplateJoiner {
  let separator: TemplateValue
  var isUsed = false

  init(_ separator: TemplateValue) { self.separator = separator }
}

/// The variable `loop`.
final class TemplateLoop {
  let elements: [TemplateValue]
  let depth: Int
  let depth0: Int
  /// The loop itself, if it is recursive, and the scope around it: what `loop(...)` goes through again.
  let recursion: (statement: TemplateForLoop, scope: TemplateScope)?
  var index0 = 0
  /// What `loop.changed` got last.
  var lastChanged: [TemplateValue]?
  /// Afterwards, values may be kept no more: that could make chains of loops without end.
  var isOver = false

  init(
    _ elements: [TemplateValue], depth0: Int, recursion: (statement: TemplateForLoop, scope: TemplateScope)?
  ) {
    self.elements = elements
    depth = TemplateSequence.depth(elements)
    self.depth0 = depth0
    self.recursion = recursion
  }
}

/// The variables of a loop's turn, a macro's call or a block, and those around it.
final class TemplateScope {
  let parent: TemplateScope?
  var variables: [String: TemplateValue] = [:]

  init(inside parent: TemplateScope?) { self.parent = parent }

  func value(_ name: String) -> TemplateValue? {
    var scope: TemplateScope? = self
    while let current = scope {
      if let value = current.variables[name] { return value }
      scope = current.parent
    }
    return nil
  }
}
