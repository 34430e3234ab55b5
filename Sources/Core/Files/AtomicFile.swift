// A file that appears whole or not at all.
//
// Invariant: the destination keeps its old contents (or absence) until `commit` has put all bytes on the disk; then it
// changes in one step (write to a sibling, fsync, rename, fsync the folder). A failure or a dropped object removes the
// sibling; only a killed process can leave one, named `.<name>.<pid>-<n>.partial`.

internal import Synchronization

/// Writes a file atomically: stream bytes with `write`, then `commit`.
package final class AtomicFile {
  package let path: String
  /// Bytes written so far, in order; the position of the next `write`.
  package private(set) var count = 0
  private let temporaryPath: String
  private var descriptor: Int32

  private static let serial = Atomic<Int>(0)

  /// Opens the hidden sibling of `path`; the folder must exist.
  package init(path: String) throws(FileError) {
    self.path = path
    let (folder, name) = Self.split(path)
    let serial = Self.serial.wrappingAdd(1, ordering: .relaxed).newValue
    temporaryPath = "\(folder)/.\(name).\(getpid())-\(serial).partial"
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError(cannot: "write", path: path, errorNumber: errno) }
  }

  deinit { abandon() }

  /// Appends bytes. Throws `FileError` (a full disk, for one), after which the temporary file is gone.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    try put(bytes, at: count)
    count += bytes.count
  }

  /// Appends the elements' bytes.
  package func write(_ bytes: [UInt8]) throws(FileError) {
    // Array's withUnsafeBytes rethrows untyped; the result carries the type across.
    try bytes.withUnsafeBytes { raw in Result { () throws(FileError) in try write(raw) } }.get()
  }

  /// Replaces bytes that were already written, such as a header that is known only at the end.
  package func overwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    precondition(offset >= 0 && offset + bytes.count <= count, "overwrite \(offset)+\(bytes.count) past \(count)")
    try put(bytes, at: offset)
  }

  /// Makes the contents durable and moves them to `path`. Nothing can be written afterwards.
  package func commit() throws(FileError) {
    precondition(descriptor >= 0, "commit of '\(path)' after it was committed or has failed")
    guard fsync(descriptor) == 0 else { throw fail() }
    guard rename(temporaryPath, path) == 0 else { throw fail() }
    _ = close(descriptor)
    descriptor = -1
    try Self.syncFolder(of: path)
  }

  /// Gives up: closes and removes the temporary file. Does nothing after `commit`.
  package func abandon() {
    guard descriptor >= 0 else { return }
    _ = close(descriptor)
    _ = unlink(temporaryPath)
    descriptor = -1
  }

  /// Writes a whole file in one call.
  package static func write(_ bytes: UnsafeRawBufferPointer, to path: String) throws(FileError) {
    let file = try AtomicFile(path: path)
    try file.write(bytes)
    try file.commit()
  }

  /// Writes a whole file in one call.
  package static func write(_ text: String, to path: String) throws(FileError) {
    let file = try AtomicFile(path: path)
    try file.write(Array(text.utf8))
    try file.commit()
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    precondition(descriptor >= 0, "write to '\(path)' after it was committed or has failed")
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if written < 0 {
        if errno == EINTR { continue }
        throw fail()
      }
      done += written
    }
  }

  private func fail() -> FileError {
    let error = FileError(cannot: "write", path: path, errorNumber: errno)
    abandon()
    return error
  }

  /// A rename is durable only when the folder that holds the name is.
  package static func syncFolder(of path: String) throws(FileError) {
    let folder = split(path).folder
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    // A folder may be writable but not readable; the rename itself has succeeded.
    guard descriptor >= 0 else { return }
    defer { _ = close(descriptor) }
    if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS {  // EINVAL: the file system cannot sync folders
      throw FileError(cannot: "write", path: path, errorNumber: errno)
    }
  }

  private static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let folder = slash == path.startIndex ? "/" : String(path[..<slash])
    return (folder, String(path[path.utf8.index(after: slash)...]))
  }
}
