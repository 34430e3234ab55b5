// How a hub is reached from within a company's network, by the variables that other programs read: SSL_CERT_FILE for
// certificates, HTTPS_PROXY (for http HTTP_PROXY) and NO_PROXY for a proxy.
//
// Invariant: the hub decides whether a proxy is used, also for the servers that it redirects to.

internal import AsyncHTTPClient
internal import FoundationEssentials
internal import NIOSSL

/// Trusted certificates and a proxy.
package struct HubNetwork: Sendable {
  /// Where a proxy is, and who asks.
  package struct Proxy: Sendable, Equatable {
    package var host: String
    package var port: Int
    package var user: String?
    package var password: String?

    package init(host: String, port: Int, user: String? = nil, password: String? = nil) {
      self.host = host
      self.port = port
      self.user = user
      self.password = password
    }
  }

  /// A file of certificates in PEM, which are trusted instead of the system's.
  package let certificateFile: String?
  package let proxy: Proxy?

  /// What the environment says for a hub.
  /// - Throws: `FormatsError.Code.setting` where the proxy's address is malformed.
  package init(for hub: String, environment: [String: String]) throws(FormatsError) {
    func variable(_ names: String...) -> (name: String, value: String)? {
      for name in names { if let value = environment[name], !value.isEmpty { return (name, value) } }
      return nil
    }
    certificateFile = variable("SSL_CERT_FILE")?.value
    let origin = Origin(hub)
    let found =
      origin?.scheme == "http"
      ? variable("http_proxy", "HTTP_PROXY") : variable("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    let exceptions = variable("no_proxy", "NO_PROXY")?.value ?? ""
    guard let origin, let found, !origin.isThisMachine, !Self.excepts(exceptions, origin.host) else {
      proxy = nil
      return
    }
    let address = found.value.contains("://") ? found.value : "http://" + found.value
    guard let url = URL(string: address), url.scheme == "http", let host = url.host(), !host.isEmpty else {
      throw FormatsError(
        .setting,
        "\(found.name) is \(quoted(withoutCredentials(found.value))); it must be like http://proxy.example:3128.")
    }
    proxy = Proxy(
      host: host, port: url.port ?? 80, user: url.user(percentEncoded: false),
      password: url.password(percentEncoded: false))
  }

  /// Whether a list such as `localhost,.example.com` names a host or a domain that it is in.
  private static func excepts(_ list: String, _ host: String) -> Bool {
    list.split(separator: ",").contains { entry in
      let name = entry.filter { !$0.isWhitespace }.lowercased()
      let domain = name.hasPrefix(".") ? String(name.dropFirst()) : name
      return name == "*" || host == domain || !domain.isEmpty && host.hasSuffix("." + domain)
    }
  }

  func apply(to configuration: inout HTTPClient.Configuration) throws(FormatsError) {
    if let proxy {
      configuration.proxy = .server(
        host: proxy.host, port: proxy.port,
        authorization: proxy.user.map { .basic(username: $0, password: proxy.password ?? "") })
    }
    guard let certificateFile else { return }
    do {
      let certificates = try NIOSSLCertificate.fromPEMFile(certificateFile)
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .certificates(certificates)
      configuration.tlsConfiguration = tls
    } catch {
      throw FormatsError(
        .setting, "SSL_CERT_FILE is \(quoted(certificateFile)), which holds no certificates in PEM: \(error).",
        cause: error)
    }
  }
}
