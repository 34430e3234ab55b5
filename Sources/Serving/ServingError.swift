public import Core

/// What a server could not do for its operator.
public struct ServingError: CodedError {
  public enum Code: Sendable, Equatable { case cannotServe }
  public let code = Code.cannotServe
  public let message: String

  init(_ message: String) { self.message = message }
}
