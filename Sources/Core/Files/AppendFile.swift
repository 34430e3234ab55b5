// A file that grows by whole records.
//
// Invariant: a record is either in the file whole or not at all, short of a crash of the process or the machine in the
// middle of a write; readers drop a torn last record. A record that the disk had no room for is taken back.

/// Appends records to a file. Not for use by several threads at once.
package final class AppendFile {
  package let path: String
  private let descriptor: Int32

  /// Opens the file for appending; makes it if it is missing.
  package init(path: String) throws(FileError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError(cannot: "write", path: path, errorNumber: errno) }
  }

  deinit { close(descriptor) }

  /// Appends one record.
  package func append(_ record: [UInt8]) throws(FileError) {
    let start = lseek(descriptor, 0, SEEK_END)
    let failure = record.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let written = write(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if written < 0 {
          if errno == EINTR { continue }
          return errno
        }
        done += written
      }
      return 0
    }
    guard failure != 0 else { return }
    if start >= 0 { _ = ftruncate(descriptor, start) }
    throw FileError(cannot: "write", path: path, errorNumber: failure)
  }

  /// Waits until everything is on the disk.
  package func synchronize() throws(FileError) {
    // Pipes and some file systems cannot be synchronized, which is no failure of the write.
    if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS {
      throw FileError(cannot: "write", path: path, errorNumber: errno)
    }
  }
}
