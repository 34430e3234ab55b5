// A file's bytes as read-only memory, without copying them.
//
// Invariant: `bytes` stays valid and unchanging as long as the object lives. Whoever keeps a pointer into it keeps the
// object too. (If another program truncates the file meanwhile, touching the lost pages is a SIGBUS; our own writers
// only ever replace whole files, see AtomicFile.)

/// A whole regular file mapped read-only into memory.
package final class MappedFile: @unchecked Sendable {
  /// How the pages are going to be read.
  package enum Access: Sendable {
    case sequential, random, soon
  }

  package let path: String
  /// The contents; empty for an empty file.
  package let bytes: UnsafeRawBufferPointer
  /// Time of the last modification, in nanoseconds since 1970.
  package let modificationTime: Int64

  package var count: Int { bytes.count }

  /// The contents as bytes that have a type.
  package var text: UnsafeBufferPointer<UInt8> { bytes.bindMemory(to: UInt8.self) }

  /// Maps the file at `path`. Throws `FileError` where it is missing, not readable or not a regular file.
  package init(path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileError(cannot: "open", path: path, errorNumber: errno) }
    defer { _ = close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(cannot: "read", path: path, errorNumber: errno) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw FileError(cannot: "read", path: path, errorNumber: EISDIR)
    default:
      throw FileError(
        .notRegular, path: path, message: "Cannot read '\(path)': it is a device or a pipe; save it to a file.")
    }
    self.path = path
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    modificationTime = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    let size = Int(status.st_size)
    guard size > 0 else {  // mmap refuses a length of zero
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw FileError(cannot: "read", path: path, errorNumber: errno)
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  deinit {
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }

  /// The contents, mapped for as long as `body` runs. (The object alone may be released after its last mention, while
  /// its bytes are still being read.)
  package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  /// Tells the system how the contents are about to be read; only a hint.
  package func advise(_ access: Access) {
    guard let base = bytes.baseAddress else { return }
    let advice =
      switch access {
      case .sequential: MADV_SEQUENTIAL
      case .random: MADV_RANDOM
      case .soon: MADV_WILLNEED
      }
    _ = madvise(UnsafeMutableRawPointer(mutating: base), bytes.count, Int32(advice))
  }
}
