// Evaluates the expressions of a chat template.

/// Arguments of a call, evaluated.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []
}

extension TemplateRenderer {
  /// - Parameter blockInput: what the first filter of a block gets.
  func evaluate(
    _ expression: TemplateExpression, _ scope: TemplateScope, blockInput: TemplateValue? = nil
  ) throws(FormatsError) -> TemplateValue {
    switch expression {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .float(let value): return .float(value)
    case .string(let text): return .string(text)
    case .name(let name): return value(named: name, scope)
    default: break
    }
    return try step { () throws(FormatsError) in
      switch expression {
      case .filter(let input, let name, let arguments, let line):
        return try filter(input, name, arguments, line, scope, blockInput)
      case .attribute, .item, .slice, .call, .test: return try access(expression, scope)
      case .list, .tuple, .dictionary: return try collection(expression, scope)
      default: return try operation(expression, scope)
      }
    }
  }

  private func value(named name: String, _ scope: TemplateScope) -> TemplateValue {
    if let value = scope.value(name) { return value }
    return Self.globals.contains(name) ? .callable(.global(name)) : .undefined("'\(name)'")
  }

  private func filter(
    _ input: TemplateExpression?, _ name: String, _ arguments: TemplateCallArguments, _ line: Int,
    _ scope: TemplateScope, _ blockInput: TemplateValue?
  ) throws(FormatsError) -> TemplateValue {
    var value = blockInput
    if let input { value = try evaluate(input, scope, blockInput: blockInput) }
    guard let value else { preconditionFailure("the filter '\(name)' has neither an expression nor a block before it") }
    let arguments = try evaluate(arguments, scope)
    self.line = line
    return try apply(filter: name, to: value, arguments)
  }

