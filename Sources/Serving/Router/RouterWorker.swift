// What a router knows of a worker.

internal import NIOCore

/// Where a worker listens.
package struct WorkerAddress: Sendable, Hashable, CustomStringConvertible {
  package let host: String
  package let port: Int
  /// It speaks TLS.
  package let isEncrypted: Bool

  package init(host: String, port: Int, isEncrypted: Bool = false) {
    (self.host, self.port, self.isEncrypted) = (host, port, isEncrypted)
  }

  /// - Parameter url: `http://host:port`, `https://host:port`, or without either; IPv6 in brackets.
  package init(url: String) throws {
    var text = url[...]
    let isEncrypted = text.hasPrefix("https://")
    if isEncrypted { text = text.dropFirst(8) } else if text.hasPrefix("http://") { text = text.dropFirst(7) }
    while text.hasSuffix("/") { text.removeLast() }
    let colon = text.lastIndex(of: ":")
    let isBare = colon == nil || text.hasSuffix("]")
    let host = isBare ? text : text[..<colon!]
    let port = isBare ? (isEncrypted ? 443 : 80) : Int(text[text.index(after: colon!)...])
    guard let port, (1...65535).contains(port), !host.isEmpty, !host.contains("/"), !host.contains("@"),
      !host.contains(":") || host.hasPrefix("[") && host.hasSuffix("]"),
      host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { throw ServingError("'\(url)' is no worker's address. Give one as http://10.0.0.1:8000.") }
    self.init(
      host: host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : String(host), port: port,
      isEncrypted: isEncrypted)
  }

  /// As requests name it.
  package var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  package var description: String { (isEncrypted ? "https://" : "http://") + authority }

  /// What its certificate is for; nil: its number.
  var serverName: String? { (try? SocketAddress(ipAddress: host, port: port)) == nil ? host : nil }
}

/// What a worker is there for.
package enum WorkerRole: String, Sendable {
  /// It answers requests.
  case decode
  /// It reads prompts for those that do.
  case prefill
}

/// A worker as a router sees it.
package struct RouterWorker: Sendable {
  package enum Health: String, Sendable { case unknown, ready, down }

  package let address: WorkerAddress
  package internal(set) var role: WorkerRole
  package internal(set) var health = Health.unknown
  package internal(set) var breaker: CircuitBreaker
  /// The names of models and adapters that it answers to; nil: not known yet.
  package internal(set) var models: Set<String>?
  /// It can go on with answers that others began.
  package internal(set) var resumes = false
  /// Requests that are there, and blocks of their prompts that it has still to read.
  package internal(set) var active = 0
  package internal(set) var unread = 0
  package internal(set) var prefixes: PrefixTable
  /// No more requests go there; it is forgotten when the last has ended.
  package internal(set) var isLeaving = false
  package internal(set) var sent = 0
  package internal(set) var failures = 0

  init(_ address: WorkerAddress, _ role: WorkerRole, _ settings: RouterSettings) {
    (self.address, self.role) = (address, role)
    breaker = CircuitBreaker(settings.breaker)
    prefixes = PrefixTable(capacity: settings.cacheBlocks)
  }

  /// Whether a request may go there that wants its model.
  func answers(_ request: RoutedRequest, at now: Double) -> Bool {
    isUsable(at: now) && (request.model == nil || models?.contains(request.model!) ?? true)
  }

  /// A request is sent there, so many blocks of whose prompt it has to read.
  mutating func take(_ request: RoutedRequest, unread: Int, at now: Double) {
    breaker.sent(at: now)
    sent += 1
    active += 1
    self.unread += unread
    prefixes.use(request.keys)
  }

  /// Whether a request may go there.
  func isUsable(at now: Double) -> Bool { !isLeaving && health != .down && breaker.allows(at: now) }
}
