// How an endpoint answers: at once or piece by piece, from any thread.
//
// Invariant: what is sent goes out in the order in which it is sent, and nothing follows the end.

internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// The way back to whoever asked.
package final class HTTPResponder: Sendable {
  private let channel: any Channel
  private let keepAlive: Bool
  private let ended: @Sendable () -> Void
  private struct State {
    var isGone = false
    var whenGone: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  /// - Parameter ended: called on the channel's loop when the reply ends.
  init(_ channel: any Channel, keepAlive: Bool, ended: @escaping @Sendable () -> Void) {
    (self.channel, self.keepAlive, self.ended) = (channel, keepAlive, ended)
  }

  /// Sends the whole reply.
  package func send(_ reply: HTTPReply) {
    perform { channel, this in
      var head = this.head(reply.status, reply.contentType, reply.headers)
      head.headers.add(name: "content-length", value: String(reply.body.count))
      channel.write(HTTPServerResponsePart.head(head), promise: nil)
      channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: reply.body))), promise: nil)
      this.finish(channel)
    }
  }

  /// Begins a reply whose pieces follow.
  package func begin(_ status: Int = 200, contentType: String) {
    perform { channel, this in
      let head = this.head(status, contentType, [("cache-control", "no-cache"), ("x-accel-buffering", "no")])
      channel.write(HTTPServerResponsePart.head(head), promise: nil)
    }
  }

  package func write(_ text: String) {
    perform { channel, _ in
      channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))), promise: nil)
    }
  }

  package func end() { perform { channel, this in this.finish(channel) } }

  /// Calls `action` once if whoever asked goes away before the end, or at once if that has happened.
  package func whenGone(_ action: @escaping @Sendable () -> Void) {
    let isGone = state.withLock { state in
      if !state.isGone { state.whenGone = action }
      return state.isGone
    }
    if isGone { action() }
  }

  /// The connection was closed.
  func disconnected() {
    let action = state.withLock { state in
      state.isGone = true
      defer { state.whenGone = nil }
      return state.whenGone
    }
    action?()
  }

  /// Never at once, also not on the loop itself: what is sent first goes out first wherever it is sent from, and the requests of a
  /// pipeline do not answer each other on one stack.
  private func perform(_ action: @escaping @Sendable (any Channel, HTTPResponder) -> Void) {
    channel.eventLoop.execute { [self] in action(channel, self) }
  }

  private func head(_ status: Int, _ contentType: String, _ headers: [(String, String)]) -> HTTPResponseHead {
    var head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
    head.headers.add(name: "content-type", value: contentType)
    for (name, value) in headers { head.headers.add(name: name, value: value) }
    if !keepAlive { head.headers.add(name: "connection", value: "close") }
    return head
  }

  private func finish(_ channel: any Channel) {
    state.withLock { $0.whenGone = nil }
    // Before the end is written, with which the next request of the connection may be handed on.
    ended()
    if keepAlive {
      channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    } else {
      channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { [channel] _ in
        channel.close(promise: nil)
      }
    }
  }
}
