// The watchdog's clock: asks for the figures every second and passes on what they say.

internal import Core
internal import Dispatch
internal import Synchronization

/// Watches a server until it is let go.
final class ServiceMonitor: Sendable {
  private let watchdog: Mutex<Watchdog>
  private let sink: any EventSink<ServiceEvent>
  private let stop = DispatchSemaphore(value: 0)

  /// - Parameter sample: the figures of now; nil: there are none any more.
  init(
    _ watchdog: Watchdog = Watchdog(), interval: Double = 1, to sink: any EventSink<ServiceEvent>,
    sample: @escaping @Sendable () -> Watchdog.Sample?
  ) {
    self.watchdog = Mutex(watchdog)
    self.sink = sink
    let stop = stop
    Threads.start { [weak self] in
      while stop.wait(timeout: .now() + interval) == .timedOut {
        guard let self, let sample = sample() else { return }
        for event in self.watchdog.withLock({ $0.handle(sample) }) { self.sink.receive(event) }
      }
    }
  }

  deinit { stop.signal() }

  /// What holds requests up now.
  var current: Set<Bottleneck.Kind> { watchdog.withLock { Set($0.current.keys) } }
}
