// Requests to a hub over HTTP: who asks, redirects, and what the answers mean.
//
// Invariant: the token is put into a request only if its address is the hub's own (see HubEndpoint), which is decided anew
// at every redirect. Whatever fails is either a `TemporaryFailure`, which is worth another attempt, or a `FormatsError`.

internal import AsyncHTTPClient
internal import Core
internal import NIOCore
internal import NIOHTTP1
internal import FoundationEssentials

/// The answer to a request: its head, and a body that is still to come.
struct HubResponse: Sendable {
  let status: Int
  let headers: HTTPHeaders
  let body: HTTPClientResponse.Body
  /// What the hub itself said before it sent the client elsewhere; the same as `headers` where it did not.
  let hubHeaders: HTTPHeaders
}

/// A client of one hub.
struct HubClient: Sendable {
  let endpoint: HubEndpoint
  private let http: HTTPClient

  private static let mostRedirects = 8
  /// A list of files larger than this is not credible.
  private static let mostListingBytes = 64 << 20

  /// Calls `body` with a client, and closes its connections afterwards.
  static func with<Result>(
    _ endpoint: HubEndpoint, connections: Int, retries: HubRetries, _ body: (HubClient) async throws -> Result
  ) async throws -> Result {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: .init(connect: .seconds(15), read: .milliseconds(Int64(retries.silence * 1000))),
      decompression: .disabled)
    // With HTTP/2 all ranges of a file would share one connection.
    configuration.httpVersion = .http1Only
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
    // Whether and when to try again is decided by HubRetries.
    configuration.connectionPool.retryConnectionEstablishment = false
    try endpoint.network.apply(to: &configuration)
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    let result: Swift.Result<Result, any Error>
    do { result = .success(try await body(HubClient(endpoint: endpoint, http: http))) } catch {
      result = .failure(error)
    }
    try? await http.shutdown()
    return try result.get()
  }

  // MARK: The list of files

  /// The files of a model at a revision (a branch, a tag or a commit).
  func snapshot(of model: HubModel, revision: String) async throws -> HubSnapshot {
    let address = endpoint.listing(of: model, revision: revision)
    let response = try await get(address, headers: [:])
    guard response.status == 200 else {
      throw refusal(response, model: model, part: "revision \(quoted(revision))")
    }
    do {
      let body = try await response.body.collect(upTo: Self.mostListingBytes)
      return try HubSnapshot(parsing: Array(body.readableBytesView), model: model)
    } catch is NIOTooManyBytesError {
      throw FormatsError(
        .malformed, "The hub's list of files of \(model.name) does not end; is \(endpoint.host) a hub?")
    } catch let error as FormatsError {
      throw error
    } catch {
      throw try Self.lost(error)
    }
  }

  // MARK: Requests

  /// Sends a GET request and follows redirects; returns whatever answer that leads to.
  func get(_ address: String, headers: HTTPHeaders) async throws -> HubResponse {
    var address = address
    var hubHeaders: HTTPHeaders?
    for _ in 0..<Self.mostRedirects {
      var request = HTTPClientRequest(url: address)
      request.headers = headers
      request.headers.add(name: "User-Agent", value: "tachornis")
      request.headers.add(name: "Accept-Encoding", value: "identity")
      if let token = endpoint.token(for: address) {
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
      }
      let response: HTTPClientResponse
      do { response = try await http.execute(request, deadline: .distantFuture) } catch { throw try Self.lost(error) }
      if hubHeaders == nil || endpoint.owns(address) { hubHeaders = response.headers }
      guard [301, 302, 303, 307, 308].contains(response.status.code) else {
        if let failure = temporaryFailure(response, from: address) { throw failure }
        return HubResponse(
          status: Int(response.status.code), headers: response.headers, body: response.body,
          hubHeaders: hubHeaders ?? response.headers)
      }
      address = try Self.target(of: response.headers.first(name: "Location"), from: address)
    }
    throw FormatsError(.network, "\(endpoint.host) redirects in circles; check --host or HF_ENDPOINT.")
  }

  /// Where a redirect leads.
  private static func target(of location: String?, from address: String) throws -> String {
    guard let location, let url = URL(string: location, relativeTo: URL(string: address))?.absoluteURL,
      let next = Origin(url.absoluteString)
    else { throw FormatsError(.network, "The hub redirects to \(quoted(location ?? "")), which is no address.") }
    guard next.scheme == "https" || Origin(address)?.scheme == "http" else {
      throw FormatsError(
        .network, "The hub redirects from https to \(quoted(url.absoluteString)), which is not encrypted; refused.")
    }
    return url.absoluteString
  }

  /// Whether an answer says that another attempt may go better.
  private func temporaryFailure(_ response: HTTPClientResponse, from address: String) -> TemporaryFailure? {
    let status = Int(response.status.code)
    let server = Origin(address)?.host ?? address
    // The address of a file on a delivery network is signed and expires; the next attempt gets a new one.
    let hasExpired = !endpoint.owns(address) && [401, 403, 404, 410].contains(status)
    guard hasExpired || [408, 425, 429].contains(status) || (500...599).contains(status) else { return nil }
    let delay = response.headers.first(name: "Retry-After").flatMap(Double.init)
    let meaning = status == 429 ? "too many requests" : "HTTP \(status)"
    return TemporaryFailure(reason: "\(server) answered \(meaning)", delay: delay.map { max(0, $0) })
  }

  /// A failure of the connection as something to try again; cancellation as itself.
  static func lost(_ error: any Error) throws -> any Error {
    if error is CancellationError || Task.isCancelled { throw CancellationError() }
    if error is TemporaryFailure || error is FormatsError { return error }
    if let error = error as? IOError { return TemporaryFailure(reason: String(cString: strerror(error.errnoCode))) }
    if "\(error)".contains("CERTIFICATE_VERIFY_FAILED") {
      return FormatsError(
        .network,
        "The server's certificate is not trusted; check --host or HF_ENDPOINT. Behind a company's proxy, set SSL_CERT_FILE to "
          + "a file with its certificate in PEM.",
        cause: error)
    }
    return switch error as? HTTPClientError {
    case .readTimeout: TemporaryFailure(reason: "nothing arrived for a long time")
    case .connectTimeout: TemporaryFailure(reason: "the server cannot be reached in time")
    case .remoteConnectionClosed: TemporaryFailure(reason: "the connection was closed")
    default: TemporaryFailure(reason: "\(error)")
    }
  }

  // MARK: Refusals

  /// What an answer other than success means, and what to do.
  func refusal(_ response: HubResponse, model: HubModel, part: String) -> FormatsError {
    let kind = response.hubHeaders.first(name: "X-Error-Code") ?? ""
    let model = model.name
    let token = "in HF_TOKEN or in ~/.cache/huggingface/token (tokens are made at \(endpoint.host)/settings/tokens)"
    switch (response.status, kind) {
    case (401, "GatedRepo"), (403, "GatedRepo"),
      (403, _) where endpoint.hasToken:
      return FormatsError(
        .denied,
        "\(model) is gated: open \(endpoint.host)/\(model) in a browser and accept its conditions, then give an access "
          + "token of that account \(token)."
          + (endpoint.hasToken ? " The token that was given has no access to it." : ""))
    case (401, _), (403, _):
      return FormatsError(
        .denied,
        "\(endpoint.host) does not let \(endpoint.hasToken ? "this token" : "everybody") read \(model): check the name; if the "
          + "model is private or gated, give an access token that may read it \(token).")
    case (404, "RevisionNotFound"), (404, "EntryNotFound"):
      return FormatsError(.missing, "\(model) has no \(part); look at \(endpoint.host)/\(model)/tree/main.")
    case (404, _):
      return FormatsError(
        .missing,
        "There is no \(model) with \(part) at \(endpoint.host); check the name, and that --host or HF_ENDPOINT is a hub."
      )
    default:
      return FormatsError(
        .network,
        "\(endpoint.host) answered HTTP \(response.status) for \(model), \(part); this program does not know why.")
    }
  }
}
