// The listening socket: connections on SwiftNIO's event loops.
//
// It stands on NIO itself: measured here, a bare reply through NIO costs less than half of one through a framework on top of it,
// and with a small model that is what a request costs.

internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// A server of HTTP/1.1.
package final class HTTPServer: Sendable {
  private let group: MultiThreadedEventLoopGroup
  private let channel: any Channel

  /// The port that was bound.
  package var port: Int { channel.localAddress?.port ?? 0 }

  /// Listens.
  ///
  /// - Parameters:
  ///   - port: 0: any that is free.
  ///   - handle: called for each request on one of the loops, which it must not hold up.
  package init(
    host: String, port: Int, loops: Int, limits: HTTPLimits = HTTPLimits(),
    handle: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
  ) throws {
    group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
          try pipeline.addHandler(IdleStateHandler(readTimeout: .seconds(Int64(limits.idle))))
          try pipeline.addHandler(HTTPConnection(limits, handle))
        }
      }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: false)
    do {
      channel = try bootstrap.bind(host: host, port: port).wait()
    } catch {
      try? group.syncShutdownGracefully()
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
  }
}
