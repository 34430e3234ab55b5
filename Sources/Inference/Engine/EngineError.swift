// What can go wrong when an engine is started.

public import Core

/// An engine that cannot be started as it is asked for.
public struct EngineError: CodedError {
  public enum Code: Sendable {
    /// A model that is to draft is missing, not asked for, or does not go with the model.
    case wrongDraftModel
    /// A folder for blocks of the cache that cannot be used.
    case unusableFolder
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)? = nil

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }
}
