// What a router knows of a worker.

/// Where a worker listens.
package struct WorkerAddress: Sendable, Hashable, CustomStringConvertible {
  package let host: String
  package let port: Int

  package init(host: String, port: Int) { (self.host, self.port) = (host, port) }

  /// - Parameter url: `http://host:port`, or without `http://`; IPv6 in brackets.
  package init(url: String) throws {
    var text = url[...]
    if text.hasPrefix("http://") { text = text.dropFirst(7) }
    while text.hasSuffix("/") { text.removeLast() }
    let colon = text.lastIndex(of: ":")
    let isBare = colon == nil || text.hasSuffix("]")
    let host = isBare ? text : text[..<colon!]
    let port = isBare ? 80 : Int(text[text.index(after: colon!)...])
    guard let port, (1...65535).contains(port), !host.isEmpty, !host.contains("/"), !host.contains("@"),
      !host.contains(":") || host.hasPrefix("[") && host.hasSuffix("]"),
      host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { throw ServingError("'\(url)' is no worker's address. Give one as http://10.0.0.1:8000.") }
    self.init(host: host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : String(host), port: port)
  }

  package var description: String { host.contains(":") ? "http://[\(host)]:\(port)" : "http://\(host):\(port)" }
}

/// A worker as a router sees it.
package struct RouterWorker: Sendable {
  package enum Health: String, Sendable { case unknown, ready, down }

  package let address: WorkerAddress
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

  init(_ address: WorkerAddress, _ settings: RouterSettings) {
    self.address = address
    breaker = CircuitBreaker(settings.breaker)
    prefixes = PrefixTable(capacity: settings.cacheBlocks)
  }

  /// Whether a request may go there.
  func isUsable(at now: Double) -> Bool { !isLeaving && health != .down && breaker.allows(at: now) }
}
