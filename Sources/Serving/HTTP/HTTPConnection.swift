// One connection: requests one after another, each whole before it is answered.

internal import NIOCore
internal import NIOHTTP1

/// Bounds on what a client may send.
package struct HTTPLimits: Sendable {
  /// Bytes of a request's body.
  package var body = 16 << 20
  /// Seconds without a byte from the client, while no answer is under way, after which a connection is closed.
  package var idle = 75

  package init() {}
}

/// Gathers requests and hands them on.
final class HTTPConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let limits: HTTPLimits
  private let handle: @Sendable (HTTPRequest, HTTPResponder) -> Void
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  private var isTooLarge = false
  private var responder: HTTPResponder?

  init(_ limits: HTTPLimits, _ handle: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void) {
    (self.limits, self.handle) = (limits, handle)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
      isTooLarge = length > limits.body
      if !isTooLarge { body.reserveCapacity(length) }
      if head.headers.first(name: "expect")?.lowercased() == "100-continue", !isTooLarge {
        let go = HTTPResponseHead(version: .http1_1, status: .continue)
        context.writeAndFlush(wrapOutboundOut(.head(go)), promise: nil)
      }
      // The rest is not waited for.
      if isTooLarge {
        self.head = nil
        respond(head, context)
      }
    case .body(let buffer):
      guard let head else { return }
      if body.count + buffer.readableBytes > limits.body {
        isTooLarge = true
        self.head = nil
        return respond(head, context)
      }
      if !isTooLarge { body.append(contentsOf: buffer.readableBytesView) }
    case .end:
      guard let head else { return }
      self.head = nil
      respond(head, context)
    }
  }

  private func respond(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let body = body
    self.body = []
    let channel = context.channel
    let loopBound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let responder = HTTPResponder(channel, keepAlive: head.isKeepAlive && !isTooLarge) {
      loopBound.value.responder = nil
    }
    self.responder = responder
    if isTooLarge {
      return responder.send(
        APIError(.tooLarge, "The request's body is larger than \(limits.body) bytes, which this server takes.").reply)
    }
    let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var headers: [String: String] = [:]
    for (name, value) in head.headers { headers[name.lowercased()] = value }
    handle(
      HTTPRequest(
        method: head.method.rawValue, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "",
        headers: headers, body: body), responder)
  }

  func channelInactive(context: ChannelHandlerContext) {
    responder?.disconnected()
    responder = nil
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // Idle: no answer is under way, and no request has come, or not all of it.
    if event is IdleStateHandler.IdleStateEvent, responder == nil { context.close(promise: nil) }
    if case .inputClosed? = event as? ChannelEvent { responder?.disconnected() }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
