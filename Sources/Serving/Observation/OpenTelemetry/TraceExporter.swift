// Sends spans to a collector by OTLP over HTTP, in batches and beside the requests.
//
// Invariant: a collector that is slow or gone costs bounded memory and holds nothing up: spans are dropped and counted.

internal import AsyncHTTPClient
public import Core
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Sends a trace of each request to a collector.
public final class TraceExporter: EventSink {
  /// The most requests that wait to be sent.
  private static let capacity = 4096
  /// Seconds between batches.
  private static let interval = 1.0

  private struct State {
    var waiting: [RequestRecord] = []
    var dropped = 0
    /// Whether a task is sending.
    var isSending = false
    /// Whether the last batch arrived.
    var isReached = true
  }

  private let url: String
  private let headers: [(String, String)]
  private let spans: TraceSpans
  private let state = Mutex(State())
  private let timeout: Double
  private let notice: @Sendable (String) -> Void

  /// - Parameters:
  ///   - endpoint: the collector's address, "http://localhost:4318"; "/v1/traces" is added if it has no path.
  ///   - headers: sent along, for collectors that want a key.
  ///   - timeout: seconds after which the collector is taken to be gone.
  ///   - notice: told once each time that the collector cannot be reached, and when it can again.
  public init(
    endpoint: String, headers: [(String, String)] = [], model: String, version: String,
    timeout: Double = 10, notice: @escaping @Sendable (String) -> Void
  ) throws(ServingError) {
    guard endpoint.hasPrefix("http://") || endpoint.hasPrefix("https://") else {
      throw ServingError("The collector's address is '\(endpoint)'; it must begin with http:// or https://.")
    }
    let rest = endpoint.drop { $0 != ":" }.dropFirst(3)
    let hasPath = rest.firstIndex(of: "/").map { rest.index(after: $0) != rest.endIndex } ?? false
    url = hasPath ? endpoint : (endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint) + "/v1/traces"
    (self.headers, self.timeout, self.notice) = (headers, timeout, notice)
    spans = TraceSpans(service: "tachornis", version: version, model: model)
  }

  public func receive(_ event: ServiceEvent) {
    guard case .answered(let record) = event, record.trace.isSampled else { return }
    let begins = state.withLock { state in
      if state.waiting.count < Self.capacity { state.waiting.append(record) } else { state.dropped += 1 }
      defer { state.isSending = true }
      return !state.isSending
    }
    if begins { Task { await send() } }
  }

  /// Waits until what was received is sent, or cannot be.
  public func drain() async {
    while state.withLock({ $0.isSending }) { try? await Task.sleep(for: .milliseconds(20)) }
  }

  /// Sends batches until there is nothing more.
  private func send() async {
    while true {
      try? await Task.sleep(for: .seconds(Self.interval))
      let (batch, dropped) = state.withLock { state in
        defer { (state.waiting, state.dropped) = ([], 0) }
        if state.waiting.isEmpty { state.isSending = false }
        return (state.waiting, state.dropped)
      }
      if batch.isEmpty { return }
      do {
        try await post(batch)
        if !reached(true) { notice("Traces go to \(url) again.\n") }
      } catch {
        if reached(false) { notice("Traces cannot be sent to \(url): \(error). They are dropped until they can.\n") }
      }
      if dropped > 0 { notice("\(dropped) traces were dropped: \(url) takes them too slowly.\n") }
    }
  }

  /// Notes whether a batch arrived.
  ///
  /// - Returns: whether the one before it did.
  private func reached(_ isReached: Bool) -> Bool {
    state.withLock { state in
      defer { state.isReached = isReached }
      return state.isReached
    }
  }

  private func post(_ batch: [RequestRecord]) async throws {
    var request = HTTPClientRequest(url: url)
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/json")
    for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
    request.body = .bytes(ByteBuffer(string: spans.body(batch).json))
    let response = try await HTTPClient.shared.execute(request, timeout: .nanoseconds(Int64(timeout * 1e9)))
    guard (200..<300).contains(response.status.code) else {
      throw ServingError("It answered \(response.status.code)")
    }
    for try await _ in response.body {}
  }
}
