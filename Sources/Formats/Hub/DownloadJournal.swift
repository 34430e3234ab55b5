// What is known of an unfinished download after the process that made it is gone.
//
// A text file beside the data: a first line with the identity of what is downloaded, then a record whenever something was
// added: `etag <value>`, or `<chunk> <bytes>` for the number of bytes from the start of a chunk that are in place. Of several
// records the last counts.
//
// Invariant: a record is written after the bytes that it speaks of. A journal whose identity differs (the model was changed
// on the hub, or chunks are cut differently) is not believed; a torn last line is dropped.

internal import Core
internal import FoundationEssentials

/// The journal of one file. Sent between tasks only inside the lock of a `PartialFile`.
struct DownloadJournal: @unchecked Sendable {
  /// What an earlier process left.
  struct Record {
    var etag: String?
    /// Bytes in place, by chunk.
    var done: [Int: Int] = [:]
  }

  private let file: AppendFile

  /// Reads the journal at `path`, or nil if there is none that speaks of `identity`.
  static func record(path: String, identity: String) -> Record? {
    guard let data = try? Data(contentsOf: URL(filePath: path)) else { return nil }
    let text = String(decoding: data, as: UTF8.self)
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // What follows the last line feed is nothing or torn.
    lines.removeLast()
    guard lines.first.map({ $0 == identity }) ?? false else { return nil }
    var record = Record()
    for line in lines.dropFirst() {
      let words = line.split(separator: " ", maxSplits: 1)
      guard words.count == 2 else { continue }
      if words[0] == "etag" {
        record.etag = String(words[1])
      } else if let chunk = Int(words[0]), let bytes = Int(words[1]) {
        record.done[chunk] = bytes
      }
    }
    return record
  }

  /// Goes on with the journal at `path`.
  init(continuing path: String) throws(FileError) {
    file = try AppendFile(path: path)
    // Ends a torn line, if there is one.
    try file.append([UInt8(ascii: "\n")])
  }

  /// Begins a new journal at `path`, in place of an old one.
  init(path: String, identity: String) throws(FileError) {
    try AtomicFile.write(identity + "\n", to: path)
    file = try AppendFile(path: path)
  }

  func note(etag: String) throws(FileError) { try file.append(Array("etag \(etag)\n".utf8)) }

  func note(chunk: Int, done: Int) throws(FileError) { try file.append(Array("\(chunk) \(done)\n".utf8)) }
}
