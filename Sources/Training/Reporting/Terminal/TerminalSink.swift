// Live progress on standard error.
//
// Invariant: standard output is never touched. In a terminal the live area is redrawn in place at most ten times a
// second; elsewhere (a file, a pipe, TERM=dumb) there is a plain line at most every few seconds. NO_COLOR
// (no-color.org) turns colours off.

package import Core
internal import FoundationEssentials
internal import Synchronization

/// Shows progress to a person.
package final class TerminalSink: EventSink {
  /// How to show it.
  package enum Mode: Sendable, Equatable {
    /// Redrawn in place.
    case live(color: Bool)
    /// A line every so often.
    case plain

    /// What suits standard error and the environment.
    package static var suited: Mode {
      let environment = ProcessInfo.processInfo.environment
      guard isatty(STDERR_FILENO) == 1, environment["TERM"] ?? "dumb" != "dumb" else { return .plain }
      return .live(color: (environment["NO_COLOR"] ?? "").isEmpty)
    }
  }

  private struct State {
    var display: ProgressDisplay
    var liveLines = 0
    var drawnAt = -Double.infinity
    /// The last step that was shown in a plain line.
    var shownStep = 0
    var lastStep = 0
  }

  private static let redrawInterval = 0.1
  private static let plainInterval = 5.0

  private let mode: Mode
  private let clock: any SecondsClock
  private let write: @Sendable (String) -> Void
  private let width: @Sendable () -> Int
  private let state: Mutex<State>

  /// - Parameters:
  ///   - write: where the text goes, instead of standard error.
  ///   - width: the number of columns at the moment, instead of the terminal's own.
  package init(
    mode: Mode = .suited, clock: any SecondsClock = MonotonicClock(),
    write: @escaping @Sendable (String) -> Void = TerminalSink.writeToStandardError,
    width: @escaping @Sendable () -> Int = TerminalSink.terminalWidth
  ) {
    self.mode = mode
    self.clock = clock
    self.write = write
    self.width = width
    state = Mutex(State(display: ProgressDisplay(color: mode == .live(color: true))))
  }

  package func receive(_ event: TrainingEvent) {
    let now = clock.seconds
    state.withLock { state in
      state.display.receive(event, at: now)
      if case .step(let record) = event { state.lastStep = record.step }
      switch mode {
      case .live: receiveLive(event, &state, now)
      case .plain: receivePlain(event, &state, now)
      }
    }
  }

  private func receiveLive(_ event: TrainingEvent, _ state: inout State, _ now: Double) {
    let lasting = state.display.lasting(event)
    guard !lasting.isEmpty || now - state.drawnAt >= Self.redrawInterval else { return }
    var text = ""
    if !lasting.isEmpty {
      text += Self.top(of: state.liveLines) + "\u{1B}[J" + lasting.map { $0 + "\n" }.joined()
      state.liveLines = 0
    }
    var isOver = false
    if case .finished = event { isOver = true }
    if !isOver {
      // One column is left free: a full line would wrap in some terminals.
      let live = state.display.live(width: max(8, width() - 1), at: now, memory: ProcessMemory.resident)
      text += Self.top(of: state.liveLines) + live.map { $0 + "\u{1B}[K" }.joined(separator: "\n")
      state.liveLines = live.count
    }
    state.drawnAt = now
    write(text)
  }

  private func receivePlain(_ event: TrainingEvent, _ state: inout State, _ now: Double) {
    var lines = state.display.lasting(event)
    var isOver = false
    switch event {
    case .finished: isOver = true
    case .checkpoint(let step, let path, let seconds):
      lines.append("step \(step)  checkpoint \(ProgressDisplay.clean(path)) (\(Numerals.duration(seconds)))")
    case .started, .step, .evaluation, .sample, .warning: break
    }
    let isDue = state.shownStep == 0 || now - state.drawnAt >= Self.plainInterval
    if state.lastStep > state.shownStep, isOver || isDue {
      lines.insert(state.display.plainLine(at: now), at: 0)
      state.shownStep = state.lastStep
      state.drawnAt = now
    }
    if !lines.isEmpty { write(lines.map { $0 + "\n" }.joined()) }
  }

  /// Leaves the live area as it is, with the cursor below it, so that other output starts on a line of its own.
  package func flush() {
    state.withLock { state in
      if state.liveLines > 0 { write("\n") }
      state.liveLines = 0
    }
  }

  /// Moves the cursor to the first column of the first live line.
  private static func top(of lines: Int) -> String { lines > 1 ? "\r\u{1B}[\(lines - 1)A" : lines == 1 ? "\r" : "" }

  /// Writes to standard error at once. A terminal that has gone away is no reason to stop.
  package static func writeToStandardError(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while let base = rest.baseAddress, rest.count > 0 {
        let written = Core.write(STDERR_FILENO, base, rest.count)
        if written <= 0 {
          if written < 0, errno == EINTR { continue }
          return
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
      }
    }
  }

  /// The columns of the terminal on standard error; 80 where it does not say.
  package static func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }
}
