// A compiled regular expression and its matcher: backtracking over Unicode scalars with a budget of steps.
//
// Invariant: a search never takes more than `stepsPerByte` steps for each byte of text (and a million). Where a hostile
// pattern would need more, the rest of the text counts as not matching: tokenizers then leave it in one piece. A run of
// one class is one instruction with one entry on the stack, so ordinary patterns take a few steps a character.

/// A regular expression that can be searched for.
struct Pattern: Sendable {
  enum Instruction: Sendable {
    case set(Int)
    /// A run of scalars of a set; possessive if it gives nothing back.
    case run(set: Int, minimum: Int, maximum: Int, isPossessive: Bool)
    /// Goes on at the first place, and later, if that fails, at the second.
    case split(Int, Int)
    case jump(Int)
    /// Runs the instructions up to `end`; `behind` is how many scalars to step back before.
    case look(end: Int, behind: Int, isNegative: Bool)
    case atomic(end: Int)
    case assertion(PatternNode.Assertion)
    /// Notes where a turn of a loop begins.
    case mark(Int)
    /// Leaves the loop if its turn consumed nothing.
    case leaveIfStuck(slot: Int, exit: Int)
    case accept
  }

  let source: String
  let instructions: [Instruction]
  let sets: [ScalarSet]
  let slots: Int
  /// The ASCII characters that a match can begin with; nil: a match may be empty.
  private let first: ScalarSet.ASCII?

  init(_ source: String) throws(FormatsError) {
    var compiler = PatternCompiler()
    let node = try PatternParser.parse(source)
    first = node.isNullable ? nil : node.firstASCII
    try compiler.compile(node, source)
    self.source = source
    instructions = compiler.instructions
    sets = compiler.sets
    slots = compiler.slots
  }

  /// Calls `body` with each match in `text` (valid UTF-8) from left to right; matches do not overlap. An empty match is
  /// given, too, but not right at the end of the one before.
  func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    var matcher = PatternMatcher(self, text)
    var position = 0
    var lastEnd = -1
    while position <= text.count {
      if let first {
        while position < text.count, text[position] < 0x80, !first.contains(UInt32(text[position])) { position += 1 }
      }
      if let end = matcher.match(at: position), end > position || end != lastEnd {
        body(position..<end)
        lastEnd = end
        if end > position {
          position = end
          continue
        }
      }
      if matcher.isExhausted { return }
      guard position < text.count else { return }
      position += UTF8Scan.scalar(text.baseAddress!, position, text.count).length
    }
  }
}

/// Turns trees into instructions.
struct PatternCompiler {
  private(set) var instructions: [Pattern.Instruction] = []
  private(set) var sets: [ScalarSet] = []
  private(set) var slots = 0

  private static let maximumInstructions = 20_000

  mutating func compile(_ node: PatternNode, _ source: String) throws(FormatsError) {
    try emit(node, source)
    instructions.append(.accept)
  }

  private mutating func emit(_ node: PatternNode, _ source: String) throws(FormatsError) {
    guard instructions.count < Self.maximumInstructions else {
      throw FormatsError(.unsupported, "The pattern '\(source)' is too large; use smaller repetitions.")
    }
    switch node {
    case .empty: break
    case .set(let set): instructions.append(.set(index(set)))
    case .sequence(let parts): for part in parts { try emit(part, source) }
    case .alternatives(let parts):
      var jumps: [Int] = []
      for part in parts.dropLast() {
        let split = reserve()
        try emit(part, source)
        jumps.append(reserve())
        instructions[split] = .split(split + 1, instructions.count)
      }
      try emit(parts.last!, source)
      for jump in jumps { instructions[jump] = .jump(instructions.count) }
    case .repeated(let body, let repetition): try emit(body, repetition, source)
    case .look(let body, let isAhead, let isNegative):
      let start = reserve()
      try emit(body, source)
      instructions.append(.accept)
      let behind = isAhead ? 0 : body.fixedLength!
      instructions[start] = .look(end: instructions.count, behind: behind, isNegative: isNegative)
    case .atomic(let body): try atomically { (compiler) throws(FormatsError) in try compiler.emit(body, source) }
    case .assertion(let assertion): instructions.append(.assertion(assertion))
    }
  }

  private mutating func emit(
    _ body: PatternNode, _ repetition: PatternNode.Repetition, _ source: String
  ) throws(FormatsError) {
    if case .set(let set) = body, repetition.mode != .lazy {
      instructions.append(
        .run(
          set: index(set), minimum: repetition.minimum, maximum: repetition.maximum,
          isPossessive: repetition.mode == .possessive))
      return
    }
    if repetition.mode == .possessive {
      var greedy = repetition
      greedy.mode = .greedy
      try atomically { (compiler) throws(FormatsError) in try compiler.emit(.repeated(body, greedy), source) }
      return
    }
    let isLazy = repetition.mode == .lazy
    for _ in 0..<repetition.minimum { try emit(body, source) }
    func branch(_ stay: Int, _ leave: Int) -> Pattern.Instruction { isLazy ? .split(leave, stay) : .split(stay, leave) }
    if repetition.maximum == .max {
      let start = reserve()
      let slot = slots
      slots += 1
      if body.isNullable { instructions.append(.mark(slot)) }
      try emit(body, source)
      let stuck = body.isNullable ? reserve() : nil
      instructions.append(.jump(start))
      let end = instructions.count
      if let stuck { instructions[stuck] = .leaveIfStuck(slot: slot, exit: end) }
      instructions[start] = branch(start + 1, end)
    } else {
      var splits: [Int] = []
      for _ in repetition.minimum..<repetition.maximum {
        splits.append(reserve())
        try emit(body, source)
      }
      for split in splits { instructions[split] = branch(split + 1, instructions.count) }
    }
  }

  private mutating func atomically(
    _ emit: (inout PatternCompiler) throws(FormatsError) -> Void
  ) throws(FormatsError) {
    let start = reserve()
    try emit(&self)
    instructions.append(.accept)
    instructions[start] = .atomic(end: instructions.count)
  }

  private mutating func reserve() -> Int {
    instructions.append(.accept)
    return instructions.count - 1
  }

  private mutating func index(_ set: ScalarSet) -> Int {
    sets.append(set)
    return sets.count - 1
  }
}
