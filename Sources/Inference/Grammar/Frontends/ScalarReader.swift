// A notation as a parser goes through it, one Unicode scalar after the other.

/// A parser's place in its text.
protocol ScalarReader {
  var text: [Unicode.Scalar] { get }
  /// Of the next scalar.
  var position: Int { get set }
  /// What is wrong at this place.
  func error(_ code: GrammarError.Code, _ what: String) -> GrammarError
}

extension ScalarReader {
  /// The next scalar; nil at the end.
  var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

  /// Goes past a literal, if it stands here.
  mutating func take(_ literal: String) -> Bool {
    let scalars = Array(literal.unicodeScalars)
    guard text[position...].starts(with: scalars) else { return false }
    position += scalars.count
    return true
  }

  /// - Throws: `GrammarError.syntax` at the end.
  mutating func scalar() throws(GrammarError) -> Unicode.Scalar {
    guard let scalar = next else { throw error(.syntax, "it ends too early") }
    position += 1
    return scalar
  }
}
