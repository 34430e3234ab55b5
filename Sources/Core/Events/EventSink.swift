// Events, not prints: libraries say what happened as values, and sinks decide what becomes of them.
//
// Invariant: `receive` is called in the order of events by one thread at a time per sink value, never throws and never
// blocks for long. A sink that fails (a full disk) keeps its error for `failure` and stays quiet: reporting never stops
// the work that it reports on.

internal import Synchronization

/// Something that is told what happens.
public protocol EventSink<Event>: Sendable {
  associatedtype Event: Sendable

  /// Takes the next event.
  func receive(_ event: Event)
  /// Brings what was received to its destination (the disk, the screen). Called at the end, and when something may fail.
  func flush()
  /// Why this sink stopped working, if it did.
  var failure: (any Error)? { get }
}

extension EventSink {
  public func flush() {}
  public var failure: (any Error)? { nil }
}

/// Passes every event on to several sinks, in order.
public struct FanOut<Event: Sendable>: EventSink {
  public let sinks: [any EventSink<Event>]

  public init(_ sinks: [any EventSink<Event>]) { self.sinks = sinks }

  public func receive(_ event: Event) {
    for sink in sinks { sink.receive(event) }
  }

  public func flush() {
    for sink in sinks { sink.flush() }
  }

  /// The first failure among the sinks.
  public var failure: (any Error)? {
    for sink in sinks {
      if let failure = sink.failure { return failure }
    }
    return nil
  }
}

/// Keeps every event in memory, for tests and notebooks.
public final class MemorySink<Event: Sendable>: EventSink {
  private let received = Mutex<[Event]>([])

  public init() {}

  /// Everything received so far, oldest first.
  public var events: [Event] { received.withLock { $0 } }

  public func receive(_ event: Event) { received.withLock { $0.append(event) } }
}
