// Shows a run in TensorBoard: scalars of every step, losses on held-out text, samples.
//
// Invariant: every process writes a file of its own; a resumed one begins with a restart record, upon which TensorBoard
// drops what an earlier file says of later steps.

package import Core
internal import FoundationEssentials

/// Writes a TensorBoard event file.
package final class TensorBoardSink: EventSink {
  private let file: RecordFile
  private let clock: any SecondsClock
  /// The file that is written.
  package var path: String { file.path }

  /// Begins a new event file in `folder`, which is made if it is missing.
  package init(folder: String, clock: any SecondsClock = MonotonicClock()) throws(FileError) {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw FileError(cannot: "make the folder", path: folder, errorNumber: errno)
    }
    // TensorBoard reads the files of a folder in the order of their names.
    let seconds = String(Int(clock.unixSeconds))
    let stamp = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
    let name = "events.out.tfevents.\(stamp).tachornis"
    var path = "\(folder)/\(name).\(getpid())"
    var serial = 0
    while FileManager.default.fileExists(atPath: path) {
      serial += 1
      path = "\(folder)/\(name).\(getpid()).\(serial)"
    }
    self.clock = clock
    file = try RecordFile(path: path)
    write(TensorBoardEvent(unixSeconds: clock.unixSeconds, step: 0, content: .version))
  }

  package func receive(_ event: TrainingEvent) {
    func write(_ content: TensorBoardEvent.Content, step: Int? = nil) {
      self.write(
        TensorBoardEvent(unixSeconds: clock.unixSeconds, step: step ?? event.step, content: content))
    }
    switch event {
    case .started(let run):
      if run.resumedFrom > 0 { write(.restart, step: run.resumedFrom + 1) }
      let text = """
        **\(run.model)**, \(Numerals.grouped(run.parameters)) parameters, \(Numerals.grouped(run.tokensPerStep)) \
        tokens a step, \(run.device)

        \(Self.codeBlock(run.configuration))
        """
      write(.text(tag: "configuration", text))
    case .step(let record):
      var scalars = [
        ("loss/train", record.loss), ("optimizer/learning rate", record.learningRate),
        ("optimizer/gradient norm", record.gradientNorm), ("speed/tokens per second", record.tokensPerSecond),
      ]
      if let mfu = record.mfu { scalars.append(("speed/mfu", mfu)) }
      for layer in record.layerGradientNorms { scalars.append(("gradient norm/\(layer.layer)", layer.norm)) }
      write(.scalars(scalars))
    case .evaluation(_, let loss): write(.scalars([("loss/validation", loss)]))
    case .sample(_, let text): write(.text(tag: "sample", Self.codeBlock(text)))
    case .warning(_, let message): write(.text(tag: "warnings", message))
    case .checkpoint: break
    case .finished: flush()
    }
  }

  package func flush() { file.flush() }

  package var failure: (any Error)? { file.failure }

  private func write(_ event: TensorBoardEvent) { file.append(event.record) }

  /// TensorBoard shows Markdown; lines indented by four spaces stand as they are.
  private static func codeBlock(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "    " + $0 }.joined(separator: "\n")
  }
}
