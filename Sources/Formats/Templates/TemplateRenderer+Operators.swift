// Arithmetic and comparisons of a chat template, with Python's rules. Integers have 64 bits here: a result that does not
// fit is an error.

extension TemplateRenderer {
  func signed(_ value: TemplateValue, isNegative: Bool) throws(FormatsError) -> TemplateValue {
    if case .float(let value) = value { return .float(isNegative ? -value : value) }
    guard let integer = value.integer else { throw refusal(isNegative ? "-" : "+", value, nil) }
    guard isNegative else { return .integer(integer) }
    return .integer(try fitting(integer.multipliedReportingOverflow(by: -1)))
  }

  private func refusal(_ operation: String, _ left: TemplateValue, _ right: TemplateValue?) -> FormatsError {
    for value in [left, right] { if case .undefined(let what) = value { return failure("\(what) is undefined.") } }
    guard let right else { return failure("'\(operation)' does not work on a value of type \(left.typeName).") }
    return failure("'\(operation)' does not work between values of type \(left.typeName) and \(right.typeName).")
  }

  private func fitting(_ result: (partialValue: Int, overflow: Bool)) throws(FormatsError) -> Int {
    guard !result.overflow else { throw failure("the result of a calculation does not fit 64 bits.") }
    return result.partialValue
  }

  func arithmetic(
    _ operation: TemplateExpression.Operation, _ left: TemplateValue, _ right: TemplateValue
  ) throws(FormatsError) -> TemplateValue {
    if let left = left.integer, let right = right.integer { return try integers(operation, left, right) }
    if let left = left.number, let right = right.number { return try floats(operation, left, right) }
    switch (operation, left, right) {
    case (.add, .string(let left), .string(let right)):
      try charge(left.utf8.count + right.utf8.count)
      return .string(left + right)
    case (.add, .sequence(let left), .sequence(let right)) where left.kind == right.kind && left.kind == .list,
      (.add, .sequence(let left), .sequence(let right)) where left.kind == right.kind && left.kind == .tuple:
      return try sequence(left.kind, left.elements + right.elements)
    case (.multiply, .string, _), (.multiply, .sequence, _):
      if let count = right.integer { return try repeated(left, count) }
    case (.multiply, _, .string), (.multiply, _, .sequence):
      if let count = left.integer { return try repeated(right, count) }
    case (.modulo, .string(let format), _):
      return .string(try percentFormat(format, right))
    default: break
    }
    throw refusal(operation.rawValue, left, right)
  }

  private func repeated(_ value: TemplateValue, _ count: Int) throws(FormatsError) -> TemplateValue {
    let count = max(0, min(count, limits.work + 1))
    switch value {
    case .string(let text):
      let (size, overflow) = text.utf8.count.multipliedReportingOverflow(by: count)
      guard !overflow, size <= limits.work else { throw tooLarge }
      try charge(size)
      return .string(String(repeating: text, count: text.isEmpty ? 0 : count))
    case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
      let (size, overflow) = sequence.elements.count.multipliedReportingOverflow(by: count)
      guard !overflow, size <= limits.work else { throw tooLarge }
      try charge(elements: size)
      var elements: [TemplateValue] = []
      elements.reserveCapacity(size)
      if size > 0 { for _ in 0..<count { elements += sequence.elements } }
      return .sequence(TemplateSequence(sequence.kind, elements))
    default: throw refusal("*", value, .integer(count))
    }
  }

  private var tooLarge: FormatsError {
    FormatsError(.templateLimit, templateLine: line, "a repeated text or list is larger than the limit of work.")
  }

  private func integers(
    _ operation: TemplateExpression.Operation, _ left: Int, _ right: Int
  ) throws(FormatsError) -> TemplateValue {
    switch operation {
    case .add: return .integer(try fitting(left.addingReportingOverflow(right)))
    case .subtract: return .integer(try fitting(left.subtractingReportingOverflow(right)))
    case .multiply: return .integer(try fitting(left.multipliedReportingOverflow(by: right)))
    case .divide: return try floats(.divide, Double(left), Double(right))
    case .floorDivide, .modulo:
      guard right != 0 else { throw failure("a division by zero.") }
      // Python rounds down; Swift towards zero.
      let quotient = try fitting(left.dividedReportingOverflow(by: right))
      let remainder = left % right
      let isBelow = remainder != 0 && (remainder < 0) != (right < 0)
      if operation == .modulo { return .integer(isBelow ? remainder + right : remainder) }
      return .integer(isBelow ? quotient - 1 : quotient)
    case .power:
      guard right >= 0 else { return try floats(.power, Double(left), Double(right)) }
      var (result, base, exponent) = (1, left, right)
      while exponent > 0 {
        if exponent & 1 == 1 { result = try fitting(result.multipliedReportingOverflow(by: base)) }
        exponent >>= 1
        if exponent > 0 { base = try fitting(base.multipliedReportingOverflow(by: base)) }
      }
      return .integer(result)
    }
  }

  private func floats(
    _ operation: TemplateExpression.Operation, _ left: Double, _ right: Double
  ) throws(FormatsError) -> TemplateValue {
    switch operation {
    case .add: return .float(left + right)
    case .subtract: return .float(left - right)
    case .multiply: return .float(left * right)
    case .divide, .floorDivide, .modulo:
      guard right != 0 else { throw failure("a division by zero.") }
      if operation == .divide { return .float(left / right) }
      var remainder = left.truncatingRemainder(dividingBy: right)
      if remainder != 0, (remainder < 0) != (right < 0) { remainder += right }
      if operation == .modulo { return .float(remainder == 0 ? Double(signOf: right, magnitudeOf: 0) : remainder) }
      let quotient = ((left - remainder) / right).rounded()
      return .float(quotient == 0 ? Double(signOf: left / right, magnitudeOf: 0) : quotient)
    case .power:
      guard left != 0 || right >= 0 else { throw failure("0 has no negative power.") }
      guard left >= 0 || right == right.rounded() else { throw failure("a root of a negative number is not real.") }
      return .float(PythonNumbers.power(left, right))
    }
  }

