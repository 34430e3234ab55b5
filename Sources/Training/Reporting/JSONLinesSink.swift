// Appends events to events.jsonl, one JSON object a line.
//
// Invariant: a line is in the file before `receive` returns (in the system's cache: it survives the death of the
// process), and no step stands in the file twice, however often the run is killed and resumed.

package import Core
internal import Synchronization

/// Writes events.jsonl.
package final class JSONLinesSink: EventSink {
  private struct State: ~Copyable {
    let file: AppendFile
    var failure: (any Error)?
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - path: the file, in a folder that exists.
  ///   - step: the step of the checkpoint that the run goes on from; events after it are dropped. 0 for a fresh run,
  ///     which begins with an empty file.
  package init(path: String, resumingFrom step: Int) throws(FileError) {
    try EventLog.rewind(path: path, to: step == 0 ? -1 : step)
    state = Mutex(State(file: try AppendFile(path: path), failure: nil))
  }

  package func receive(_ event: TrainingEvent) {
    let line = Array(event.json.json.utf8) + [UInt8(ascii: "\n")]
    state.withLock { state in
      guard state.failure == nil else { return }
      do { try state.file.append(line) } catch { state.failure = error }
    }
  }

  package func flush() {
    state.withLock { state in
      guard state.failure == nil else { return }
      do { try state.file.synchronize() } catch { state.failure = error }
    }
  }

  package var failure: (any Error)? { state.withLock { $0.failure } }
}
