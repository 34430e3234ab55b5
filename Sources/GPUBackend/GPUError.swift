// The error of this target.

public import Core

/// Why something cannot be done on a GPU.
public struct GPUError: CodedError {
  public enum Code: Hashable, Sendable {
    /// There is no driver, or no device of that number.
    case noDevice
    /// The driver refused a call.
    case driver
    /// A kernel was not assembled, or not as it should be.
    case assembly
    /// There is not enough memory.
    case memory
    /// Nothing runs this on a GPU.
    case unsupported
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)?

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    (self.code, self.message, self.cause) = (code, message, cause)
  }
}
