// Threads of the operating system.

/// Detached operating-system threads: work that would block must not sit on the concurrency pool.
package enum Threads {
  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  /// Runs `run` on a thread of its own, which nobody waits for.
  package static func start(_ run: sending @escaping () -> Void) {
    let body = Unmanaged.passRetained(Body(run)).toOpaque()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 8 << 20)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, &attributes,
      { raw in
        Unmanaged<Body>.fromOpaque(raw!).takeRetainedValue().run()
        return nil
      }, body)
    pthread_attr_destroy(&attributes)
    if code != 0 { Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run() }
  }
}
