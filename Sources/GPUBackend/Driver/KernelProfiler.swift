// How long kernels take: an event before and one behind each launch.
//
// Between two such events kernels do not overlap, so programmatic launches (`overlapsPrevious`) look slower than they are; what
// is recorded in a graph is not timed at all. Events resolve about half a microsecond.

package import KernelLanguage
internal import Synchronization

/// One run of a kernel.
package struct KernelSpan: Sendable, Hashable {
  package let kernel: String
  package let configuration: LaunchConfiguration
  /// In seconds, since the profiler was made.
  package let start: Double
  /// In seconds.
  package let duration: Double

  package init(kernel: String, configuration: LaunchConfiguration, start: Double, duration: Double) {
    (self.kernel, self.configuration, self.start, self.duration) = (kernel, configuration, start, duration)
  }
}

/// Takes the times of kernels on a stream.
package final class KernelProfiler: Sendable {
  private struct Launch {
    let kernel: String
    let configuration: LaunchConfiguration
    let begin: CUDAEvent
    let end: CUDAEvent
  }

  private struct State {
    /// A mark, and its time in seconds since the profiler was made. It moves along, since the driver's 32-bit floats would tell
    /// times of hours only to the millisecond.
    var anchor: (event: CUDAEvent, seconds: Double)
    var launches: [Launch] = []
    var spans: [KernelSpan] = []
    /// To be used again.
    var events: [CUDAEvent] = []
  }

  private let state: Mutex<State>
  /// Launches whose events are held at most.
  private static let most = 2048

  package init(on stream: CUDAStream) throws {
    let origin = try CUDAEvent(on: stream.device)
    try origin.record(on: stream)
    state = Mutex(State(anchor: (origin, 0)))
  }

  /// Times what `body` starts.
  package func time(
    _ kernel: String, _ configuration: LaunchConfiguration, on stream: CUDAStream, _ body: () throws -> Void
  ) throws {
    try state.withLock { state in
      if state.launches.count == Self.most { try Self.settle(&state) }
      let begin = try state.events.popLast() ?? CUDAEvent(on: stream.device)
      let end = try state.events.popLast() ?? CUDAEvent(on: stream.device)
      try begin.record(on: stream)
      try body()
      try end.record(on: stream)
      state.launches.append(Launch(kernel: kernel, configuration: configuration, begin: begin, end: end))
    }
  }

  /// The times of all launches since the last call, in order; waits for them.
  package func take() throws -> [KernelSpan] {
    try state.withLock { state in
      try Self.settle(&state)
      defer { state.spans = [] }
      return state.spans
    }
  }

  /// Turns events into times.
  private static func settle(_ state: inout State) throws {
    guard let last = state.launches.last else { return }
    try last.end.synchronise()
    let (anchor, origin) = state.anchor
    state.spans += try state.launches.map { launch in
      KernelSpan(
        kernel: launch.kernel, configuration: launch.configuration,
        start: origin + (try launch.begin.seconds(since: anchor)), duration: try launch.end.seconds(since: launch.begin)
      )
    }
    state.anchor = (last.begin, state.spans.last!.start)
    state.events.append(anchor)
    for launch in state.launches {
      state.events.append(launch.end)
      if launch.begin !== last.begin { state.events.append(launch.begin) }
    }
    state.launches = []
  }
}
