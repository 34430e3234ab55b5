// Looks at workers and at where they are found, every few seconds, on a thread of its own.

internal import Core
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Keeps a router's workers up to date.
package final class WorkerSupervisor: Sendable {
  private let service: RouterService
  private let sources: [WorkerSource]
  private let isStopped = Atomic(false)

  /// Adds the workers that are there, and goes on looking.
  package init(_ service: RouterService, _ sources: [WorkerSource]) {
    (self.service, self.sources) = (service, sources)
    var found = [Set<WorkerAddress>](repeating: [], count: sources.count)
    look(&found)
    Threads.start { [self, found] in
      var found = found
      var next = MonotonicClock().seconds + service.options.interval
      while !isStopped.load(ordering: .relaxed) {
        if MonotonicClock().seconds < next {
          // Short, so that stopping takes no time.
          try? MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .milliseconds(50)) {}.futureResult.wait()
          continue
        }
        next = MonotonicClock().seconds + service.options.interval
        look(&found)
      }
    }
  }

  package func stop() { isStopped.store(true, ordering: .relaxed) }

  private func look(_ found: inout [Set<WorkerAddress>]) {
    for (index, source) in sources.enumerated() {
      // Where nothing can be found out, what was known stays.
      guard let addresses = source.addresses() else { continue }
      for address in addresses.subtracting(found[index]) { service.add(address) }
      for address in found[index].subtracting(addresses) { service.remove(address) }
      found[index] = addresses
    }
    var headers: [(String, String)] = []
    if let key = service.options.workerKey { headers.append(("authorization", "Bearer \(key)")) }
    let asked = service.workers.map(\.address).map { address in
      (
        address, SimpleRequest.get(address, "/ready", headers), SimpleRequest.get(address, "/v1/models", headers)
      )
    }
    for (address, ready, models) in asked {
      let (ready, models) = (try? ready.wait(), try? models.wait())
      // A server that knows no /ready is ready when it can say what it has.
      guard let ready, ready.status == 200 || ready.status == 404, let models, models.status == 200 else {
        service.probed(address, nil)
        continue
      }
      service.probed(address, (try? JSONValue(parsing: String(buffer: models.body)))?["data"]?.array ?? [])
    }
  }
}

/// A request on a connection of its own.
enum SimpleRequest {
  struct Reply: Sendable {
    var status: Int
    var body: ByteBuffer
  }

  /// Fails if there is no reply in two seconds.
  static func get(
    _ address: WorkerAddress, _ path: String, _ headers: [(String, String)]
  ) -> EventLoopFuture<Reply> {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: Reply.self)
    var text = "GET \(path) HTTP/1.1\r\nhost: \(address.host):\(address.port)\r\nconnection: close\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    let bytes = ByteBuffer(string: text + "\r\n")
    ClientBootstrap(group: loop)
      .connectTimeout(.seconds(2))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(bytes, promise))
        }
      }
      .connect(host: address.host, port: address.port)
      .whenFailure { promise.fail($0) }
    return promise.futureResult
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let request: ByteBuffer
    private let promise: EventLoopPromise<Reply>
    private var reader = ReplyReader()
    private var unread = ByteBuffer()
    private var reply: Reply?

    init(_ request: ByteBuffer, _ promise: EventLoopPromise<Reply>) {
      (self.request, self.promise) = (request, promise)
    }

    func channelActive(context: ChannelHandlerContext) {
      context.writeAndFlush(wrapOutboundOut(request), promise: nil)
      let channel = context.channel
      context.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = unwrapInboundIn(data)
      unread.writeBuffer(&bytes)
      do throws(ReplyError) {
        while let part = try reader.next(&unread) {
          switch part {
          case .head(let head): reply = Reply(status: head.status, body: ByteBuffer())
          case .body(var bytes):
            reply?.body.writeBuffer(&bytes)
            if reply.map({ $0.body.readableBytes > 16 << 20 }) ?? false { return context.close(promise: nil) }
          case .end:
            if let reply { promise.succeed(reply) }
            return context.close(promise: nil)
          }
        }
      } catch {
        context.close(promise: nil)
      }
    }

    func channelInactive(context: ChannelHandlerContext) {
      if let reply, reader.endsWithConnection { promise.succeed(reply) }
      promise.fail(ChannelError.eof)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
