// Times as a trace that Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing) show.
//
// Format: "Trace Event Format", complete events (X) and metadata (M); times are in microseconds.

package import Core
internal import KernelLanguage

/// A trace: rows of spans.
package struct ChromeTrace: Sendable {
  private var events: [JSONValue] = []
  /// Rows that have a name.
  private var named: Set<[Int]> = []
  private static let (kernels, multiprocessors) = (0, 1)

  package init() {}

  /// Adds the runs of kernels, all in one row.
  ///
  /// - Parameter row: what the row is called: the device.
  package mutating func add(_ spans: [KernelSpan], row: String = "kernels") {
    name(process: Self.kernels, "GPU")
    name(process: Self.kernels, thread: 0, row)
    for span in spans {
      let configuration = span.configuration
      add(
        span.kernel, process: Self.kernels, thread: 0, span.start, span.duration,
        [
          ("grid", .string(configuration.grid.description)), ("block", .string(configuration.block.description)),
          ("cluster", .string(configuration.cluster.description)),
          ("dynamic shared bytes", .number(JSONNumber(configuration.dynamicSharedBytes))),
        ])
    }
  }

  /// Adds what warps did within a kernel: a row for each warp, by multiprocessor.
  ///
  /// - Parameter start: when the kernel began, in seconds, on the clock of `KernelSpan.start`.
  package mutating func add(_ timeline: RoleTimeline, startingAt start: Double = 0) {
    for span in timeline.spans {
      let process = Self.multiprocessors + span.multiprocessor
      let thread = span.block * 64 + span.warp  // a block has 32 warps at most
      name(process: process, "SM \(span.multiprocessor)")
      name(process: process, thread: thread, "block \(span.block), warp \(span.warp)")
      add(span.part, process: process, thread: thread, start + span.start, span.duration, [])
    }
  }

  private mutating func add(
    _ name: String, process: Int, thread: Int, _ start: Double, _ duration: Double, _ arguments: [(String, JSONValue)]
  ) {
    events.append(
      .object(
        JSONObject([
          ("name", .string(name)), ("ph", "X"), ("pid", .number(JSONNumber(process))),
          ("tid", .number(JSONNumber(thread))), ("ts", .number(JSONNumber(start * 1e6))),
          ("dur", .number(JSONNumber(duration * 1e6))), ("args", .object(JSONObject(arguments))),
        ])))
  }

  /// Names a process, or a row of it, once.
  private mutating func name(process: Int, thread: Int? = nil, _ name: String) {
    guard named.insert([process, thread ?? -1]).inserted else { return }
    events.append(
      .object(
        JSONObject([
          ("name", thread == nil ? "process_name" : "thread_name"), ("ph", "M"), ("pid", .number(JSONNumber(process))),
          ("tid", .number(JSONNumber(thread ?? 0))), ("args", .object(JSONObject([("name", .string(name))]))),
        ])))
  }

  package var json: JSONValue {
    .object(JSONObject([("displayTimeUnit", "ns"), ("traceEvents", .array(events))]))
  }

  /// Writes the trace to a file. Throws `FileError`.
  package func write(to path: String) throws { try AtomicFile.write(json.json, to: path) }
}
