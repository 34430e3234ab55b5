// A request while it is answered: its parts say what they did, and the sinks are told when all is over.

internal import Core
internal import Inference
internal import Synchronization

/// Gathers what becomes a `RequestRecord`. From any thread.
final class RequestTrace: Sendable {
  private struct State {
    var record: RequestRecord
    var isOver = false
  }

  private let state: Mutex<State>
  private let sink: any EventSink<ServiceEvent>
  private let clock: any SecondsClock

  init(_ record: RequestRecord, _ sink: any EventSink<ServiceEvent>, clock: any SecondsClock) {
    state = Mutex(State(record: record))
    (self.sink, self.clock) = (sink, clock)
  }

  var id: String { state.withLock { $0.record.id } }

  func identified(_ tenant: String) { state.withLock { $0.record.tenant = tenant } }

  func generated(_ end: GenerationEnd) { state.withLock { $0.record.texts.append(end) } }

  func began(status: Int) { state.withLock { $0.record.status = status } }

  /// The last byte went out, or nobody is there to take it.
  func ended(isAborted: Bool = false) {
    let now = clock.seconds
    let record = state.withLock { state -> RequestRecord? in
      if state.isOver { return nil }
      (state.isOver, state.record.sent, state.record.isAborted) = (true, now, isAborted)
      return state.record
    }
    if let record { sink.receive(.answered(record)) }
  }
}
