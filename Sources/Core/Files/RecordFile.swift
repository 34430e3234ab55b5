// A file of records that threads write and that never stops them: what sinks of events have in common.
//
// Invariant: records stand in the file in the order in which they were appended; after one that could not be written, none follows,
// and why is kept.

internal import Synchronization

/// Appends records to a file, from any thread.
package final class RecordFile: Sendable {
  private struct State: ~Copyable {
    var file: AppendFile
    var failure: FileError?
  }

  package let path: String
  private let state: Mutex<State>

  /// Opens the file for appending; makes it if it is missing.
  package init(path: String) throws(FileError) {
    self.path = path
    state = Mutex(State(file: try AppendFile(path: path), failure: nil))
  }

  /// Appends one record, unless one before could not be.
  package func append(_ record: [UInt8]) {
    attempt { file throws(FileError) in try file.append(record) }
  }

  /// Brings what was appended to the disk.
  package func flush() {
    attempt { file throws(FileError) in try file.synchronize() }
  }

  /// Opens the path anew, after the file was moved away; what failed before is forgotten.
  package func reopen() throws(FileError) {
    try state.withLock { state throws(FileError) in
      state.file = try AppendFile(path: path)
      state.failure = nil
    }
  }

  /// Why nothing is written any more.
  package var failure: FileError? { state.withLock { $0.failure } }

  private func attempt(_ work: (AppendFile) throws(FileError) -> Void) {
    state.withLock { state in
      guard state.failure == nil else { return }
      do throws(FileError) { try work(state.file) } catch { state.failure = error }
    }
  }
}
