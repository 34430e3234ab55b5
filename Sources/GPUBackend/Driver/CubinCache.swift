// Assembled kernels on disk, so that only the first start on a machine waits for the assembler.
//
// Invariant: an entry is there whole or not at all, and says itself whether it is whole and whose it is: anything else counts as
// absent and is replaced. What is in the cache has been assembled without complaints.
//
// A file: "TACHCUB1", 16 bytes of key, the contents' checksum and count (8 bytes each, little-endian), the contents.

internal import Core
internal import FoundationEssentials

/// A folder of assembled kernels.
package struct CubinCache: Sendable {
  package let folder: String

  package init(folder: String) { self.folder = folder }

  /// A folder of its own among the user's caches; nil if there is no home.
  package static func standard(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> CubinCache? {
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    let caches = variable("XDG_CACHE_HOME") ?? variable("HOME").map { $0 + "/.cache" }
    return caches.map { CubinCache(folder: "\($0)/tachornis/kernels") }
  }

  /// Names what assembling gives: two checksums of all that it depends on.
  struct Key: Hashable {
    let words: [UInt64]

    /// - Parameters:
    ///   - parts: the text, the driver, the chip.
    init(_ parts: [String]) {
      words = ([0, 1] as [UInt64]).map { seed in
        var checksum = Checksum(seed: seed)
        for part in ["tachornis 1"] + parts {
          // The length first, so that no two lists have the same bytes.
          Array("\(part.utf8.count):\(part)".utf8).withUnsafeBytes { checksum.update($0) }
        }
        return checksum.value
      }
    }

    var name: String {
      words.map { word in
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
      }.joined() + ".cubin"
    }
  }

  private static let mark = Array("TACHCUB1".utf8)
  private static let headerBytes = 40

  private static func header(_ key: Key, _ contents: [UInt8]) -> [UInt8] {
    mark
      + (key.words + [Checksum.of(contents), UInt64(contents.count)]).flatMap { word in
        withUnsafeBytes(of: word.littleEndian) { Array($0) }
      }
  }

  /// The contents of an entry; nil if it is absent or damaged. They are empty for a module that the driver assembles itself
  /// each time, and that is known to be without complaints.
  func read(_ key: Key) -> [UInt8]? {
    guard let file = try? MappedFile(path: "\(folder)/\(key.name)") else { return nil }
    return file.withBytes { bytes in
      guard bytes.count >= Self.headerBytes else { return nil }
      let contents = Array(bytes[Self.headerBytes...])
      return bytes[..<Self.headerBytes].elementsEqual(Self.header(key, contents)) ? contents : nil
    }
  }

  /// Keeps an entry, in place of one of that key. Throws `FileError` where the folder cannot be written.
  func write(_ contents: [UInt8], _ key: Key) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try (Self.header(key, contents) + contents).withUnsafeBytes {
      try AtomicFile.write($0, to: "\(folder)/\(key.name)")
    }
  }

  func remove(_ key: Key) { try? FileManager.default.removeItem(atPath: "\(folder)/\(key.name)") }
}
