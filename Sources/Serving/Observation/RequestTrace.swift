// A request while it is answered: its parts say what they did, and the sinks are told when all is over.

internal import Core
internal import Inference
internal import Synchronization

/// Gathers what becomes a `RequestRecord`. From any thread.
final class RequestTrace: Sendable {
  private struct State {
    var record: RequestRecord
    /// Texts that the engine has not ended.
    var texts = 0
    var isOver = false
    var isTold = false
  }

  private let state: Mutex<State>
  private let sink: any EventSink<ServiceEvent>
  private let clock: any SecondsClock

  init(_ record: RequestRecord, _ sink: any EventSink<ServiceEvent>, clock: any SecondsClock) {
    state = Mutex(State(record: record))
    (self.sink, self.clock) = (sink, clock)
  }

  func identified(_ tenant: String) { state.withLock { $0.record.tenant = tenant } }

  func submitted(_ texts: Int) { state.withLock { $0.texts += texts } }

  /// - Parameter end: nil: the engine did not take the text, or could not go on.
  func ended(text end: GenerationEnd?) {
    tellIfOver { state in
      if let end { state.record.texts.append(end) }
      state.texts -= 1
    }
  }

  func began(status: Int) { state.withLock { $0.record.status = status } }

  /// The last byte went out, or nobody is there to take it.
  func ended(isAborted: Bool) {
    let now = clock.seconds
    tellIfOver { state in
      if !state.isOver { (state.isOver, state.record.sent, state.record.isAborted) = (true, now, isAborted) }
    }
  }

  /// Of texts that nobody waits for any more, the engine tells later.
  private func tellIfOver(_ change: (inout State) -> Void) {
    let record = state.withLock { state -> RequestRecord? in
      change(&state)
      guard state.isOver, state.texts <= 0, !state.isTold else { return nil }
      state.isTold = true
      return state.record
    }
    if let record { sink.receive(.answered(record)) }
  }
}
