// All that is shown and kept of a run, behind one sink.
//
// Invariant: what could not be opened or written is told once as a warning to the other sinks; it never stops the run.

package import Core
internal import Synchronization

/// Fans the events of a run out, and tells of sinks that fail.
package final class RunRecorder: EventSink {
  private let sinks: [any EventSink<TrainingEvent>]
  /// Which sinks were reported as failed.
  private let told: Mutex<Set<Int>>

  package init(_ sinks: [any EventSink<TrainingEvent>]) {
    self.sinks = sinks
    told = Mutex([])
  }

  /// The files of a run in `folder`, which exists: events.jsonl, report.html, TensorBoard files; and `display`.
  ///
  /// - Parameters:
  ///   - step: the step that the run goes on from, 0 for a fresh run.
  ///   - tensorBoard: whether to write TensorBoard's event files (into `folder/tensorboard`).
  ///   - display: what shows progress to a person, if anything.
  /// - Throws: `FileError` if a file cannot be opened.
  package convenience init(
    folder: String, resumingFrom step: Int, tensorBoard: Bool = true,
    display: (any EventSink<TrainingEvent>)? = nil
  ) throws(FileError) {
    let log = "\(folder)/events.jsonl"
    var sinks: [any EventSink<TrainingEvent>] = [try JSONLinesSink(path: log, resumingFrom: step)]
    sinks.append(ReportSink(path: "\(folder)/report.html", history: RunHistory(try EventLog.read(path: log))))
    if tensorBoard { sinks.append(try TensorBoardSink(folder: "\(folder)/tensorboard")) }
    if let display { sinks.append(display) }
    self.init(sinks)
  }

  package func receive(_ event: TrainingEvent) {
    for sink in sinks { sink.receive(event) }
    tellFailures(step: event.step)
  }

  package func flush() {
    for sink in sinks { sink.flush() }
    tellFailures(step: 0)
  }

  package var failure: (any Error)? { sinks.lazy.compactMap(\.failure).first }

  private func tellFailures(step: Int) {
    for (index, sink) in sinks.enumerated() {
      guard let failure = sink.failure, told.withLock({ $0.insert(index).inserted }) else { continue }
      let warning = TrainingEvent.warning(step: step, message: "Reporting goes on without one of its files. \(failure)")
      for (other, sink) in sinks.enumerated() where other != index { sink.receive(warning) }
    }
  }
}
