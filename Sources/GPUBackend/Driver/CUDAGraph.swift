// A graph: launches, copies and fills that were captured from a stream and are started as one.
//
// Invariant: `launch` does what was captured last, with the addresses and arguments that were given then; whatever device
// memory these name must live as long as the graph. Code and pinned memory are kept by it.
//
// CUDA driver API 13.0, "Graph Management".

internal import CDrivers
internal import Synchronization

/// Work that is started as one.
package final class CUDAGraph: @unchecked Sendable {
  package let device: CUDADevice
  // The driver's graphs may be used by one thread at a time, which the lock sees to.
  private struct State: @unchecked Sendable {
    var executable: cuda_executable_graph
    var captured: Captured
  }
  /// How many nodes there are, and what they need.
  private struct Captured {
    let count: Int
    let used: [any AnyObject & Sendable]
  }
  private let state: Mutex<State>

  /// Captures what `body` starts on `stream`, without doing it. If `body` throws, nothing is captured.
  package init(of stream: CUDAStream, _ body: () throws -> Void) throws {
    device = stream.device
    let device = device
    state = try Mutex(
      Self.withCapture(stream, body) { graph, captured in
        State(executable: try Self.instantiate(graph, on: device), captured: captured)
      })
  }

  deinit {
    let executable = state.withLock { $0.executable }
    device.release { $0.cuGraphExecDestroy(executable) }
  }

  /// Launches, copies and fills.
  package var count: Int { state.withLock { $0.captured.count } }

  /// Starts the work on a stream, behind what was started there before.
  package func launch(on stream: CUDAStream) throws {
    try state.withLock { state in
      try device.call("start recorded work") { $0.cuGraphLaunch(state.executable, stream.handle) }
    }
  }

  /// Captures anew. Where only addresses, arguments and extents differ, the graph is changed in place, which takes a fraction of
  /// the time.
  ///
  /// - Returns: whether it was changed in place; otherwise it was made anew.
  @discardableResult
  package func update(from stream: CUDAStream, _ body: () throws -> Void) throws -> Bool {
    try Self.withCapture(stream, body) { graph, captured in
      try state.withLock { state in
        var update = cuda_graph_update()
        var isSame = true
        try device.call("change recorded work") { driver in
          let result = driver.cuGraphExecUpdate(state.executable, graph, &update)
          isSame = result != CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE
          return isSame ? result : CUDA_SUCCESS
        }
        if !isSame {
          let executable = try Self.instantiate(graph, on: device)
          device.release { $0.cuGraphExecDestroy(state.executable) }
          state.executable = executable
        }
        state.captured = captured
        return isSame
      }
    }
  }

  private static func instantiate(_ graph: cuda_graph, on device: CUDADevice) throws(GPUError) -> cuda_executable_graph
  {
    var executable: cuda_executable_graph?
    try device.call("make recorded work ready") { $0.cuGraphInstantiateWithFlags(&executable, graph, 0) }
    return executable!
  }

  /// Captures a graph, which lives until `use` returns.
  private static func withCapture<Result>(
    _ stream: CUDAStream, _ body: () throws -> Void, _ use: (cuda_graph, Captured) throws -> Result
  ) throws -> Result {
    let device = stream.device
    try stream.beginCapture()
    do {
      try body()
    } catch {
      if let graph = try? stream.endCapture().graph { device.release { $0.cuGraphDestroy(graph) } }
      throw error
    }
    let (graph, used) = try stream.endCapture()
    guard let graph else {
      throw GPUError(
        .driver,
        "The recording was broken: within it there may be only launches, and copies and fills on the device.")
    }
    defer { device.release { $0.cuGraphDestroy(graph) } }
    var count = 0
    try device.call("count recorded work") { $0.cuGraphGetNodes(graph, nil, &count) }
    return try use(graph, Captured(count: count, used: used))
  }
}
