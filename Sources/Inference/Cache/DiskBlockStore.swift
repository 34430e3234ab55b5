// Blocks of keys and values as files, which are there after the server was started again, and for other servers of the same
// model on the same machine.
//
// A file has the key's digits for its name and holds the block's record. It appears whole or not at all; one that is damaged is as
// good as missing.
//
// Invariant: the folder holds at most `limit` files of this model, give or take those that other servers write; those that were
// not used for longest go first. What cannot be written is not kept: no request fails for it.

internal import Core
internal import Dispatch
internal import FoundationEssentials
internal import Synchronization

/// Keeps blocks in a folder.
package final class DiskBlockStore: BlockStore {
  /// Bytes of blocks that wait to be written; more are not kept.
  private static let backlog = 64 << 20

  private struct Index {
    /// When each was used last.
    var uses: [BlockKey: UInt64] = [:]
    var now: UInt64 = 0
    var pending = 0

    mutating func use(_ key: BlockKey) {
      now += 1
      uses[key] = now
    }
  }

  private let folder: String
  private let limit: Int
  private let index: Mutex<Index>
  /// The engine's thread alone touches it, here too.
  private let memory: BlockMemory
  private let writer = DispatchQueue(label: "blocks")

  /// - Parameters:
  ///   - folder: of this model alone; made if it is not there.
  ///   - limit: the most files.
  ///   - memory: where blocks are read from and put.
  /// - Throws: `EngineError` if the folder cannot be used.
  package init(folder: String, limit: Int, memory: BlockMemory) throws {
    (self.folder, self.limit, self.memory) = (folder, max(1, limit), memory)
    var found = Index()
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      let files = names.compactMap { name in
        Self.key(name).map { (key: $0, used: Self.changed("\(folder)/\(name)")) }
      }
      for file in files.sorted(by: { $0.used < $1.used }) { found.use(file.key) }
    } catch {
      throw EngineError(
        .unusableFolder,
        "Blocks of the cache cannot be kept in '\(folder)': \(error). Name a folder that can be written.")
    }
    index = Mutex(found)
  }

  /// Blocks that are kept.
  package var count: Int { index.withLock { $0.uses.count } }

  /// Waits until what was saved is on the disk.
  package func flush() { writer.sync {} }

  package func contains(_ key: BlockKey) -> Bool { index.withLock { $0.uses[key] != nil } }

  package func load(_ key: BlockKey, into block: Int32) -> Bool {
    guard let file = try? MappedFile(path: path(key)), file.withBytes({ read($0, key, into: block) }) else {
      index.withLock { $0.uses[key] = nil }
      return false
    }
    index.withLock { $0.use(key) }
    // Which were used last is known after a restart by their times.
    writer.async { [self] in
      try? FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: path(key))
    }
    return true
  }

  private func read(_ record: UnsafeRawBufferPointer, _ key: BlockKey, into block: Int32) -> Bool {
    guard let contents = BlockRecord.contents(of: record, key, bytes: memory.bytes) else { return false }
    memory.write(contents, to: block)
    return true
  }

  package func save(_ key: BlockKey, from block: Int32) {
    let isWanted = index.withLock { index -> Bool in
      if index.uses[key] != nil || index.pending * memory.bytes >= Self.backlog { return false }
      index.pending += 1
      return true
    }
    guard isWanted else { return }
    // A copy: the block may soon be another's.
    let contents = memory.read(block)
    writer.async { [self, contents] in write(key, contents) }
  }

  private func write(_ key: BlockKey, _ contents: [UInt8]) {
    let header = BlockRecord.header(key, contents)
    var isWritten = false
    if let file = try? AtomicFile(path: path(key)) {
      isWritten = (try? file.write(header)) != nil && (try? file.write(contents)) != nil && (try? file.commit()) != nil
    }
    let old = index.withLock { index -> [BlockKey] in
      index.pending -= 1
      if isWritten { index.use(key) }
      guard index.uses.count > limit else { return [] }
      // Some at a time, as their order is not kept.
      let old = index.uses.sorted { $0.value < $1.value }.prefix(index.uses.count - limit + limit / 16).map(\.key)
      for key in old { index.uses[key] = nil }
      return old
    }
    for key in old { try? FileManager.default.removeItem(atPath: path(key)) }
  }

  // MARK: Names

  private func path(_ key: BlockKey) -> String {
    let digits = key.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    return "\(folder)/\(digits.joined())"
  }

  private static func key(_ name: String) -> BlockKey? {
    let digits = Array(name.utf8)
    guard digits.count == 64 else { return nil }
    let bytes = stride(from: 0, to: 64, by: 2).compactMap {
      UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
    }
    return bytes.count == 32 ? BlockKey(bytes: bytes) : nil
  }

  private static func changed(_ path: String) -> Double {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
  }
}
