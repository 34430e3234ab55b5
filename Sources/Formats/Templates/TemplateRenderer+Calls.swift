// What a chat template can call: macros, the functions that `transformers` and Jinja 2 provide, methods.

extension TemplateRenderer {
  static let globals: Set<String> = [
    "range", "namespace", "dict", "raise_exception", "strftime_now", "cycler", "joiner", "lipsum",
  ]
  /// Python's sandbox has the same limit.
  private static let maximumRange = 100_000

  func call(_ callee: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    try step { () throws(FormatsError) in
      switch callee {
      case .callable(.macro(let macro, let scope)): return try call(macro, scope, arguments)
      case .callable(.global(let name)): return try call(global: name, arguments)
      case .callable(.method(.string(let text), let name)): return try call(name, ofString: text, arguments)
      case .callable(.method(.dictionary(let dictionary), let name)):
        return try call(name, ofDictionary: dictionary, arguments)
      case .callable(.method(.sequence(let sequence), let name)):
        return try call(name, ofSequence: sequence, arguments)
      case .callable(.method(.loop(let loop), let name)): return try call(name, ofLoop: loop, arguments)
      case .callable(.method(.callable(.cycler(let cycler)), let name)):
        _ = try bind(arguments, name, [])
        let current = cycler.elements[cycler.position]
        cycler.position = name == "next" ? (cycler.position + 1) % cycler.elements.count : 0
        return name == "next" ? current : .null
      case .callable(.joiner(let joiner)):
        _ = try bind(arguments, "the joiner", [])
        defer { joiner.isUsed = true }
        return joiner.isUsed ? joiner.separator : .string("")
      case .loop(let loop): return try recur(loop, over: try bind(arguments, "loop", ["iterable"], required: 1)[0]!)
      case .undefined(let what): throw failure("\(what) is undefined, so it cannot be called.")
      default: throw failure("a value of type \(callee.typeName) cannot be called.")
      }
    }
  }

  // MARK: Binding arguments

  /// The arguments in the order of `names`; nil for those not given.
  func bind(
    _ arguments: TemplateArguments, _ function: String, _ names: [String], required: Int = 0
  ) throws(FormatsError) -> [TemplateValue?] {
    guard arguments.positional.count <= names.count else {
      throw failure("\(function) takes at most \(names.count) arguments, but got \(arguments.positional.count).")
    }
    var result = arguments.positional.map(Optional.some)
    result += [TemplateValue?](repeating: nil, count: names.count - result.count)
    for (name, value) in arguments.named {
      guard let position = names.firstIndex(of: name) else {
        throw failure("\(function) takes no argument named '\(name)'.")
      }
      guard result[position] == nil else { throw failure("\(function) got its argument '\(name)' twice.") }
      result[position] = value
    }
    for (name, value) in zip(names, result).prefix(required) where value == nil {
      throw failure("\(function) needs its argument '\(name)'.")
    }
    return result
  }

  /// The integer of an argument; nil where it is absent or none.
  func integer(_ value: TemplateValue?, _ function: String) throws(FormatsError) -> Int? {
    switch value {
    case nil, .some(.null): return nil
    case .some(let value):
      guard let integer = value.integer else {
        throw failure("\(function) needs an integer, but got a value of type \(value.typeName).")
      }
      return integer
    }
  }

  /// The text of an argument that must be a string; nil where it is absent or none.
  func string(_ value: TemplateValue?, _ function: String) throws(FormatsError) -> String? {
    switch value {
    case nil, .some(.null): return nil
    case .some(let value):
      guard let string = value.string else {
        throw failure("\(function) needs a string, but got a value of type \(value.typeName).")
      }
      try charge(string.utf8.count)
      return string
    }
  }

  // MARK: Functions

  private func call(global name: String, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    switch name {
    case "raise_exception":
      let message = try bind(arguments, name, ["message"], required: 1)[0]!
      throw FormatsError(
        .refusedByTemplate, "The chat template refuses these messages (line \(line)): \(try text(of: message))")
    case "strftime_now":
      guard let format = try string(bind(arguments, name, ["format"], required: 1)[0], name) else {
        throw failure("strftime_now needs a format, as in strftime_now('%Y-%m-%d').")
      }
      try charge(16 * format.utf8.count)
      return .string(TemplateDate(seconds: now).text(format))
    case "range": return try range(arguments)
    case "namespace":
      let namespace = TemplateNamespace()
      namespace.attributes = try members(arguments, name)
      for key in namespace.attributes.keys { try checkNamespaceName(key.string ?? "") }
      register(namespace)
      return .namespace(namespace)
    case "dict": return try checked(.dictionary(try members(arguments, name)))
    case "cycler":
      guard !arguments.positional.isEmpty, arguments.named.isEmpty else {
        throw failure("cycler needs at least one value to go through.")
      }
      return .callable(.cycler(TemplateCycler(arguments.positional)))
    case "joiner": return .callable(.joiner(TemplateJoiner(try bind(arguments, name, ["sep"])[0] ?? .string(", "))))
    default:
      throw FormatsError(.unsupported, templateLine: line, "the function '\(name)' has no place in a chat template.")
    }
  }

