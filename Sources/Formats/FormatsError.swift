// The one error of this target: bad input from outside, said in a sentence that tells what to do.

package import Core

/// A file, text or setting that cannot be used, with the remedy.
public struct FormatsError: Error, Sendable, CustomStringConvertible {
  /// What kind of thing went wrong. More may come; compare with the static members.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// The file or folder does not exist.
    public static let missing = Code(description: "missing")
    /// The operating system refused to read or write it.
    public static let file = Code(description: "file")
    /// There is nothing in it.
    public static let empty = Code(description: "empty")
    /// It is not text.
    public static let binary = Code(description: "binary")
    /// It holds less than is needed.
    public static let tooShort = Code(description: "tooShort")
    /// It breaks the rules of its format.
    public static let malformed = Code(description: "malformed")
    /// It uses a part of its format that is not supported here.
    public static let unsupported = Code(description: "unsupported")
    /// A setting has an impossible value.
    public static let setting = Code(description: "setting")
  }

  public let code: Code
  /// What is wrong and what to do.
  public let message: String
  /// The error behind this one, if there is one.
  public let cause: (any Error)?

  public var description: String { message }

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  package init(_ error: FileError) {
    self.init(error.code == .missing ? .missing : .file, error.message, cause: error)
  }
}

extension FormatsError {
  /// Runs `body`, turning the file errors of Core into this target's error.
  package static func wrappingFile<Result>(_ body: () throws(FileError) -> Result) throws(FormatsError) -> Result {
    do { return try body() } catch { throw FormatsError(error) }
  }
}
