// Regular expressions as trees: what the parser makes and the compiler reads.

indirect enum PatternNode: Sendable {
  case empty
  case set(ScalarSet)
  case sequence([PatternNode])
  case alternatives([PatternNode])
  case repeated(PatternNode, Repetition)
  case look(PatternNode, isAhead: Bool, isNegative: Bool)
  /// Once it has matched, it is not entered again to match otherwise.
  case atomic(PatternNode)
  case assertion(Assertion)

  struct Repetition: Sendable {
    enum Mode: Sendable {
      case greedy, lazy, possessive
    }
    var minimum: Int
    /// `Int.max` for no limit.
    var maximum: Int
    var mode: Mode
  }

  enum Assertion: Sendable {
    case textStart, textEnd, textEndOrLastNewline, lineStart, lineEnd, wordBoundary, noWordBoundary
  }

  /// How many scalars every match has, if that is always the same.
  var fixedLength: Int? {
    switch self {
    case .empty, .look, .assertion: return 0
    case .set: return 1
    case .sequence(let parts):
      var length = 0
      for part in parts {
        guard let more = part.fixedLength else { return nil }
        length += more
      }
      return length
    case .alternatives(let parts):
      let first = parts.first?.fixedLength
      return parts.allSatisfy { $0.fixedLength == first } ? first : nil
    case .repeated(let body, let repetition):
      guard repetition.minimum == repetition.maximum, let length = body.fixedLength else { return nil }
      return length * repetition.minimum
    case .atomic(let body): return body.fixedLength
    }
  }

  /// The ASCII characters that a match which consumes something can begin with.
  var firstASCII: ScalarSet.ASCII {
    switch self {
    case .empty, .look, .assertion: return ScalarSet.ASCII()
    case .set(let set): return set.ascii
    case .sequence(let parts):
      var first = ScalarSet.ASCII()
      for part in parts {
        first.formUnion(part.firstASCII)
        if !part.isNullable { break }
      }
      return first
    case .alternatives(let parts):
      var first = ScalarSet.ASCII()
      for part in parts { first.formUnion(part.firstASCII) }
      return first
    case .repeated(let body, _), .atomic(let body): return body.firstASCII
    }
  }

  /// Whether it may match without consuming anything.
  var isNullable: Bool {
    switch self {
    case .empty, .look, .assertion: true
    case .set: false
    case .sequence(let parts): parts.allSatisfy { $0.isNullable }
    case .alternatives(let parts): parts.contains { $0.isNullable }
    case .repeated(let body, let repetition): repetition.minimum == 0 || body.isNullable
    case .atomic(let body): body.isNullable
    }
  }
}
