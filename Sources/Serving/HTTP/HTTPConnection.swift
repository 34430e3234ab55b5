// One connection: requests one after another, each whole before it is answered, the next not read before the answer is out.
//
// Invariant: every request gets one answer, or the connection is closed. Nothing that a client sends, or does not send or read,
// holds memory beyond the limits or the connection beyond its time.

internal import NIOCore
internal import NIOPosix

/// What is done with requests.
package typealias HTTPHandler = @Sendable (HTTPRequest, HTTPResponder) -> Void

/// Reads requests and hands them on. Lives on its channel's loop.
final class HTTPConnection: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Bytes of a body beyond which a request is worked on beside the loop, which others wait for.
  static let long = 16 << 10
  /// Bytes of following requests that are taken while one is answered.
  private static let ahead = 64 << 10
  /// Seconds in which what a client still sends is thrown away behind an answer that ends the connection: were it closed at once,
  /// the client's system might throw away the answer.
  private static let lingering = 2

  private let server: HTTPServer.Settings
  private var parser: HTTPParser
  private var buffer = ByteBuffer()
  private var responder: HTTPResponder?
  private var context: ChannelHandlerContext?
  /// The answer on its way is the last.
  private var isLast = false
  private var isClosing = false
  /// The client sends nothing more.
  private var isFinished = false
  private var isReading = false
  /// A read was asked for that is not wanted now.
  private var holdsRead = false

  /// When the state of now began: waiting, receiving, answering, closing.
  private var since = NIODeadline.now()
  private var timer: Scheduled<Void>?
  /// Bytes handed to the channel, and how many of them had gone out when somebody last looked.
  private var sent = 0
  private var gone = 0
  private var goneSince = NIODeadline.now()

  init(_ server: HTTPServer.Settings) {
    self.server = server
    parser = HTTPParser(server.configuration)
  }

  // MARK: In

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    watch(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    var data = unwrapInboundIn(data)
    if parser.isBetweenRequests && buffer.readableBytes == 0 && responder == nil { since = .now() }
    if buffer.readableBytes == 0 {
      buffer = data
    } else {
      // What was read of it must not pile up under a client that never lets it run empty.
      buffer.discardReadBytes()
      buffer.writeBuffer(&data)
    }
    advance()
  }

  /// Takes out of the buffer what can be answered now.
  private func advance() {
    // An answer may come at once: the loop below goes on with what follows.
    if isReading { return }
    isReading = true
    defer { isReading = false }
    reading: while responder == nil, !isClosing, buffer.readableBytes > 0, let context {
      do throws(APIError) {
        switch try parser.next(&buffer) {
        case .request(let request, let keepAlive, let isOld)?:
          begin(request, context, keepAlive: keepAlive, isOld: isOld)
        case .expectsContinue?:
          context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")), promise: nil)
        case nil: break reading
        }
      } catch {
        server.refused(error)
        responder(context, keepAlive: false).send(error.reply)
      }
    }
    if holdsRead, responder == nil || buffer.readableBytes < Self.ahead, !isClosing {
      holdsRead = false
      context?.read()
    }
  }

  private func begin(_ request: HTTPRequest, _ context: ChannelHandlerContext, keepAlive: Bool, isOld: Bool) {
    let responder = responder(context, keepAlive: keepAlive, isOld: isOld, hasNoBody: request.method == "HEAD")
    let handle = server.handle
    if request.body.count <= Self.long { return handle(request, responder) }
    responder.aside { handle(request, responder) }
  }

  private func responder(
    _ context: ChannelHandlerContext, keepAlive: Bool, isOld: Bool = false, hasNoBody: Bool = false
  ) -> HTTPResponder {
    let form = HTTPResponder.Form(
      keepAlive: keepAlive, isOld: isOld, hasNoBody: hasNoBody, corsOrigin: server.configuration.corsOrigin)
    let responder = HTTPResponder(
      NIOLoopBound(self, eventLoop: context.eventLoop), context.eventLoop, server.pool, form)
    self.responder = responder
    isLast = !keepAlive
    return responder
  }

  // MARK: Out

  /// Sends bytes of the answer under way.
  func send(_ bytes: ByteBuffer, _ promise: EventLoopPromise<Void>? = nil) {
    guard let context, !isClosing else {
      promise?.fail(ChannelError.alreadyClosed)
      return
    }
    sent += bytes.readableBytes
    context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
  }

  /// Sends bytes of a stream; a client that reads too slowly is given up.
  func stream(_ bytes: ByteBuffer) {
    send(bytes)
    guard unread > server.configuration.unread, let context else { return }
    // Not at once: who writes may hold what whoever is told of the end asks for.
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    context.eventLoop.execute { bound.value.close() }
  }

  /// The answer on its way ends with the connection.
  func endsConnection() { isLast = true }

  /// The answer is complete.
  func ended() {
    responder = nil
    since = .now()
    if !isLast { return advance() }
    guard let context else { return }
    isClosing = true
    buffer.clear()
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    // Behind all that was sent.
    context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in bound.value.farewell() }
  }

  private func farewell() {
    guard let context else { return }
    if server.hasTLS || isFinished { return context.close(promise: nil) }
    // What the client still sends is read and forgotten.
    context.close(mode: .output, promise: nil)
    if holdsRead { context.read() }
  }

  /// Bytes that the client has not taken yet.
  private var unread: Int {
    (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
  }

  private func close() {
    isClosing = true
    context?.close(promise: nil)
  }

  // MARK: The channel

  func read(context: ChannelHandlerContext) {
    if buffer.readableBytes >= Self.ahead && responder != nil {
      holdsRead = true
    } else {
      context.read()
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .inputClosed? = event as? ChannelEvent { finished(context) }
    context.fireUserInboundEventTriggered(event)
  }

  /// Whoever closes while an answer is under way does not want it; whoever closes in the midst of a request is told so.
  private func finished(_ context: ChannelHandlerContext) {
    isFinished = true
    if isClosing || responder != nil || (parser.isBetweenRequests && buffer.readableBytes == 0) { return close() }
    let error = APIError(.badRequest, "The request ends before it is whole.", code: "invalid_http")
    server.refused(error)
    responder(context, keepAlive: false).send(error.reply)
  }

  func channelInactive(context: ChannelHandlerContext) {
    leave()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { leave() }

  private func leave() {
    timer?.cancel()
    timer = nil
    context = nil
    isClosing = true
    let responder = responder
    self.responder = nil
    responder?.disconnected()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  // MARK: Time

  /// Looks each second at whether the client has had its time.
  private func watch(_ context: ChannelHandlerContext) {
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: .seconds(1)) { bound.value.look() }
  }

  private func look() {
    guard let context else { return }
    defer { if self.context != nil { watch(context) } }
    let now = NIODeadline.now()
    func passed(_ seconds: Int, _ start: NIODeadline) -> Bool { now - start >= .seconds(Int64(seconds)) }
    let unread = unread
    if unread == 0 || sent - unread != gone { (gone, goneSince) = (sent - unread, now) }
    if unread > 0 && passed(server.configuration.idle, goneSince) { return close() }
    if isClosing { return passed(Self.lingering, since) && unread == 0 ? close() : () }
    if responder != nil { return }
    if parser.isBetweenRequests && buffer.readableBytes == 0 {
      if passed(server.configuration.idle, since) { close() }
    } else if passed(server.configuration.arrival, since) {
      let error = APIError(
        .timeout, "The request did not arrive within \(server.configuration.arrival) seconds.", code: "timeout")
      server.refused(error)
      responder(context, keepAlive: false).send(error.reply)
    }
  }
}