  // MARK: Comparisons

  func compare(
    _ operation: TemplateExpression.Comparison, _ left: TemplateValue, _ right: TemplateValue
  ) throws(FormatsError) -> Bool {
    switch operation {
    case .equal: try areEqual(left, right)
    case .notEqual: !(try areEqual(left, right))
    case .contained: try contains(right, left)
    case .notContained: !(try contains(right, left))
    case .less: try isLess(left, right, "<")
    case .greater: try isLess(right, left, ">")
    case .lessOrEqual: isOrdered(left, right) ? !(try isLess(right, left, "<=")) : false
    case .greaterOrEqual: isOrdered(left, right) ? !(try isLess(left, right, ">=")) : false
    }
  }

  /// NaN is in no order with anything.
  private func isOrdered(_ left: TemplateValue, _ right: TemplateValue) -> Bool {
    left.number?.isNaN != true && right.number?.isNaN != true
  }

  func areEqual(_ left: TemplateValue, _ right: TemplateValue) throws(FormatsError) -> Bool {
    try charge(8)
    switch (left, right) {
    case (.undefined, .undefined), (.null, .null): return true
    case (.string(let left), .string(let right)):
      guard left.utf8.count == right.utf8.count else { return false }
      try charge(left.utf8.count)
      return PythonText.areEqual(left, right)
    case (.sequence(let left), .sequence(let right)):
      if left === right { return true }
      let isSameKind = left.kind.typeName == right.kind.typeName && left.kind != .iterator && left.kind != .values
      guard isSameKind, left.elements.count == right.elements.count else { return false }
      for (one, other) in zip(left.elements, right.elements) {
        guard try areEqual(one, other) else { return false }
      }
      return true
    case (.dictionary(let left), .dictionary(let right)):
      guard left.count == right.count else { return false }
      for (key, value) in zip(left.keys, left.values) {
        guard let other = right.value(key), try areEqual(value, other) else { return false }
      }
      return true
    case (.namespace(let left), .namespace(let right)): return left === right
    case (.loop(let left), .loop(let right)): return left === right
    default:
      if let left = left.integer, let right = right.integer { return left == right }
      guard let leftNumber = left.number, let rightNumber = right.number else { return false }
      // An integer beyond 2^53 may lie next to a float, not on it.
      let isExact = (left.integer ?? right.integer).map { Int(exactly: leftNumber) == $0 } ?? true
      return leftNumber == rightNumber && isExact
    }
  }

  /// `left < right`, which only values of one kind have.
  func isLess(_ left: TemplateValue, _ right: TemplateValue, _ operation: String) throws(FormatsError) -> Bool {
    try charge(8)
    switch (left, right) {
    case (.string(let left), .string(let right)):
      try charge(min(left.utf8.count, right.utf8.count))
      // The order of UTF-8 is that of the code points.
      return left.utf8.lexicographicallyPrecedes(right.utf8)
    case (.sequence(let left), .sequence(let right))
    where left.kind.typeName == right.kind.typeName && (left.kind == .list || left.kind.typeName == "tuple"):
      for (one, other) in zip(left.elements, right.elements) where !(try areEqual(one, other)) {
        return try isLess(one, other, operation)
      }
      return left.elements.count < right.elements.count
    default:
      if let left = left.integer, let right = right.integer { return left < right }
      guard let left = left.number, let right = right.number else { throw refusal(operation, left, right) }
      return left < right
    }
  }

  /// `element in value`
  func contains(_ value: TemplateValue, _ element: TemplateValue) throws(FormatsError) -> Bool {
    switch value {
    case .string(let text):
      guard let needle = element.string else { throw refusal("in", element, value) }
      try charge(text.utf8.count + 8 * needle.utf8.count)
      return PythonText.contains(text, needle)
    case .dictionary(let dictionary):
      guard TemplateDictionary.key(element) != nil || element.isUndefined else { throw refusal("in", element, value) }
      try charge(element.string?.utf8.count ?? 0)
      return dictionary.value(element) != nil
    case .undefined: return false
    case .sequence(let sequence):
      for candidate in sequence.take() where try areEqual(candidate, element) { return true }
      return false
    default: throw refusal("in", element, value)
    }
  }

  /// Sorted without changing the order of equals; a merge sort, because the standard one cannot be interrupted.
  func sorted<Element>(
    _ elements: [Element], isReversed: Bool = false, by key: (Element) -> TemplateValue
  ) throws(FormatsError) -> [Element] {
    var order = isReversed ? Array(elements.reversed()) : elements
    var width = 1
    while width < order.count {
      var merged: [Element] = []
      merged.reserveCapacity(order.count)
      for start in stride(from: 0, to: order.count, by: 2 * width) {
        var (left, right) = (start, min(start + width, order.count))
        let (middle, end) = (right, min(start + 2 * width, order.count))
        while left < middle, right < end {
          if try isLess(key(order[right]), key(order[left]), "<") {
            merged.append(order[right])
            right += 1
          } else {
            merged.append(order[left])
            left += 1
          }
        }
        merged += order[left..<middle] + order[right..<end]
      }
      order = merged
      width *= 2
    }
    // Sorting backwards keeps the order of equals too.
    return isReversed ? order.reversed() : order
  }
}
