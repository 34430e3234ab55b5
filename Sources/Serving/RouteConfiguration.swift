// Everything that an operator chooses about a router, as one value.

public import Core

/// How a worker is chosen among those that can answer.
public enum RoutingPolicy: String, Codable, Sendable, CaseIterable {
  case roundRobin = "round-robin"
  case random
  /// The less loaded of two that chance picks (Mitzenmacher, "The power of two choices", 2001).
  case powerOfTwo = "power-of-two"
  /// Where the prompt will have been read first.
  case cacheAware = "cache-aware"
}

/// Where Kubernetes tells of workers.
public struct KubernetesConfiguration: Configuration, Hashable {
  /// Its API server; `kubectl proxy` beside the router gives it without TLS.
  public var api = "http://127.0.0.1:8001"
  /// A file with the account's token; nil: none is brought.
  public var token: String?
  /// A PEM file with the authority that has signed its certificate; nil: the system's.
  public var authority: String?

  public init() {}
}

/// A router of many servers.
public struct RouteConfiguration: Configuration {
  /// Who answers: `http://host:port`, `https://host:port`, `dns://name:port` or `k8s://namespace/service:port`.
  public var workers: [String] = []
  /// Who reads prompts for them.
  public var prefillWorkers: [String] = []
  /// The address to listen on; 0.0.0.0 for all of the machine's.
  public var host = "127.0.0.1"
  /// 0: any that is free.
  public var port = 8080
  public var policy = RoutingPolicy.cacheAware
  /// What keeps a client on one worker: a header, or `user` for that member of requests; nil: nothing.
  public var session: String?
  /// Tokens that a worker's cache holds, about.
  public var cacheTokens = 2_000_000
  /// Tokens of a prompt, about, that are to be read, from which on a prefill worker reads them.
  public var prefillTokens = 1024
  /// Workers that a request is tried on at most.
  public var attempts = 3
  /// Seconds between looks at the workers.
  public var interval = 2.0
  /// Seconds without a byte after which a worker is given up.
  public var patience = 300.0
  /// A file with the key for /workers and /metrics; nil: the former are closed, the latter open.
  public var adminKey: String?
  /// A file with the key that workers want for /v1/models.
  public var workerKey: String?
  /// A file with the key that workers share, before they read prompts for each other.
  public var transferKey: String?
  /// A PEM file with the authorities that have signed workers' certificates; nil: the system's.
  public var workerAuthority: String?
  public var kubernetes = KubernetesConfiguration()
  /// PEM files with the router's own certificate and its private key; nil: without TLS.
  public var tlsCertificate: String?
  public var tlsKey: String?
  /// Threads that pass requests on.
  public var threads = 1
  public var http = HTTPConfiguration()

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check((0...65535).contains(port), "port", port, "must be from 0 to 65535")
    check((1...1 << 40).contains(cacheTokens), "cacheTokens", cacheTokens, "must be positive")
    check((1...1 << 40).contains(prefillTokens), "prefillTokens", prefillTokens, "must be positive")
    check((1...1000).contains(attempts), "attempts", attempts, "must be from 1 to 1000")
    check((1...1024).contains(threads), "threads", threads, "must be from 1 to 1024")
    check(interval > 0 && interval < 1e6, "interval", interval, "must be more than 0 seconds")
    check(patience > 0 && patience < 1e6, "patience", patience, "must be more than 0 seconds")
    check(
      prefillWorkers.isEmpty || transferKey != nil, "transferKey", "null",
      "must be given with prefillWorkers: a file with the key of the workers' own --transfer-key")
    check(
      Set(sources(workers)).isDisjoint(with: sources(prefillWorkers)), "prefillWorkers", "\(prefillWorkers)",
      "must not be among workers")
    check(
      (tlsCertificate == nil) == (tlsKey == nil), "tlsKey", tlsKey ?? "null",
      "must be given with tlsCertificate, and only with it")
  }

  /// However their addresses are spelled; those that are none are reported when they are used.
  private func sources(_ texts: [String]) -> [WorkerSource] {
    texts.compactMap { try? WorkerSource($0, api: kubernetes.api, token: kubernetes.token) }
  }

  /// What decisions depend on.
  package var options: RouterOptions {
    var options = RouterOptions()
    options.decisions.policy = policy
    options.decisions.attempts = attempts
    options.decisions.cacheBlocks = max(1, cacheTokens / PrefixKeys.blockTokens)
    options.decisions.prefillBlocks = max(1, prefillTokens / PrefixKeys.blockTokens)
    options.decisions.seed = UInt64.random(in: 0...UInt64.max)
    options.session = session?.lowercased()
    (options.interval, options.patience, options.authority) = (interval, patience, workerAuthority)
    return options
  }

  /// Where workers are found.
  package func groups() throws -> [WorkerGroup] {
    func groups(_ texts: [String], _ role: WorkerRole) throws -> [WorkerGroup] {
      try texts.map { WorkerGroup(try WorkerSource($0, api: kubernetes.api, token: kubernetes.token), role) }
    }
    return try groups(workers, .decode) + groups(prefillWorkers, .prefill)
  }
}
