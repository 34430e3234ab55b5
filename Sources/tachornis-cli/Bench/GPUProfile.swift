// Where the time of a run goes on a GPU: by kernel, and as a trace that Perfetto shows.

internal import Core
internal import GPUBackend
internal import KernelLanguage

/// The kernels of a run, each with its time.
struct GPUProfile {
  let times: [KernelTime]
  /// Whether they are the emulator's estimates.
  let isEstimate: Bool

  var seconds: Double { times.reduce(0) { $0 + $1.span.duration } }

  /// A table by kernel, the longest first; what takes less than a five-hundredth is left out.
  var table: String {
    let total = max(seconds, .leastNonzeroMagnitude)
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(1, width - text.count)) + text
    }
    let heading = right("share", 7) + right(isEstimate ? "estimate, us" : "us", 13) + right("calls", 7)
    var lines = [heading + right("us a call", 11) + (isEstimate ? right("bound by", 18) : "") + "  kernel"]
    let kernels = Dictionary(grouping: times, by: \.span.kernel).map { name, runs in
      (name: name, runs: runs, seconds: runs.reduce(0) { $0 + $1.span.duration })
    }
    for kernel in kernels.sorted(by: { ($1.seconds, $0.name) < ($0.seconds, $1.name) })
    where kernel.seconds > total * 0.002 {
      let calls = kernel.runs.count
      var line = right(Numerals.fixed(100 * kernel.seconds / total, 1) + "%", 7)
      line += right(Numerals.fixed(kernel.seconds * 1e6, 1), 13) + right("\(calls)", 7)
      line += right(Numerals.fixed(kernel.seconds * 1e6 / Double(calls), 2), 11)
      if isEstimate {
        let slowest = kernel.runs.max { $0.span.duration < $1.span.duration }
        line += right(slowest?.bound ?? "", 18)
      }
      lines.append(line + "  " + kernel.name)
    }
    lines.append("\(times.count) launches, \(Numerals.duration(seconds)) in kernels")
    return lines.joined(separator: "\n") + "\n"
  }

  /// Writes the times for ui.perfetto.dev or chrome://tracing. Throws `FileError`.
  func writeTrace(to path: String, device: String) throws {
    var trace = ChromeTrace()
    trace.add(times.map(\.span), row: isEstimate ? "\(device), estimated" : device)
    try trace.write(to: path)
  }
}
