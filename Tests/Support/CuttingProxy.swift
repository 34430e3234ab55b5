// A connection that breaks where a test wants it to.

internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Passes bytes on to a server, and closes connections in the midst of replies to POST.
package final class CuttingProxy: Sendable {
  private final class State: Sendable {
    let limit: Mutex<Int?>
    let cuts = Mutex(0)
    init(_ limit: Int?) { self.limit = Mutex(limit) }
  }

  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let channel: any Channel
  private let state: State

  package var port: Int { channel.localAddress?.port ?? 0 }
  /// How many connections were cut.
  package var cuts: Int { state.cuts.withLock { $0 } }

  /// - Parameters:
  ///   - server: the port of this machine that bytes go to.
  ///   - limit: bytes of a reply to POST after which its connection is closed; nil: none is.
  package init(server: Int, limit: Int? = nil) throws {
    let state = State(limit)
    self.state = state
    channel = try ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.autoRead, value: false)
      .childChannelInitializer { front in
        ClientBootstrap(group: front.eventLoop)
          .channelInitializer { back in
            back.eventLoop.makeCompletedFuture {
              try back.pipeline.syncOperations.addHandler(Back(front, state))
            }
          }
          .connect(host: "127.0.0.1", port: server)
          .flatMap { back in
            front.eventLoop.makeCompletedFuture {
              try front.pipeline.syncOperations.addHandler(Front(back, state))
            }.flatMap { front.setOption(.autoRead, value: true) }
          }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
  }

  deinit { group.shutdownGracefully { _ in } }

  /// From now on.
  package func cut(after bytes: Int?) { state.limit.withLock { $0 = bytes } }

  /// What the client sends.
  private final class Front: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let back: any Channel
    private let state: State

    init(_ back: any Channel, _ state: State) { (self.back, self.state) = (back, state) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = unwrapInboundIn(data)
      if bytes.readableBytesView.starts(with: "POST".utf8) {
        let limit = state.limit.withLock { $0 }
        // Both channels are on one loop.
        (try? back.pipeline.syncOperations.handler(type: Back.self))?.left = limit
      }
      back.writeAndFlush(bytes, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { back.close(promise: nil) }
  }

  /// What the server sends.
  private final class Back: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let front: any Channel
    private let state: State
    /// Bytes until the end.
    var left: Int?

    init(_ front: any Channel, _ state: State) { (self.front, self.state) = (front, state) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = unwrapInboundIn(data)
      guard let left else { return front.writeAndFlush(bytes, promise: nil) }
      let part = bytes.readSlice(length: min(left, bytes.readableBytes))!
      self.left = left - part.readableBytes
      let (front, channel) = (front, context.channel)
      guard self.left == 0 else { return front.writeAndFlush(part, promise: nil) }
      state.cuts.withLock { $0 += 1 }
      front.writeAndFlush(part).whenComplete { _ in
        front.close(promise: nil)
        channel.close(promise: nil)
      }
    }

    func channelInactive(context: ChannelHandlerContext) { front.close(promise: nil) }
  }
}
