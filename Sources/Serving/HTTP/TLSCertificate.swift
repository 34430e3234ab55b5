// The certificate that a server shows, and its key, in files that may be replaced while it runs.

internal import NIOSSL
internal import Synchronization

/// A chain of certificates with its key. New connections get the newest that was read.
package final class TLSCertificate: Sendable {
  private let chain: String
  private let key: String
  private let newest: Mutex<NIOSSLContext>

  /// - Parameters:
  ///   - chain: a PEM file with the server's certificate and those that lead to its root.
  ///   - key: a PEM file with the private key.
  /// - Throws: `ServingError` if the files cannot be read or do not belong together.
  package init(chain: String, key: String) throws {
    (self.chain, self.key) = (chain, key)
    newest = Mutex(try TLSCertificate.read(chain, key))
  }

  var context: NIOSSLContext { newest.withLock { $0 } }

  /// Reads the files again; if they cannot be used, the former stay in force.
  package func reload() throws {
    let context = try TLSCertificate.read(chain, key)
    newest.withLock { $0 = context }
  }

  private static func read(_ chain: String, _ key: String) throws -> NIOSSLContext {
    do {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMFile(chain).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["http/1.1"]
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw ServingError(
        "The certificate \(chain) with the key \(key) cannot be used: \(error). Both are PEM files; the first holds the server's "
          + "certificate and those that lead to its root.")
    }
  }
}
