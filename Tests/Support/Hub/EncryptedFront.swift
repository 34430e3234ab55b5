// TLS in front of a server in this process: what it decrypts goes to a port of this machine, what comes back is encrypted.

import NIOCore
import NIOPosix
import NIOSSL

package final class EncryptedFront: Sendable {
  /// Where it listens.
  package let port: Int
  private let listener: any Channel

  /// Starts listening at a free port.
  /// - Parameters:
  ///   - certificate: the file of a certificate in PEM, and `key` that of its private key.
  ///   - port: of the server behind it.
  package init(certificate: String, key: String, port: Int) async throws {
    let settings = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
    let context = try NIOSSLContext(configuration: settings)
    listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .childChannelInitializer { channel in
        do { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) } catch {
          return channel.eventLoop.makeFailedFuture(error)
        }
        return ClientBootstrap(group: channel.eventLoop)
          .channelInitializer { server in
            server.eventLoop.makeCompletedFuture {
              try server.pipeline.syncOperations.addHandler(Forwarder(to: channel))
            }
          }
          .connect(host: "127.0.0.1", port: port)
          .flatMapThrowing { server in try channel.pipeline.syncOperations.addHandler(Forwarder(to: server)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    self.port = listener.localAddress!.port!
  }

  deinit { listener.close(promise: nil) }
}

/// Writes what one side sends to the other, and ends with it.
private final class Forwarder: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let other: any Channel

  init(to other: any Channel) { self.other = other }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    other.writeAndFlush(unwrapInboundIn(data), promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }

  // A client that does not trust the certificate ends the handshake: that is what a test is after.
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
