// The filters that take lists: what is first, sorting, grouping, and those that apply a filter or a test to each element.

extension TemplateRenderer {
  /// Filters of whole lists; nil if the name is another's.
  func sequenceFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue? {
    switch name {
    case "length", "count":
      _ = try bind(arguments, name, [])
      return .integer(try length(of: value))
    case "first":
      _ = try bind(arguments, name, [])
      return try elements(of: value, for: name).first ?? .undefined("the first element of an empty list")
    case "last":
      _ = try bind(arguments, name, [])
      guard !isIterator(value) else { throw failure("last needs a list; add |list before it.") }
      return try elements(of: value, for: name).last ?? .undefined("the last element of an empty list")
    case "list":
      _ = try bind(arguments, name, [])
      return try sequence(.list, try elements(of: value, for: name))
    case "reverse":
      _ = try bind(arguments, name, [])
      if case .string(let text) = value { return .string(PythonText.reversed(text)) }
      return .iterator(try elements(of: value, for: name).reversed())
    case "join":
      let bound = try bind(arguments, name, ["d", "attribute"])
      let separator = try text(of: bound[0] ?? .string(""))
      var pieces: [String] = []
      for element in try elements(of: value, for: name) {
        pieces.append(try text(of: try attribute(bound[1], of: element)))
      }
      try charge(separator.utf8.count * pieces.count)
      return .string(pieces.joined(separator: separator))
    case "sum":
      let bound = try bind(arguments, name, ["attribute", "start"])
      var sum = bound[1] ?? .integer(0)
      guard sum.string == nil else { throw failure("sum adds numbers or lists; join puts texts together.") }
      for element in try elements(of: value, for: name) {
        sum = try arithmetic(.add, sum, try attribute(bound[0], of: element))
      }
      return sum
    case "min", "max":
      let bound = try bind(arguments, name, ["case_sensitive", "attribute"])
      return try extreme(name, try elements(of: value, for: name), bound[1], isCaseSensitive: bound[0]?.isTrue ?? false)
    case "sort":
      let bound = try bind(arguments, name, ["reverse", "case_sensitive", "attribute"])
      let keyed = try self.keyed(
        try elements(of: value, for: name), bound[2], isCaseSensitive: bound[1]?.isTrue ?? false, isList: true)
      let order = try sorted(keyed, isReversed: bound[0]?.isTrue ?? false) { $0.key }
      return try sequence(.list, order.map { $0.element })
    case "unique": return try unique(value, arguments)
    case "groupby": return try grouped(value, arguments)
    case "batch", "slice": return try pieces(name, value, arguments)
    case "dictsort": return try sortedMembers(value, arguments)
    case "items":
      _ = try bind(arguments, name, [])
      if value.isUndefined { return .iterator([]) }
      guard case .dictionary(let dictionary) = value else {
        throw failure("items needs a dictionary, but got a \(value.typeName).")
      }
      return try sequence(.iterator, dictionary.items)
    case "attr":
      guard let name = try string(bind(arguments, name, ["name"], required: 1)[0], name) else {
        throw failure("attr needs a name.")
      }
      // A dictionary's members are items, not attributes: only what an empty one has, too.
      if case .dictionary = value, case .undefined = try attribute(of: .dictionary(TemplateDictionary()), name) {
        return .undefined("the attribute '\(name)' of a dict")
      }
      return try attribute(of: value, name)
    default: return nil
    }
  }

  private func isIterator(_ value: TemplateValue) -> Bool {
    if case .sequence(let sequence) = value { sequence.kind == .iterator } else { false }
  }

