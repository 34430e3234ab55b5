import Core
import Formats
import Synchronization
import Training

/// Shows a download on standard error: in a terminal with lines that are redrawn in place, elsewhere with a line now and then.
final class PullSink: EventSink {
  private struct State {
    var display = PullDisplay()
    var liveLines = 0
    var saidAt: Double
  }

  private static let plainInterval = 5.0

  private let isLive = TerminalSink.Mode.suited != .plain
  private let clock = MonotonicClock()
  private let state: Mutex<State>

  init() { state = Mutex(State(saidAt: clock.seconds)) }

  func receive(_ event: PullEvent) {
    let now = clock.seconds
    state.withLock { state in
      let lasting = state.display.receive(event, at: now)
      guard !lasting.isEmpty else { return }
      write(Self.top(of: state.liveLines) + lasting.map { $0 + "\n" }.joined())
      state.liveLines = 0
    }
  }

  /// Shows the present; to be called several times a second.
  func draw() {
    let now = clock.seconds
    state.withLock { state in
      if isLive {
        // One column is left free: a full line would wrap in some terminals.
        let lines = state.display.live(width: max(20, TerminalSink.terminalWidth() - 1), at: now)
        guard !lines.isEmpty else { return }
        write(Self.top(of: state.liveLines) + lines.joined(separator: "\n"))
        state.liveLines = lines.count
      } else if now - state.saidAt >= Self.plainInterval {
        state.saidAt = now
        let line = state.display.plainLine(at: now)
        if !line.isEmpty { write(line + "\n") }
      }
    }
  }

  /// Clears what is redrawn in place, so that other output can follow.
  func flush() {
    state.withLock { state in
      if state.liveLines > 0 { write(Self.top(of: state.liveLines)) }
      state.liveLines = 0
    }
  }

  /// Moves the cursor to the start of the first live line and clears from there.
  private static func top(of lines: Int) -> String {
    lines == 0 ? "" : (lines > 1 ? "\r\u{1B}[\(lines - 1)A" : "\r") + "\u{1B}[J"
  }

  private func write(_ text: String) { TerminalSink.writeToStandardError(text) }
}
