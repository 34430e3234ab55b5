// What can be wrong with a schema, an expression or a grammar that somebody asked for.

import Core

/// A grammar that cannot be used.
package struct GrammarError: CodedError {
  package enum Code: Sendable {
    /// The text breaks the rules of its notation.
    case syntax
    /// It uses a part of its notation that is not supported here.
    case unsupported
    /// It would need too much memory.
    case tooLarge
    /// No text fulfils it.
    case empty
    /// A rule begins with itself.
    case leftRecursion
  }

  package let code: Code
  package let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
}
