// Connections of one event loop to workers: kept while they are good, one request at a time on each.

internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// What a connection tells whoever has it.
protocol UpstreamReceiver: AnyObject {
  /// Whether the reply is still of use.
  var isWaiting: Bool { get }
  func received(_ part: ReplyReader.Part)
  /// No reply, or not all of one.
  ///
  /// - Parameter wasKept: the connection had served others, and may have been closed by the worker before it got the request.
  func broke(_ reason: String, wasKept: Bool)
}

/// A connection to a worker.
final class UpstreamConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let address: WorkerAddress
  private let pool: UpstreamPool
  private var context: ChannelHandlerContext?
  private var reader = ReplyReader()
  private var unread = ByteBuffer()
  private var head: ReplyHead?
  private var wasKept = false
  private(set) var receiver: (any UpstreamReceiver)?
  /// When the last byte came, or the request went out.
  private(set) var progress = NIODeadline.now()

  init(_ address: WorkerAddress, _ pool: UpstreamPool) { (self.address, self.pool) = (address, pool) }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  var isOpen: Bool { context?.channel.isActive ?? false }

  func send(_ bytes: ByteBuffer, for receiver: any UpstreamReceiver) {
    (self.receiver, progress) = (receiver, .now())
    guard let context else { return broke("the connection was closed") }
    context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
  }

  /// Gives the request up; the worker notices by the connection's end.
  func cancel() {
    receiver = nil
    close()
  }

  /// The worker took too long.
  func abandon(_ reason: String) {
    wasKept = false
    broke(reason)
    close()
  }

  func close() {
    context?.close(promise: nil)
    context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // What comes unasked would be taken for the next request's reply.
    guard receiver != nil else {
      pool.forget(self)
      return close()
    }
    var bytes = unwrapInboundIn(data)
    progress = .now()
    if unread.readableBytes == 0 { unread = bytes } else { unread.writeBuffer(&bytes) }
    do throws(ReplyError) {
      while let receiver {
        guard let part = try reader.next(&unread) else { return }
        if case .head(let head) = part { self.head = head }
        if case .end = part {
          let keeps = head?.keepsAlive == true && unread.readableBytes == 0
          (self.receiver, head, wasKept) = (nil, nil, true)
          if keeps { pool.keep(self) } else { close() }
          return receiver.received(.end)
        }
        receiver.received(part)
      }
    } catch {
      abandon("its reply is not HTTP's: \(error.message)")
    }
  }

  private func broke(_ reason: String) {
    guard let receiver else { return }
    self.receiver = nil
    receiver.broke(reason, wasKept: wasKept && head == nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.context = nil
    pool.forget(self)
    guard let receiver else { return }
    if reader.endsWithConnection {
      self.receiver = nil
      receiver.received(.end)
    } else {
      broke("the connection was closed")
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// The connections of one loop, on which all of it is used.
final class UpstreamPool {
  let loop: any EventLoop
  /// For workers that speak TLS.
  private let trust: TLSConfiguration
  private var tls: NIOSSLContext?
  /// Seconds without a byte after which a worker is given up.
  private let patience: Double
  private var idle: [WorkerAddress: [UpstreamConnection]] = [:]
  private var busy: [ObjectIdentifier: UpstreamConnection] = [:]

  init(_ loop: any EventLoop, _ trust: TLSConfiguration, patience: Double) {
    (self.loop, self.trust, self.patience) = (loop, trust, patience)
    watch()
  }

  /// Sends a request on a kept connection or a new one.
  ///
  /// - Returns: by what to cancel it.
  func send(_ bytes: ByteBuffer, to address: WorkerAddress, fresh: Bool = false, for receiver: any UpstreamReceiver) {
    while !fresh, let connection = idle[address]?.popLast() {
      guard connection.isOpen else { continue }
      busy[ObjectIdentifier(connection)] = connection
      return connection.send(bytes, for: receiver)
    }
    ClientBootstrap(group: loop)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .connectTimeout(.seconds(3))
      .connect(host: address.host, port: address.port)
      .assumeIsolated()
      .whenComplete { result in
        do {
          let channel = try result.get()
          if address.isEncrypted {
            let tls = try self.tls ?? NIOSSLContext(configuration: self.trust)
            self.tls = tls
            let handler = try NIOSSLClientHandler(context: tls, serverHostname: address.serverName)
            try channel.pipeline.syncOperations.addHandler(handler)
          }
          let connection = UpstreamConnection(address, self)
          try channel.pipeline.syncOperations.addHandler(connection)
          guard receiver.isWaiting else { return self.keep(connection) }
          self.busy[ObjectIdentifier(connection)] = connection
          connection.send(bytes, for: receiver)
        } catch {
          receiver.broke("it cannot be connected to", wasKept: false)
        }
      }
  }

  /// Gives up what was asked for.
  func cancel(_ receiver: any UpstreamReceiver) {
    for connection in busy.values where connection.receiver === receiver {
      busy[ObjectIdentifier(connection)] = nil
      return connection.cancel()
    }
  }

  func keep(_ connection: UpstreamConnection) {
    busy[ObjectIdentifier(connection)] = nil
    idle[connection.address, default: []].append(connection)
  }

  func forget(_ connection: UpstreamConnection) {
    busy[ObjectIdentifier(connection)] = nil
    idle[connection.address]?.removeAll { $0 === connection }
  }

  private func watch() {
    let oldest = NIODeadline.now() - .nanoseconds(Int64(patience * 1e9))
    for connection in Array(busy.values) where connection.progress < oldest {
      busy[ObjectIdentifier(connection)] = nil
      connection.abandon("nothing came from it in \(patience) s")
    }
    loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in self?.watch() }
  }
}
