// What an engine cannot do that it is asked to, requests apart.

public import Core

/// An engine that cannot be started as it is asked for, or cannot take an adapter.
public struct EngineError: CodedError {
  public enum Code: Sendable {
    /// A model that is to draft is missing, not asked for, or does not go with the model.
    case wrongDraftModel
    /// A folder for blocks of the cache that cannot be used.
    case unusableFolder
    /// An adapter whose name is taken or that the engine has no room for; one that is not there.
    case badAdapter, unknownAdapter
    /// The engine takes no more requests.
    case stopping
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)? = nil

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }
}
