// Who is told of a server's requests, as its operator chose.

import Core
import Dispatch
import FoundationEssentials
import Serving

/// The sinks of a server's events.
struct Observers {
  private let log: RequestLog?
  private let traces: TraceExporter?
  private let slow: Double?

  /// - Throws: if the log cannot be written, or an address is none.
  init(_ configuration: ObservationConfiguration, model: String) throws {
    let environment = ProcessInfo.processInfo.environment
    let collector = configuration.traces ?? environment["OTEL_EXPORTER_OTLP_ENDPOINT"].flatMap { $0.isEmpty ? nil : $0 }
    // "key=value,key=value", as OpenTelemetry's specification of exporters has it.
    let headers = (environment["OTEL_EXPORTER_OTLP_HEADERS"] ?? "").split(separator: ",").map { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      return (parts[0], parts.count > 1 ? parts[1] : "")
    }
    log = try configuration.requestLog.map { try RequestLog(path: $0) }
    traces = try collector.map {
      try TraceExporter(
        endpoint: $0, headers: headers, model: model, version: Tachornis.version
      ) { Failure.writeError($0) }
    }
    slow = configuration.slow
  }

  /// Whether anybody wants to know of every request.
  var recordRequests: Bool { log != nil || traces != nil || slow != nil }

  var sink: any EventSink<ServiceEvent> {
    var sinks: [any EventSink<ServiceEvent>] = [SlowLog(threshold: slow) { Failure.writeError($0) }]
    if let log { sinks.append(log) }
    if let traces { sinks.append(traces) }
    return FanOut(sinks)
  }

  /// After the request log was moved away.
  func reopen() {
    do { try log?.reopen() } catch { Failure.writeError("The request log cannot be opened again: \(error)\n") }
  }

  /// Waits, not for long, until the last traces are sent, and says if the log was not written.
  func drain() {
    if let failure = log?.failure { Failure.writeError("The request log is not whole: \(failure)\n") }
    guard let traces else { return }
    let done = DispatchSemaphore(value: 0)
    Task {
      await traces.drain()
      done.signal()
    }
    _ = done.wait(timeout: .now() + 12)
  }
}
