// The error of this target: a text that is not PTX, with the place where it stops being it.

public import Core

/// Why a text is not PTX.
public struct PTXError: CodedError, Hashable {
  public enum Code: Hashable, Sendable {
    /// The text breaks a rule of the language.
    case syntax
  }

  public let code: Code
  /// From 1.
  public let line: Int
  /// From 1.
  public let column: Int
  /// What is wrong, and what to do.
  public let problem: String

  init(line: Int, column: Int, problem: String) {
    (code, self.line, self.column, self.problem) = (.syntax, line, column, problem)
  }

  public var message: String { "line \(line), column \(column) of the PTX: \(problem)" }
}
