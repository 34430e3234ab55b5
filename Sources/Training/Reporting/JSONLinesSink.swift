// Appends events to events.jsonl, one JSON object a line.
//
// Invariant: a line is in the file before `receive` returns (in the system's cache: it survives the death of the
// process), and no step stands in the file twice, however often the run is killed and resumed.

package import Core

/// Writes events.jsonl.
package final class JSONLinesSink: EventSink {
  private let file: RecordFile

  /// - Parameters:
  ///   - path: the file, in a folder that exists.
  ///   - step: the step of the checkpoint that the run goes on from; events after it are dropped. 0 for a fresh run,
  ///     which begins with an empty file.
  package init(path: String, resumingFrom step: Int) throws(FileError) {
    try EventLog.rewind(path: path, to: step == 0 ? -1 : step)
    file = try RecordFile(path: path)
  }

  package func receive(_ event: TrainingEvent) { file.append(Array(event.json.json.utf8) + [UInt8(ascii: "\n")]) }

  package func flush() { file.flush() }

  package var failure: (any Error)? { file.failure }
}
