// Where workers are found: given, by the A records of a name, or as the endpoints of a Kubernetes service.

internal import AsyncHTTPClient
internal import Core
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1

/// A place that tells of workers.
package enum WorkerSource: Sendable, Hashable {
  case given(WorkerAddress)
  /// All addresses of a name, at one port.
  case dns(name: String, port: Int)
  /// The ready endpoints of a service, asked of an API server.
  ///
  /// - Parameters:
  ///   - port: nil: the service's first.
  ///   - token: a file with the account's token; nil: none is brought.
  case kubernetes(api: WorkerAddress, namespace: String, service: String, port: Int?, token: String?)

  /// - Parameters:
  ///   - text: `http://host:port`, `dns://name:port` or `k8s://namespace/service:port`.
  ///   - api: of Kubernetes.
  ///   - token: of Kubernetes.
  package init(_ text: String, api: String, token: String?) throws {
    func parts(_ scheme: String) -> (name: String, port: Int?)? {
      guard text.hasPrefix(scheme) else { return nil }
      let rest = text.dropFirst(scheme.count)
      guard let colon = rest.lastIndex(of: ":") else { return (String(rest), nil) }
      return (String(rest[..<colon]), Int(rest[rest.index(after: colon)...]) ?? 0)
    }
    if let (name, port) = parts("dns://") {
      guard !name.isEmpty, let port, (1...65535).contains(port) else {
        throw ServingError("'\(text)' is no name with a port; give one as dns://workers.example:8000.")
      }
      self = .dns(name: name, port: port)
    } else if let (path, port) = parts("k8s://") {
      let names = path.split(separator: "/").map(String.init)
      guard names.count == 2, port.map({ (1...65535).contains($0) }) ?? true,
        names.allSatisfy({
          $0.utf8.allSatisfy { ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || (0x2D...0x39).contains($0) }
        })
      else { throw ServingError("'\(text)' is no service; give one as k8s://namespace/service:8000.") }
      self = .kubernetes(
        api: try WorkerAddress(url: api), namespace: names[0], service: names[1], port: port, token: token)
    } else {
      self = .given(try WorkerAddress(url: text))
    }
  }

  /// The workers that are there now; nil: it could not be found out. Waits for answers of others.
  ///
  /// - Parameter client: of Kubernetes.
  func addresses(_ client: HTTPClient) -> Set<WorkerAddress>? {
    switch self {
    case .given(let address): return [address]
    case .dns(let name, let port): return Self.resolve(name).map { Set($0.map { WorkerAddress(host: $0, port: port) }) }
    case .kubernetes(let api, let namespace, let service, let port, let token):
      var headers = [("accept", "application/json")]
      if let token, let text = try? String(contentsOfFile: token, encoding: .utf8) {
        headers.append(("authorization", "Bearer \(text.filter { !$0.isWhitespace })"))
      }
      let path =
        "/apis/discovery.k8s.io/v1/namespaces/\(namespace)/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D\(service)"
      guard let reply = try? client.get("\(api)\(path)", headers).wait(), reply.status == .ok, let body = reply.body,
        let list = try? JSONValue(parsing: String(buffer: body)), let slices = list["items"]?.array
      else { return nil }
      return Self.endpoints(of: slices, port)
    }
  }

  /// The addresses of EndpointSlices that are ready or do not say.
  static func endpoints(of slices: [JSONValue], _ port: Int?) -> Set<WorkerAddress> {
    var result: Set<WorkerAddress> = []
    for slice in slices {
      guard let port = port ?? slice["ports"]?.array?.first?["port"]?.integer else { continue }
      for endpoint in slice["endpoints"]?.array ?? [] where endpoint["conditions"]?["ready"] != false {
        for address in endpoint["addresses"]?.array ?? [] {
          if let host = address.string { result.insert(WorkerAddress(host: host, port: port)) }
        }
      }
    }
    return result
  }

  private static func resolve(_ name: String) -> [String]? {
    var hints = addrinfo()
    hints.ai_family = AF_INET
    hints.ai_protocol = Int32(IPPROTO_TCP)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &list) == 0 else { return nil }
    defer { freeaddrinfo(list) }
    var result: [String] = []
    var entry = list
    while let info = entry?.pointee {
      var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      if getnameinfo(info.ai_addr, info.ai_addrlen, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0 {
        result.append(String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
      entry = info.ai_next
    }
    return result
  }
}