  private func range(_ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    guard arguments.named.isEmpty, (1...3).contains(arguments.positional.count) else {
      throw failure("range takes one to three integers.")
    }
    let bounds = try arguments.positional.map { (value) throws(FormatsError) in
      guard let integer = try integer(value, "range") else { throw failure("range takes integers, not none.") }
      return integer
    }
    let (start, stop) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
    let step = bounds.count == 3 ? bounds[2] : 1
    guard step != 0 else { throw failure("the step of range is not 0.") }
    let span = Double(stop) - Double(start)
    guard (span / Double(step)).rounded(.up) <= Double(Self.maximumRange) else {
      throw FormatsError(
        .templateLimit, templateLine: line,
        "range(\(start), \(stop), \(step)) has more than the \(Self.maximumRange) elements that are allowed.")
    }
    // With at most that many elements, an overflow is only possible behind the last.
    var elements: [TemplateValue] = []
    var value = start
    while step > 0 ? value < stop : value > stop {
      elements.append(.integer(value))
      let (next, overflow) = value.addingReportingOverflow(step)
      guard !overflow else { break }
      value = next
    }
    return try sequence(.range(start: start, stop: stop, step: step), elements)
  }

  /// The dictionary that `dict(...)` and `namespace(...)` take: another one, pairs, named values.
  private func members(_ arguments: TemplateArguments, _ function: String) throws(FormatsError) -> TemplateDictionary {
    var result = TemplateDictionary()
    guard arguments.positional.count <= 1 else { throw failure("\(function) takes at most one value without a name.") }
    switch arguments.positional.first {
    case .dictionary(let dictionary): result = dictionary
    case .some(let value):
      for pair in try elements(of: value, for: function) {
        let pair = try elements(of: pair, for: function)
        guard pair.count == 2 else { throw failure("\(function) takes a dictionary or pairs of a key and a value.") }
        try set(&result, pair[0], pair[1])
      }
    case nil: break
    }
    try charge(elements: 4 * (result.count + arguments.named.count))
    for (name, value) in arguments.named { result.set(.string(name), value) }
    return result
  }

  // MARK: Methods of collections

  static let methods: [String: Set<String>] = [
    "str": stringMethods,
    "dict": ["get", "items", "keys", "values", "copy"],
    "list": ["index", "count", "copy"],
    "tuple": ["index", "count"],
    "range": ["index", "count"],
  ]
  /// Those that the sandbox of `transformers` hides.
  static let mutatingMethods: [String: Set<String>] = [
    "dict": ["clear", "pop", "popitem", "setdefault", "update"],
    "list": ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
  ]

  private func call(
    _ name: String, ofDictionary dictionary: TemplateDictionary, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    if name == "get" {
      let bound = try bind(arguments, name, ["key", "default"], required: 1)
      return dictionary.value(bound[0]!) ?? bound[1] ?? .null
    }
    _ = try bind(arguments, name, [])
    switch name {
    case "items":
      try charge(elements: 2 * dictionary.count)
      return try sequence(.items, dictionary.items)
    case "keys": return try sequence(.keys, dictionary.keys)
    case "values": return try sequence(.values, dictionary.values)
    default: return .dictionary(dictionary)
    }
  }

  private func call(
    _ name: String, ofSequence sequence: TemplateSequence, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    if name == "copy" {
      _ = try bind(arguments, name, [])
      return .sequence(sequence)
    }
    let bound = try bind(arguments, name, name == "index" ? ["value", "start", "stop"] : ["value"], required: 1)
    var count = 0
    let length = sequence.elements.count
    func place(_ value: TemplateValue?, _ standard: Int) throws(FormatsError) -> Int {
      guard let index = try integer(value, name) else { return standard }
      return index < 0 ? max(0, index + length) : min(index, length)
    }
    let start = name == "index" ? try place(bound[1], 0) : 0
    let stop = name == "index" ? try place(bound[2], length) : length
    for index in start..<max(start, stop) where try areEqual(sequence.elements[index], bound[0]!) {
      if name == "index" { return .integer(index) }
      count += 1
    }
    guard name == "count" else { throw failure("the list has no such element; test with 'in' first.") }
    return .integer(count)
  }

  private func call(
    _ name: String, ofLoop loop: TemplateLoop, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    guard arguments.named.isEmpty else { throw failure("loop.\(name) takes no named arguments.") }
    let values = arguments.positional
    if name == "cycle" {
      guard !values.isEmpty else { throw failure("loop.cycle needs at least one value.") }
      return values[loop.index0 % values.count]
    }
    guard !loop.isOver else { throw failure("loop.changed is called after the loop.") }
    defer { loop.lastChanged = values }
    guard let last = loop.lastChanged else { return .bool(true) }
    return .bool(!(try areEqual(.tuple(last), .tuple(values))))
  }
}
