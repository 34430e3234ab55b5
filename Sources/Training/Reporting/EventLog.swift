// Reads events.jsonl, and takes back what a resumed run is going to do again.
//
// Invariant: after `rewind(to: s)` the file holds whole lines only, each of an event of a step up to s, so that appending
// steps s + 1, s + 2, ... never repeats one. The old file stands until the new one is complete.

package import Core
internal import FoundationEssentials

/// The events of a run on disk.
package enum EventLog {
  /// All events of the file, oldest first. Lines that are no events, such as one torn by a crash, are left out.
  package static func read(path: String) throws(FileError) -> [TrainingEvent] {
    try lines(path: path).map(\.event)
  }

  /// Drops every event after `step`, and whatever is not a whole event. A file that is missing stays missing.
  package static func rewind(path: String, to step: Int) throws(FileError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    let file = try MappedFile(path: path)
    var kept: [UInt8] = []
    kept.reserveCapacity(file.count)
    for line in lines(of: file) where line.event.step <= step {
      kept += line.bytes
      kept.append(UInt8(ascii: "\n"))
    }
    let isUnchanged = kept.withUnsafeBytes { $0.elementsEqual(file.bytes) }
    if isUnchanged { return }
    let new = try AtomicFile(path: path)
    try new.write(kept)
    try new.commit()
  }

  private typealias Line = (bytes: UnsafeRawBufferPointer, event: TrainingEvent)

  private static func lines(path: String) throws(FileError) -> [Line] { lines(of: try MappedFile(path: path)) }

  private static func lines(of file: MappedFile) -> [Line] {
    var result: [Line] = []
    var start = 0
    while start < file.count {
      let rest = UnsafeRawBufferPointer(rebasing: file.bytes[start...])
      let end = start + (rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.count)
      let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[start..<end])
      if let json = try? JSONValue(parsing: bytes), let event = TrainingEvent(json: json) {
        result.append((bytes, event))
      }
      start = end + 1
    }
    return result
  }
}
