// Which states of a draft lead to the end of their rule, and which rules may be empty.

extension NetworkDraft {
  /// The states from which the end of their rule can be reached.
  ///
  /// - Parameter reading: whether bytes may be read on the way; without, the start of a rule is among the states if the rule has
  ///   the empty text.
  func statesBeforeEnd(reading: Bool) -> [Bool] {
    var before = [[(state: Int32, rule: Int32)]](repeating: [], count: empty.count)
    for state in empty.indices {
      for target in empty[state] { before[Int(target)].append((Int32(state), -1)) }
      if reading { for edge in bytes[state] { before[Int(edge.target)].append((Int32(state), -1)) } }
      for call in calls[state] { before[Int(call.target)].append((Int32(state), call.rule)) }
    }
    var isFound = [Bool](repeating: false, count: empty.count)
    var ruleOfStart: [Int32: Int] = [:]
    for (index, rule) in rules.enumerated() { ruleOfStart[rule.start] = index }
    // Callers that wait for the start of the rule that they call.
    var callers = [[Int32]](repeating: [], count: rules.count)
    var waiting = rules.map(\.end)
    while let state = waiting.popLast() {
      if isFound[Int(state)] { continue }
      isFound[Int(state)] = true
      for (previous, rule) in before[Int(state)] {
        if rule < 0 || isFound[Int(rules[Int(rule)].start)] {
          waiting.append(previous)
        } else {
          callers[Int(rule)].append(previous)
        }
      }
      if let rule = ruleOfStart[state] { waiting += callers[rule] }
    }
    return isFound
  }
}