  /// `len(value)`
  func length(of value: TemplateValue) throws(FormatsError) -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text):
      try charge(text.utf8.count)
      return text.unicodeScalars.count
    case .sequence(let sequence) where sequence.kind != .iterator: return sequence.elements.count
    case .dictionary(let dictionary): return dictionary.count
    case .loop(let loop): return loop.elements.count
    default: throw failure("a value of type \(value.typeName) has no length; a generator needs |list before |length.")
    }
  }

  // MARK: Attributes of elements

  /// What a dotted path such as "function.name" reaches in a value; the value itself without a path.
  private func attribute(
    _ path: TemplateValue?, of value: TemplateValue, standard: TemplateValue = .null
  ) throws(FormatsError) -> TemplateValue {
    guard let path, !isNone(path) else { return value }
    var result = value
    for part in try parts(of: path) {
      result = try item(of: result, part)
      if result.isUndefined, !isNone(standard) { result = standard }
    }
    return result
  }

  private func parts(of path: TemplateValue) throws(FormatsError) -> [TemplateValue] {
    guard let text = path.string else { return [path] }
    return PythonText.split(text, ".", limit: nil).map { part in
      let isNumber = !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
      return isNumber ? Int(part).map { .integer($0) } ?? .string(part) : .string(part)
    }
  }

  /// Elements with what they are compared by. With `isList`, a path may name several attributes with commas.
  private func keyed(
    _ elements: [TemplateValue], _ path: TemplateValue?, isCaseSensitive: Bool, isList: Bool = false,
    standard: TemplateValue = .null
  ) throws(FormatsError) -> [(key: TemplateValue, element: TemplateValue)] {
    var paths = [path]
    if isList, let text = path?.string { paths = PythonText.split(text, ",", limit: nil).map { .string($0) } }
    var result: [(key: TemplateValue, element: TemplateValue)] = []
    for element in elements {
      var keys: [TemplateValue] = []
      for path in paths {
        let key = try attribute(path, of: element, standard: standard)
        keys.append(isCaseSensitive ? key : key.string.map { .string(PythonText.lower($0)) } ?? key)
      }
      result.append((keys.count == 1 ? keys[0] : .list(keys), element))
    }
    try charge(elements: 2 * result.count)
    return result
  }

  private func extreme(
    _ name: String, _ elements: [TemplateValue], _ path: TemplateValue?, isCaseSensitive: Bool
  ) throws(FormatsError) -> TemplateValue {
    let keyed = try self.keyed(elements, path, isCaseSensitive: isCaseSensitive)
    guard var best = keyed.first else { return .undefined("the \(name) of an empty list") }
    for candidate in keyed.dropFirst() {
      let isBetter =
        name == "min" ? try isLess(candidate.key, best.key, "<") : try isLess(best.key, candidate.key, ">")
      if isBetter { best = candidate }
    }
    return best.element
  }

  private func unique(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    let bound = try bind(arguments, "unique", ["case_sensitive", "attribute"])
    var seen: Set<TemplateDictionary.Key> = []
    var kept: [TemplateValue] = []
    let elements = try elements(of: value, for: "unique")
    for (key, element) in try keyed(elements, bound[1], isCaseSensitive: bound[0]?.isTrue ?? false) {
      guard let identity = TemplateDictionary.key(key) else {
        throw failure("unique compares strings and numbers, but found a \(key.typeName); name an attribute.")
      }
      if seen.insert(identity).inserted { kept.append(element) }
    }
    return .iterator(kept)
  }

  private func grouped(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    let bound = try bind(arguments, "groupby", ["attribute", "default", "case_sensitive"], required: 1)
    let isCaseSensitive = bound[2]?.isTrue ?? false
    let standard = bound[1] ?? .null
    let elements = try elements(of: value, for: "groupby")
    let order = try sorted(
      try keyed(elements, bound[0], isCaseSensitive: isCaseSensitive, standard: standard)
    ) { $0.key }
    var groups: [TemplateValue] = []
    var start = 0
    for index in order.indices {
      if index + 1 < order.count, try areEqual(order[index + 1].key, order[start].key) { continue }
      let members = order[start...index].map { $0.element }
      let name = try attribute(bound[0], of: members[0], standard: standard)
      groups.append(try sequence(.group, [name, try sequence(.list, members)]))
      start = index + 1
    }
    return try sequence(.list, groups)
  }

  /// `batch`: rows of a length; `slice`: a number of columns.
  private func pieces(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    let bound = try bind(arguments, name, [name == "batch" ? "linecount" : "slices", "fill_with"], required: 1)
    guard let count = try integer(bound[0], name), count > 0 else { throw failure("\(name) needs a positive number.") }
    let elements = try elements(of: value, for: name)
    let fill = bound[1].flatMap { isNone($0) ? nil : $0 }
    var result: [TemplateValue] = []
    if name == "batch" {
      for start in stride(from: 0, to: elements.count, by: min(count, elements.count + 1)) {
        var row = Array(elements[start..<min(start + min(count, elements.count), elements.count)])
        if let fill, row.count < count {
          try charge(elements: count)
          row += [TemplateValue](repeating: fill, count: count - row.count)
        }
        result.append(try sequence(.list, row))
      }
    } else {
      try charge(elements: count)
      let (size, longer) = elements.count.quotientAndRemainder(dividingBy: count)
      var start = 0
      for index in 0..<count {
        let end = start + size + (index < longer ? 1 : 0)
        var column = Array(elements[start..<end])
        if let fill, index >= longer { column.append(fill) }
        result.append(try sequence(.list, column))
        start = end
      }
    }
    return .iterator(result)
  }

  private func sortedMembers(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError)
    -> TemplateValue
  {
    let bound = try bind(arguments, "dictsort", ["case_sensitive", "by", "reverse"])
    let by = try string(bound[1], "dictsort") ?? "key"
    guard case .dictionary(let dictionary) = value, by == "key" || by == "value" else {
      throw failure("dictsort sorts a dictionary by 'key' or 'value'.")
    }
    let keyed = try self.keyed(
      dictionary.items, .integer(by == "key" ? 0 : 1), isCaseSensitive: bound[0]?.isTrue ?? false)
    let order = try sorted(keyed, isReversed: bound[2]?.isTrue ?? false) { $0.key }
    return try sequence(.list, order.map { $0.element })
  }

  // MARK: Filters and tests of each element

  /// `map`, `select` and their relatives; nil if the name is another's.
  func selectingFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue? {
    switch name {
    case "map": return try mapped(value, arguments)
    case "select", "reject", "selectattr", "rejectattr": break
    default: return nil
    }
    // As for `map`: nothing is in none, 0 or false.
    guard value.isTrue else { return .iterator([]) }
    let takesAttribute = name.hasSuffix("attr")
    var rest = arguments
    var path: TemplateValue?
    if takesAttribute {
      guard !rest.positional.isEmpty else { throw failure("\(name) needs the name of an attribute.") }
      path = rest.positional.removeFirst()
    }
    var test: String?
    if !rest.positional.isEmpty {
      test = try string(rest.positional.removeFirst(), name)
    } else if !rest.named.isEmpty {
      throw failure("\(name) takes no named arguments without a test.")
    }
    var kept: [TemplateValue] = []
    for element in try elements(of: value, for: name) {
      let subject = try attribute(path, of: element)
      let isTrue = try test.map { (test) throws(FormatsError) in try self.test(test, subject, rest) } ?? subject.isTrue
      if isTrue == name.hasPrefix("select") { kept.append(element) }
    }
    return .iterator(kept)
  }

  private func mapped(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    guard value.isTrue else { return .iterator([]) }
    var result: [TemplateValue] = []
    let elements = try elements(of: value, for: "map")
    if arguments.positional.isEmpty {
      let bound = try bind(arguments, "map", ["attribute", "default"], required: 1)
      for element in elements { result.append(try attribute(bound[0], of: element, standard: bound[1] ?? .null)) }
    } else {
      guard let filter = try string(arguments.positional[0], "map") else { throw failure("map needs a filter's name.") }
      let rest = TemplateArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
      for element in elements { result.append(try apply(filter: filter, to: element, rest)) }
    }
    return try sequence(.iterator, result)
  }
}
