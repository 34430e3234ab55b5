// How servers ask each other, apart from the router's hot path (`UpstreamPool`): by AsyncHTTPClient, over TLS where the address says
// so.

internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Whom a client of workers believes.
enum WorkerTrust {
  /// - Parameter authority: a PEM file with the authorities that have signed their certificates; nil: the system's.
  static func configuration(authority: String?) throws -> TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    guard let authority else { return configuration }
    do {
      configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authority))
    } catch {
      throw ServingError(
        "The authority's certificates in \(authority) cannot be used: \(error). It is a PEM file with one or more.")
    }
    return configuration
  }
}

extension HTTPClient {
  /// A client of other servers of this project.
  ///
  /// - Parameter patience: without a byte.
  static func ofWorkers(authority: String?, patience: TimeAmount) throws -> HTTPClient {
    var configuration = HTTPClient.Configuration(
      tlsConfiguration: try WorkerTrust.configuration(authority: authority),
      timeout: HTTPClient.Configuration.Timeout(connect: .seconds(2), read: patience))
    configuration.httpVersion = .http1Only
    // Keys are for whom they were sent to, not for wherever that one points.
    configuration.redirectConfiguration = .disallow
    // A question may wait long for its answer; others are not to wait behind it.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
    // Who does not listen is not there: others are asked instead.
    configuration.connectionPool.retryConnectionEstablishment = false
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// A short question; it fails if there is no reply in two seconds, or one of more than 16 MiB.
  func get(_ url: String, _ headers: [(String, String)]) -> EventLoopFuture<Response> {
    do {
      let request = try Request(url: url, headers: NIOHTTP1.HTTPHeaders(headers))
      return execute(
        request: request, delegate: ResponseAccumulator(request: request, maxBodySize: 16 << 20),
        deadline: .now() + .seconds(2)
      ).futureResult
    } catch {
      return eventLoopGroup.next().makeFailedFuture(error)
    }
  }
}
