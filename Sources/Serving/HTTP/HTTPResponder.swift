// How an endpoint answers: at once or piece by piece, from any thread.
//
// Invariant: what is sent from one thread goes out in the order in which it is sent, and nothing follows the end. Whoever asked
// is told to have gone or to have been answered once.

internal import Core
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The way back to whoever asked.
package final class HTTPResponder: Sendable {
  /// How this client takes answers.
  struct Form: Sendable {
    var keepAlive: Bool
    /// HTTP/1.0, which knows no chunks: a stream ends with the connection.
    var isOld: Bool
    /// The head alone is wanted.
    var hasNoBody: Bool
    var corsOrigin: String?
  }

  private struct State {
    var isOver = false
    var whenGone: (@Sendable () -> Void)?
    var whenOver: (@Sendable () -> Void)?
    var headers: [(String, String)] = []
    var caller: Caller?
    var trace: RequestTrace?
    var prefillWorker: WorkerAddress?
  }

  private let connection: NIOLoopBound<HTTPConnection>
  private let loop: any EventLoop
  private let pool: NIOThreadPool
  private let form: Form
  private let state = Mutex(State())

  init(_ connection: NIOLoopBound<HTTPConnection>, _ loop: any EventLoop, _ pool: NIOThreadPool, _ form: Form) {
    (self.connection, self.loop, self.pool, self.form) = (connection, loop, pool, form)
  }

  /// Sends the whole reply.
  package func send(_ reply: HTTPReply) {
    inTurn {
      let hasBody = reply.status != 204
      var bytes = self.head(
        reply.status, hasBody ? reply.contentType : nil, reply.headers, reply.body.count, keepAlive: self.form.keepAlive
      )
      if hasBody {
        bytes.writeStaticString("content-length: ")
        bytes.writeString(String(reply.body.count))
        bytes.writeStaticString("\r\n")
      }
      bytes.writeStaticString("\r\n")
      if hasBody && !self.form.hasNoBody { bytes.writeBytes(reply.body) }
      self.connection.value.send(bytes)
      self.finish()
    }
  }

  /// Begins a reply whose pieces follow.
  package func begin(_ status: Int = 200, contentType: String) {
    inTurn {
      // Without chunks a stream ends with the connection.
      if self.form.isOld { self.connection.value.endsConnection() }
      let headers = [("cache-control", "no-cache"), ("x-accel-buffering", "no")]
      var bytes = self.head(status, contentType, headers, 0, keepAlive: self.form.keepAlive && !self.form.isOld)
      bytes.writeStaticString(self.form.isOld ? "\r\n" : "transfer-encoding: chunked\r\n\r\n")
      self.connection.value.send(bytes)
    }
  }

  package func write(_ text: String) { write(text.utf8.count) { $0.writeString(text) } }

  func write(_ piece: ByteBuffer) { write(piece.readableBytes) { $0.writeImmutableBuffer(piece) } }

  private func write(_ count: Int, _ fill: @escaping @Sendable (inout ByteBuffer) -> Void) {
    if count == 0 || form.hasNoBody { return }
    inTurn { self.connection.value.stream(self.chunk(count, fill)) }
  }

  /// Sends a piece of a reply that was begun, of any length, and waits until it has gone out.
  ///
  /// - Returns: false: whoever asked has gone.
  func deliver(_ piece: ByteBuffer) async -> Bool {
    let promise = loop.makePromise(of: Void.self)
    perform {
      if self.state.withLock({ $0.isOver }) { return promise.fail(ChannelError.alreadyClosed) }
      let bytes = self.chunk(piece.readableBytes) { $0.writeImmutableBuffer(piece) }
      self.connection.value.send(bytes, promise)
    }
    return (try? await promise.futureResult.get()) != nil
  }

  private func chunk(_ count: Int, _ fill: (inout ByteBuffer) -> Void) -> ByteBuffer {
    var bytes = ByteBuffer()
    bytes.reserveCapacity(count + 16)
    if form.isOld {
      fill(&bytes)
      return bytes
    }
    bytes.writeString(String(count, radix: 16))
    bytes.writeStaticString("\r\n")
    fill(&bytes)
    bytes.writeStaticString("\r\n")
    return bytes
  }

  /// Ends a reply that was begun.
  package func end() {
    inTurn {
      if !self.form.isOld && !self.form.hasNoBody { self.connection.value.send(ByteBuffer(string: "0\r\n\r\n")) }
      self.finish()
    }
  }

  /// The reply has ended, or whoever asked has gone.
  var isOver: Bool { state.withLock { $0.isOver } }

  /// Whose key the request brought; nil: none was asked for.
  package var caller: Caller? {
    get { state.withLock { $0.caller } }
    set { state.withLock { $0.caller = newValue } }
  }

  /// Where the request's prompt is to be read; nil: here.
  var prefillWorker: WorkerAddress? {
    get { state.withLock { $0.prefillWorker } }
    set { state.withLock { $0.prefillWorker = newValue } }
  }

  /// What is noted of the request; nil: nothing is.
  var trace: RequestTrace? {
    get { state.withLock { $0.trace } }
    set { state.withLock { $0.trace = newValue } }
  }

  /// Adds headers to the reply, which has not begun.
  package func add(headers: [(String, String)]) { state.withLock { $0.headers += headers } }

  /// Calls `action` once if whoever asked goes away before the end, or at once if that has happened.
  package func whenGone(_ action: @escaping @Sendable () -> Void) {
    let isOver = state.withLock { state in
      if !state.isOver { state.whenGone = action }
      return state.isOver
    }
    if isOver { action() }
  }

  /// Calls `action` once when the reply has ended or whoever asked has gone.
  package func whenOver(_ action: @escaping @Sendable () -> Void) {
    let isOver = state.withLock { state in
      if !state.isOver { state.whenOver = action }
      return state.isOver
    }
    if isOver { action() }
  }

  /// Sends something, unless the reply has ended.
  private func inTurn(_ action: @escaping @Sendable () -> Void) {
    perform { if !self.state.withLock({ $0.isOver }) { action() } }
  }

  /// The loop that sends.
  var eventLoop: any EventLoop { loop }

  /// Runs what is short on the loop that sends: at once, if this is it.
  package func perform(_ action: @escaping @Sendable () -> Void) {
    if loop.inEventLoop { action() } else { loop.execute(action) }
  }

  /// Runs what takes long beside the loop, which all clients wait for.
  package func aside(_ work: @escaping @Sendable () -> Void) {
    pool.submit { _ in work() }
  }

  /// The connection was closed.
  func disconnected() { over(isGone: true) }

  private func finish() {
    over(isGone: false)
    connection.value.ended()
  }

  private func over(isGone: Bool) {
    let actions = state.withLock { state in
      defer { (state.isOver, state.whenGone, state.whenOver) = (true, nil, nil) }
      return (isGone ? state.whenGone : nil, state.whenOver, state.isOver ? nil : state.trace)
    }
    actions.0?()
    actions.1?()
    actions.2?.ended(isAborted: isGone)
  }

  /// The status line and headers, without the empty line behind them, in a buffer with room for `body` bytes.
  private func head(_ status: Int, _ contentType: String?, _ headers: [(String, String)], _ body: Int, keepAlive: Bool)
    -> ByteBuffer
  {
    trace?.began(status: status)
    var bytes = ByteBuffer()
    bytes.reserveCapacity(body + 256)
    func write(_ name: String, _ value: String) {
      bytes.writeString(name)
      bytes.writeStaticString(": ")
      bytes.writeString(value)
      bytes.writeStaticString("\r\n")
    }
    bytes.writeStaticString("HTTP/1.1 ")
    bytes.writeString(HTTPResponder.statusLine(status))
    bytes.writeStaticString("\r\n")
    write("date", HTTPDate.cached(Int(MonotonicClock().unixSeconds)))
    if let contentType { write("content-type", contentType) }
    for (name, value) in headers { write(name, value) }
    for (name, value) in state.withLock({ $0.headers }) { write(name, value) }
    if let origin = form.corsOrigin {
      write("access-control-allow-origin", origin)
      if origin != "*" { write("vary", "origin") }
    }
    if !keepAlive { write("connection", "close") } else if form.isOld { write("connection", "keep-alive") }
    return bytes
  }

  private static func statusLine(_ status: Int) -> String {
    switch status {
    case 200: "200 OK"
    case 204: "204 No Content"
    case 400: "400 Bad Request"
    case 401: "401 Unauthorized"
    case 403: "403 Forbidden"
    case 404: "404 Not Found"
    case 405: "405 Method Not Allowed"
    case 408: "408 Request Timeout"
    case 409: "409 Conflict"
    case 413: "413 Content Too Large"
    case 414: "414 URI Too Long"
    case 417: "417 Expectation Failed"
    case 429: "429 Too Many Requests"
    case 431: "431 Request Header Fields Too Large"
    case 500: "500 Internal Server Error"
    case 503: "503 Service Unavailable"
    default: "\(status) Status"
    }
  }
}
