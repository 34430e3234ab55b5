// What can go wrong with models that come from outside.

public import Core

/// A model that cannot be read, written or found.
public struct ModelError: CodedError {
  public enum Code: Sendable {
    case unknownPreset
    /// A model type that this package does not know.
    case unknownType
    /// A setting of a known type that this package does not have, or that the type does not have.
    case unsupported
    /// config.json is missing, malformed or lacks something.
    case badConfiguration
    /// Tensors are missing, unexpected or of a wrong shape.
    case badWeights
    /// No token can follow a text, or one is named that the model does not have.
    case noToken, unknownToken
    case cannotRead
    case cannotWrite
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)?

  init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}
