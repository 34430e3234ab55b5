// Running a compiled pattern: depth first, with an explicit stack for what is left to try.

struct PatternMatcher {
  private enum Choice {
    case go(instruction: Int, position: Int)
    /// A run that may give back scalars, down to `minimum`.
    case shorten(instruction: Int, position: Int, minimum: Int)
    /// Undoes a loop's note.
    case restore(slot: Int, value: Int)
  }

  private static let stepsPerByte = 200

  private let pattern: Pattern
  private let text: UnsafeBufferPointer<UInt8>
  private var stack: [Choice] = []
  private var slots: [Int]
  private var steps: Int

  init(_ pattern: Pattern, _ text: UnsafeBufferPointer<UInt8>) {
    self.pattern = pattern
    self.text = text
    slots = [Int](repeating: -1, count: pattern.slots)
    steps = 1_000_000 + text.count * Self.stepsPerByte
  }

  /// Whether the budget is used up; nothing matches from then on.
  var isExhausted: Bool { steps <= 0 }

  /// The end of the match that starts at `position`, or nil.
  mutating func match(at position: Int) -> Int? {
    stack.removeAll(keepingCapacity: true)
    return run(from: 0, at: position)
  }

  private mutating func run(from start: Int, at first: Int) -> Int? {
    let bottom = stack.count
    var instruction = start
    var position = first
    while true {
      steps -= 1
      if steps <= 0 {
        stack.removeSubrange(bottom...)
        return nil
      }
      var isMatching = true
      switch pattern.instructions[instruction] {
      case .accept:
        stack.removeSubrange(bottom...)
        return position
      case .set(let set):
        if let length = length(at: position, in: set) {
          position += length
          instruction += 1
        } else {
          isMatching = false
        }
      case .run(let set, let minimum, let maximum, let isPossessive):
        if let (least, end) = run(of: set, at: position, minimum, maximum) {
          instruction += 1
          position = end
          if !isPossessive, least < end {
            stack.append(.shorten(instruction: instruction, position: end, minimum: least))
          }
        } else {
          isMatching = false
        }
      case .split(let now, let later):
        stack.append(.go(instruction: later, position: position))
        instruction = now
      case .jump(let target): instruction = target
      case .look(let end, let behind, let isNegative):
        let found = stepBack(behind, from: position).flatMap { run(from: instruction + 1, at: $0) } != nil
        if found != isNegative { instruction = end } else { isMatching = false }
      case .atomic(let end):
        if let after = run(from: instruction + 1, at: position) {
          position = after
          instruction = end
        } else {
          isMatching = false
        }
      case .assertion(let assertion):
        if holds(assertion, at: position) { instruction += 1 } else { isMatching = false }
      case .mark(let slot):
        stack.append(.restore(slot: slot, value: slots[slot]))
        slots[slot] = position
        instruction += 1
      case .leaveIfStuck(let slot, let exit): instruction = slots[slot] == position ? exit : instruction + 1
      }
      if !isMatching {
        guard let choice = backtrack(to: bottom) else { return nil }
        (instruction, position) = choice
      }
    }
  }

  private mutating func backtrack(to bottom: Int) -> (instruction: Int, position: Int)? {
    while stack.count > bottom {
      switch stack.removeLast() {
      case .go(let instruction, let position): return (instruction, position)
      case .shorten(let instruction, let position, let minimum):
        var shorter = position - 1
        while text[shorter] & 0xC0 == 0x80 { shorter -= 1 }
        if shorter > minimum {
          stack.append(.shorten(instruction: instruction, position: shorter, minimum: minimum))
        }
        return (instruction, shorter)
      case .restore(let slot, let value): slots[slot] = value
      }
    }
    return nil
  }

  @inline(__always)
  private func length(at position: Int, in set: Int) -> Int? {
    guard position < text.count else { return nil }
    let (value, length) = UTF8Scan.scalar(text.baseAddress!, position, text.count)
    return pattern.sets[set].contains(value) ? length : nil
  }

  /// The longest run of scalars of a set, and its end after the `minimum` that it must have.
  private mutating func run(of set: Int, at start: Int, _ minimum: Int, _ maximum: Int) -> (least: Int, end: Int)? {
    var position = start
    var least = start
    var count = 0
    while count < maximum, let length = length(at: position, in: set) {
      position += length
      count += 1
      if count == minimum { least = position }
    }
    steps -= count / 8
    return count >= minimum ? (least, position) : nil
  }

  private func stepBack(_ count: Int, from position: Int) -> Int? {
    var position = position
    for _ in 0..<count {
      guard position > 0 else { return nil }
      position -= 1
      while position > 0, text[position] & 0xC0 == 0x80 { position -= 1 }
    }
    return position
  }

  private func holds(_ assertion: PatternNode.Assertion, at position: Int) -> Bool {
    switch assertion {
    case .textStart: position == 0
    case .textEnd: position == text.count
    case .textEndOrLastNewline: position == text.count || position == text.count - 1 && text[position] == 10
    case .lineStart: position == 0 || text[position - 1] == 10 && position < text.count
    case .lineEnd: position == text.count || text[position] == 10
    case .wordBoundary: isWord(before: position) != isWord(at: position)
    case .noWordBoundary: isWord(before: position) == isWord(at: position)
    }
  }

  private static let word = ScalarSet(ScalarSet.word)

  private func isWord(before position: Int) -> Bool { stepBack(1, from: position).map { isWord(at: $0) } ?? false }

  private func isWord(at position: Int) -> Bool {
    guard position < text.count else { return false }
    return Self.word.contains(UTF8Scan.scalar(text.baseAddress!, position, text.count).value)
  }
}