  func evaluate(
    _ arguments: TemplateCallArguments, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateArguments {
    var result = TemplateArguments()
    for argument in arguments.positional { result.positional.append(try evaluate(argument, scope)) }
    for argument in arguments.named { result.named.append((argument.name, try evaluate(argument.value, scope))) }
    if let list = arguments.list { result.positional += try elements(of: try evaluate(list, scope), for: "'*'") }
    if let more = arguments.dictionary {
      guard case .dictionary(let members) = try evaluate(more, scope) else {
        throw failure("what follows '**' must be a dictionary.")
      }
      for (key, value) in zip(members.keys, members.values) {
        guard let name = key.string, !result.named.contains(where: { $0.name == name }) else {
          throw failure("the dictionary after '**' repeats an argument or has a key that is no string.")
        }
        result.named.append((name, value))
      }
    }
    return result
  }

  private func collection(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateValue {
    switch expression {
    case .list(let elements):
      return try sequence(.list, try elements.map { (element) throws(FormatsError) in try evaluate(element, scope) })
    case .tuple(let elements):
      return try sequence(.tuple, try elements.map { (element) throws(FormatsError) in try evaluate(element, scope) })
    case .dictionary(let members):
      var result = TemplateDictionary()
      try charge(elements: 4 * members.count)
      for member in members {
        let key = try evaluate(member.key, scope)
        try set(&result, key, try evaluate(member.value, scope))
      }
      return try checked(.dictionary(result))
    default: preconditionFailure("not a collection: \(expression)")
    }
  }

  func set(
    _ dictionary: inout TemplateDictionary, _ key: TemplateValue, _ value: TemplateValue
  ) throws(FormatsError) {
    guard TemplateDictionary.key(key) != nil else {
      throw failure("a value of type \(key.typeName) cannot be the key of a dictionary; use a string or a number.")
    }
    dictionary.set(key, value)
  }

  private func access(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateValue {
    switch expression {
    case .attribute(let owner, let name, let line):
      let owner = try evaluate(owner, scope)
      self.line = line
      return try attribute(of: owner, name)
    case .item(let owner, let key, let line):
      let owner = try evaluate(owner, scope)
      let key = try evaluate(key, scope)
      self.line = line
      return try item(of: owner, key)
    case .slice(let owner, let slice, let line):
      let owner = try evaluate(owner, scope)
      func bound(_ expression: TemplateExpression?) throws(FormatsError) -> TemplateValue {
        guard let expression else { return .null }
        return try evaluate(expression, scope)
      }
      let (start, stop, step) = (try bound(slice.start), try bound(slice.stop), try bound(slice.step))
      self.line = line
      return try self.slice(of: owner, start, stop, step)
    case .call(let callee, let arguments, let line):
      let callee = try evaluate(callee, scope)
      let arguments = try evaluate(arguments, scope)
      self.line = line
      return try call(callee, arguments)
    case .test(let value, let name, let arguments, let line):
      let value = try evaluate(value, scope)
      let arguments = try evaluate(arguments, scope)
      self.line = line
      return .bool(try test(name, value, arguments))
    default: preconditionFailure("not an access: \(expression)")
    }
  }

  private func operation(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateValue {
    switch expression {
    case .not(let operand): return .bool(!(try evaluate(operand, scope).isTrue))
    case .negative(let operand): return try signed(try evaluate(operand, scope), isNegative: true)
    case .positive(let operand): return try signed(try evaluate(operand, scope), isNegative: false)
    case .arithmetic(let first, let rest):
      var result = try evaluate(first, scope)
      for (operation, operand) in rest { result = try arithmetic(operation, result, try evaluate(operand, scope)) }
      return result
    case .concatenation(let operands):
      var result = ""
      for operand in operands { result += try text(of: try evaluate(operand, scope)) }
      try charge(result.utf8.count)
      return .string(result)
    case .comparison(let first, let rest):
      var left = try evaluate(first, scope)
      for (operation, operand) in rest {
        let right = try evaluate(operand, scope)
        guard try compare(operation, left, right) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .and(let operands): return try shortcut(operands, endsAt: false, scope)
    case .or(let operands): return try shortcut(operands, endsAt: true, scope)
    case .conditional(let condition, let then, let otherwise):
      if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
      guard let otherwise else { return .undefined("the value of an 'if' without 'else'") }
      return try evaluate(otherwise, scope)
    default: preconditionFailure("not an operation: \(expression)")
    }
  }

  /// `and` and `or`: the first operand that settles the result, or the last one.
  private func shortcut(
    _ operands: [TemplateExpression], endsAt truth: Bool, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateValue {
    var value = TemplateValue.null
    for operand in operands {
      value = try evaluate(operand, scope)
      if value.isTrue == truth { break }
    }
    return value
  }

  // MARK: Going through values

  /// The elements of whatever can be gone through; those of an iterator are gone afterwards.
  func elements(of value: TemplateValue, for purpose: String) throws(FormatsError) -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .sequence(let sequence):
      try charge(elements: sequence.elements.count)
      return sequence.take()
    case .dictionary(let dictionary):
      try charge(elements: dictionary.count)
      return dictionary.keys
    case .string(let text):
      try charge(elements: text.utf8.count)
      return text.unicodeScalars.map { .string(String($0)) }
    default:
      throw failure("\(purpose) needs a list, but found a value of type \(value.typeName).")
    }
  }

  // MARK: Attributes and items

  /// `value.name`
  func attribute(of value: TemplateValue, _ name: String) throws(FormatsError) -> TemplateValue {
    if let attribute = try ownAttribute(of: value, name) { return attribute }
    if case .dictionary(let dictionary) = value, let member = dictionary.value(name) { return member }
    return .undefined("the attribute '\(name)' of a value of type \(value.typeName)")
  }

  /// What Python's `getattr` finds.
  private func ownAttribute(of value: TemplateValue, _ name: String) throws(FormatsError) -> TemplateValue? {
    switch value {
    case .undefined(let what): throw failure("\(what) is undefined, so it has no '\(name)'.")
    case .namespace(let namespace): return namespace.attributes.value(name)
    case .loop(let loop): return attribute(of: loop, name)
    case .callable(let callable): return attribute(of: callable, name)
    case .sequence(let sequence) where sequence.kind == .group && (name == "grouper" || name == "list"):
      return sequence.elements[name == "grouper" ? 0 : 1]
    default: break
    }
    if Self.mutatingMethods[value.typeName]?.contains(name) == true {
      return .undefined("access to the method '\(name)', which would change a \(value.typeName),")
    }
    return Self.methods[value.typeName]?.contains(name) == true ? .callable(.method(of: value, name: name)) : nil
  }

  private func attribute(of loop: TemplateLoop, _ name: String) -> TemplateValue? {
    let (index, count) = (loop.index0, loop.elements.count)
    switch name {
    case "index": return .integer(index + 1)
    case "index0": return .integer(index)
    case "revindex": return .integer(count - index)
    case "revindex0": return .integer(count - index - 1)
    case "first": return .bool(index == 0)
    case "last": return .bool(index == count - 1)
    case "length": return .integer(count)
    case "depth": return .integer(loop.depth0 + 1)
    case "depth0": return .integer(loop.depth0)
    case "previtem": return index > 0 ? loop.elements[index - 1] : .undefined("the item before the first")
    case "nextitem": return index + 1 < count ? loop.elements[index + 1] : .undefined("the item after the last")
    case "cycle", "changed": return .callable(.method(of: .loop(loop), name: name))
    default: return nil
    }
  }

  private func attribute(of callable: TemplateCallable, _ name: String) -> TemplateValue? {
    switch callable {
    case .macro(let macro, _):
      switch name {
      case "name": return .string(macro.name)
      case "arguments": return .tuple(macro.parameters.map { .string($0.name) })
      case "catch_kwargs": return .bool(macro.takesDictionary)
      case "catch_varargs": return .bool(macro.takesList)
      case "caller": return .bool(macro.takesCaller)
      default: return nil
      }
    case .cycler(let cycler) where name == "current": return cycler.elements[cycler.position]
    case .cycler where name == "next" || name == "reset": return .callable(.method(of: .callable(callable), name: name))
    case .global, .method, .cycler, .joiner: return nil
    }
  }

  /// `value[key]`
  func item(of value: TemplateValue, _ key: TemplateValue) throws(FormatsError) -> TemplateValue {
    switch value {
    case .undefined(let what): throw failure("\(what) is undefined, so it has no items.")
    case .dictionary(let dictionary):
      if let member = dictionary.value(key) { return member }
    case .sequence(let sequence) where sequence.kind.isIndexed:
      if let index = key.integer {
        let position = index < 0 ? index + sequence.elements.count : index
        if sequence.elements.indices.contains(position) { return sequence.elements[position] }
      }
    case .string(let text):
      if let index = key.integer {
        try charge(text.utf8.count)
        let scalars = text.unicodeScalars
        let found =
          index < 0 ? scalars.reversed().dropFirst(-1 - index).first : scalars.dropFirst(index).first
        if let found { return .string(String(found)) }
      }
    default: break
    }
    if let name = key.string, let attribute = try ownAttribute(of: value, name) { return attribute }
    return .undefined("the item \(try representation(of: key)) of a value of type \(value.typeName)")
  }

  /// `value[start:stop:step]` with Python's rules for what lies outside.
  private func slice(
    of value: TemplateValue, _ start: TemplateValue, _ stop: TemplateValue, _ step: TemplateValue
  ) throws(FormatsError) -> TemplateValue {
    func integer(_ value: TemplateValue) throws(FormatsError) -> Int? {
      if case .null = value { return nil }
      guard let integer = value.integer else {
        throw failure("the bounds of a slice are integers, but found a value of type \(value.typeName).")
      }
      return integer
    }
    let (start, stop, step) = (try integer(start), try integer(stop), try integer(step) ?? 1)
    guard step != 0 else { throw failure("the step of a slice is not 0.") }
    func indices(_ count: Int) -> [Int] {
      func clamped(_ bound: Int?, _ standard: Int) -> Int {
        guard let bound else { return standard }
        let low = step > 0 ? 0 : -1
        let high = step > 0 ? count : count - 1
        return bound < 0 ? max(low, bound < -count ? low : bound + count) : min(bound, high)
      }
      let first = clamped(start, step > 0 ? 0 : count - 1)
      let last = clamped(stop, step > 0 ? count : -1)
      // Beyond the count, a step only leaves the first element.
      return Array(stride(from: first, to: last, by: max(-count - 1, min(count + 1, step))))
    }
    switch value {
    case .undefined(let what): throw failure("\(what) is undefined, so it has no items.")
    case .string(let text):
      try charge(text.utf8.count * 8)
      let scalars = Array(text.unicodeScalars)
      return .string(PythonText.text(indices(scalars.count).map { scalars[$0] }))
    case .sequence(let sequence) where sequence.kind.isIndexed:
      let kind: TemplateSequence.Kind = sequence.kind == .list ? .list : .tuple
      return try self.sequence(kind, indices(sequence.elements.count).map { sequence.elements[$0] })
    default: throw failure("a slice is of a string or a list, not of a value of type \(value.typeName).")
    }
  }
}
