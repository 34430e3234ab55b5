// What went wrong with a file, and what the user can do about it.

/// A failed operation on one file: which, why, and the remedy.
public struct FileError: Error, Sendable, CustomStringConvertible {
  /// The reasons that callers tell apart; everything else is `.other`.
  public enum Code: Sendable, Hashable {
    case missing, notReadable, notWritable, isDirectory, notRegular, diskFull, readOnly, other
  }

  public let code: Code
  public let path: String
  /// What happened and what to do, in one sentence or two.
  public let message: String
  /// The C library's error number behind it, or 0.
  public let errorNumber: Int32

  public var description: String { message }

  package init(_ code: Code, path: String, message: String, errorNumber: Int32 = 0) {
    self.code = code
    self.path = path
    self.message = message
    self.errorNumber = errorNumber
  }

  /// Makes the error of a failed system call from `errno`; `action` completes "Cannot <action> 'path'".
  package init(cannot action: String, path: String, errorNumber: Int32) {
    let (code, remedy): (Code, String) =
      switch errorNumber {
      case ENOENT, ENOTDIR: (.missing, "check the path; no such file or folder")
      case EACCES, EPERM:
        action.hasPrefix("read") || action.hasPrefix("open")
          ? (.notReadable, "permission denied; check its permissions")
          : (.notWritable, "permission denied; choose another folder or change its permissions")
      case EISDIR: (.isDirectory, "it is a folder; a file is needed")
      case ENOSPC, EDQUOT: (.diskFull, "the disk is full; free some space or choose another folder")
      case EROFS: (.readOnly, "the file system is read-only; choose another folder")
      case EMFILE, ENFILE: (.other, "too many files are open; raise the limit (ulimit -n)")
      default: (.other, String(cString: strerror(errorNumber)))
      }
    self.init(code, path: path, message: "Cannot \(action) '\(path)': \(remedy).", errorNumber: errorNumber)
  }
}
