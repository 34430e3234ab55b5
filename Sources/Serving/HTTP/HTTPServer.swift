// The listening socket: connections on SwiftNIO's event loops.
//
// It stands on NIO's channels alone: measured here, a bare reply through them costs less than half of one through a framework, and
// with a small model that is what a request costs.

internal import Core
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// A server of HTTP/1.1.
package final class HTTPServer: Sendable {
  /// What its connections share.
  struct Settings: Sendable {
    var configuration: HTTPConfiguration
    var hasTLS: Bool
    var pool: NIOThreadPool
    var handle: HTTPHandler
    var refused: @Sendable (APIError) -> Void
  }

  private let group: MultiThreadedEventLoopGroup
  private let pool: NIOThreadPool
  private let channel: any Channel
  private let certificate: TLSCertificate?

  /// The port that was bound.
  package var port: Int { channel.localAddress?.port ?? 0 }

  /// Threads for requests that take long to read.
  static let threadsAside = 2

  /// Listens.
  ///
  /// - Parameters:
  ///   - port: 0: any that is free.
  ///   - loops: threads that read and write.
  ///   - certificate: nil: without TLS.
  ///   - refused: told of requests that are none.
  ///   - handle: called for each request, on one of the loops if its body is short; it must not hold that up.
  package init(
    host: String, port: Int, loops: Int, _ configuration: HTTPConfiguration = HTTPConfiguration(),
    certificate: TLSCertificate? = nil, refused: @escaping @Sendable (APIError) -> Void = { _ in },
    handle: @escaping HTTPHandler
  ) throws {
    let (group, pool) = (
      MultiThreadedEventLoopGroup(numberOfThreads: loops), NIOThreadPool(numberOfThreads: Self.threadsAside)
    )
    (self.group, self.pool, self.certificate) = (group, pool, certificate)
    pool.start()
    let settings = Settings(
      configuration: configuration, hasTLS: certificate != nil, pool: pool, handle: handle, refused: refused)
    let open = Count()
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        let isOneTooMany = open.add(1) > configuration.connections
        channel.closeFuture.whenComplete { _ in open.add(-1) }
        return channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let certificate { try pipeline.addHandler(NIOSSLServerHandler(context: certificate.context)) }
          if isOneTooMany {
            try pipeline.addHandler(Refusal(configuration.connections))
          } else {
            try pipeline.addHandler(HTTPConnection(settings))
          }
        }
      }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
    do {
      channel = try bootstrap.bind(host: host, port: port).wait()
    } catch {
      try? group.syncShutdownGracefully()
      try? pool.syncShutdownGracefully()
      throw ServingError("Cannot listen on \(host):\(port): \(error). Choose another with --host and --port.")
    }
  }

  /// Takes no more connections and closes those that there are.
  ///
  /// - Parameter seconds: in which what was sent goes out.
  package func shutdown(after seconds: Int = 0) {
    try? channel.close().wait()
    if seconds > 0 { try? group.next().scheduleTask(in: .seconds(Int64(seconds))) {}.futureResult.wait() }
    try? group.syncShutdownGracefully()
    try? pool.syncShutdownGracefully()
  }

  private final class Count: Sendable {
    private let value = Atomic(0)

    @discardableResult
    func add(_ change: Int) -> Int { value.add(change, ordering: .relaxed).newValue }
  }

  /// Answers a connection that is one too many.
  private final class Refusal: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let most: Int

    init(_ most: Int) { self.most = most }

    func channelActive(context: ChannelHandlerContext) {
      let error = APIError(.unavailable, "This server has \(most) connections, the most that it takes.", code: "busy")
      let body = error.json.json
      let text = """
        HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\
        retry-after: 1\r\nconnection: close\r\n\r\n\(body)
        """
      let channel = context.channel
      // A client that does not take it keeps no place.
      context.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text))).whenComplete { _ in
        channel.close(promise: nil)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
