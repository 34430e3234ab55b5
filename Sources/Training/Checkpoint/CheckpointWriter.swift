// Writes checkpoints beside training: one at a time, from a copy of the state.

package import Core
import Synchronization

/// A thread that writes one checkpoint at a time.
package final class CheckpointWriter: Sendable {
  /// How a checkpoint's writing ended.
  package struct Outcome: Sendable {
    package var step: Int
    package var path: String
    package var seconds: Double
    package var failure: TrainingError?
  }

  private struct State {
    var isBusy = false
    var finished: [Outcome] = []
  }

  private let folder: CheckpointFolder
  private let keep: Int
  private let clock: any SecondsClock
  private let state = Mutex(State())

  package init(_ folder: CheckpointFolder, keep: Int, clock: any SecondsClock) {
    self.folder = folder
    self.keep = keep
    self.clock = clock
  }

  /// Writes a checkpoint now.
  package func write(_ checkpoint: Checkpoint) -> Outcome {
    let start = clock.seconds
    let path = folder.path(step: checkpoint.state.step)
    var outcome = Outcome(step: checkpoint.state.step, path: path, seconds: 0)
    do {
      try checkpoint.write(to: path)
      folder.prune(keeping: keep)
    } catch {
      outcome.failure = error as? TrainingError ?? TrainingError(.cannotWrite, "Cannot write \(path).", cause: error)
    }
    outcome.seconds = clock.seconds - start
    return outcome
  }

  /// Writes a checkpoint on a thread of its own, after the one before it.
  package func writeInBackground(_ checkpoint: Checkpoint) {
    wait()
    state.withLock { $0.isBusy = true }
    // Only the new thread touches the copy from here on.
    nonisolated(unsafe) let checkpoint = checkpoint
    Threads.start { [self] in
      let outcome = write(checkpoint)
      state.withLock {
        $0.finished.append(outcome)
        $0.isBusy = false
      }
    }
  }

  /// Waits for the one that is being written.
  package func wait() {
    while state.withLock({ $0.isBusy }) { usleep(1000) }
  }

  /// What was finished in the background since the last call.
  package func takeFinished() -> [Outcome] {
    state.withLock { state in
      defer { state.finished = [] }
      return state.finished
    }
  }
}
