// What can go wrong in training, told with the remedy.

public import Core
import FoundationEssentials

/// A training run that cannot start, go on or be resumed.
public struct TrainingError: CodedError {
  public enum Code: Sendable {
    /// A checkpoint is missing, torn or of another run.
    case badCheckpoint
    /// A checkpoint could not be written.
    case cannotWrite
    /// Step after step was not finite or far off.
    case diverged
    /// The settings cannot work together or with the data.
    case setting
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)?

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// What an error of the file system says, in plain words and without a full stop.
  static func reason(of error: any Error) -> String {
    let underlying = (error as? CocoaError)?.userInfo["NSUnderlyingError"] as? POSIXError
    let text = underlying.map { String(cString: strerror($0.code.rawValue)) } ?? "\(error)"
    return text.last == "." ? String(text.dropLast()) : text
  }
}
