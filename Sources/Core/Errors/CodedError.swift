// The shape of every error of this package: one struct per target, with a code that programs compare, a message that
// people read, and the error beneath it.
//
// Invariant: `message` is one or more whole sentences that say what went wrong with which value, and what to do about it.

/// An error with a code, a message with its remedy, and a cause.
///
///     package struct CheckpointError: CodedError {
///       package enum Code: Sendable { case truncated, checksumMismatch, cannotWrite }
///       package let code: Code
///       package let message: String
///       package let cause: (any Error)?
///     }
public protocol CodedError: Error, CustomStringConvertible {
  /// What kind of failure this is; what callers switch over.
  associatedtype Code: Equatable & Sendable

  var code: Code { get }
  /// What went wrong and what to do about it.
  var message: String { get }
  /// The error that led to this one, if any.
  var cause: (any Error)? { get }
}

extension CodedError {
  public var cause: (any Error)? { nil }

  /// The message, followed by the messages of the causes, one a line.
  public var description: String {
    guard let cause else { return message }
    return "\(message)\n  because: \(cause)"
  }
}

/// A failed call of the operating system, as the cause of a `CodedError`.
public struct SystemError: CodedError {
  /// The value of `errno`.
  public let code: Int32
  /// What was tried, as in `open "model.safetensors"`.
  public let operation: String

  public init(_ operation: String, errno code: Int32 = systemErrno()) {
    self.operation = operation
    self.code = code
  }

  public var message: String { "\(operation): \(systemMessage(code)) (errno \(code))" }
}
