// The checksum of a file's contents, as the hub states it.

internal import Core
internal import Crypto

package enum FileDigest {
  /// Reads the file at `path` and computes the kind of checksum that `digest` is, in hexadecimal. `advances` is told of the
  /// bytes that were read, now and then; the task's cancellation ends the reading.
  package static func hexadecimal(
    of path: String, as digest: HubDigest, advances: (Int) -> Void = { _ in }
  ) async throws -> String {
    switch digest {
    case .sha256: try await hash(path, SHA256(), advances)
    case .gitBlob: try await hash(path, Insecure.SHA1(), advances)
    }
  }

  private static func hash<H: HashFunction>(
    _ path: String, _ empty: H, _ advances: (Int) -> Void
  ) async throws -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FormatsError(FileError(cannot: "read", path: path, errorNumber: errno)) }
    defer { close(descriptor) }
    var hasher = empty
    if H.self == Insecure.SHA1.self {
      var status = stat()
      fstat(descriptor, &status)
      hasher.update(data: Array("blob \(status.st_size)\0".utf8))
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    while true {
      try Task.checkCancellation()
      // Downloads go on meanwhile, also on a machine with few threads.
      await Task.yield()
      let count = read(descriptor, buffer.baseAddress!, buffer.count)
      if count == 0 { break }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw FormatsError(FileError(cannot: "read", path: path, errorNumber: errno))
      }
      hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      advances(count)
    }
    return hexadecimal(hasher.finalize())
  }

  /// The SHA-256 of some bytes, in hexadecimal.
  package static func sha256(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }

  private static func hexadecimal(_ digest: some Sequence<UInt8>) -> String {
    digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
