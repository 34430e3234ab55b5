import ArgumentParser
import Core
import Serving

struct Route: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put many servers behind one address.",
    discussion: """
      Examples:
        tachornis route --workers http://10.0.0.1:8000,http://10.0.0.2:8000
        tachornis route --workers dns://workers.example:8000 --policy power-of-two --session x-session-id
        tachornis route --workers k8s://default/llama:8000 --kubernetes http://127.0.0.1:8001
        tachornis route --workers https://10.0.0.1:8000 --worker-ca ca.pem
        tachornis route --workers http://10.0.0.1:8000 --prefill-workers http://10.0.0.9:8000 --transfer-key transfer.key
        tachornis route --config route.json5 --set attempts=2
        tachornis route --simulate conversation.jsonl --simulated-workers 4

      Workers are asked for /ready and /v1/models every two seconds; requests go to those that have the model or adapter that \
      they name. A request that fails before its first byte goes to another worker. A stream whose worker dies goes on from another \
      `tachornis serve`, and its client sees nothing of it.

      With --prefill-workers a long prompt is read on one of those, and the blocks of its cache move to the worker that answers; the \
      answer is the same, and whatever goes wrong there costs time only.

      Its own paths: /health, /ready, /v1/models (of all workers), /version, /metrics, and with --admin-key /workers: GET shows \
      them, POST and DELETE {"url": "http://…"} add and remove one. SIGHUP reads workers, keys and certificates again; streams go on.
      """)

  @Option(
    help: ArgumentHelp(
      "Servers that answer, divided by commas: http://host:port, https://host:port, dns://name:port (all its addresses) or k8s://namespace/service:port.",
      valueName: "url,…"))
  var workers: String?

  @Option(
    help: ArgumentHelp(
      "Servers that read long prompts for them; needs --transfer-key here and there.", valueName: "url,…"))
  var prefillWorkers: String?

  @Option(help: "The address to listen on; 0.0.0.0 for all of the machine's.")
  var host: String?

  @Option(help: "The port to listen on, 8080 if not given; 0 takes one that is free.")
  var port: Int?

  @Option(
    help: ArgumentHelp(
      "How a worker is chosen; cache-aware, if not given: where the prompt will have been read first.",
      valueName: RoutingPolicy.allCases.map(\.rawValue).joined(separator: "|")))
  var policy: String?

  @Option(help: "What keeps a client on one worker: a header, or 'user' for that member of requests.")
  var session: String?

  @Option(help: ArgumentHelp("A file with the key for /workers and /metrics.", valueName: "file"))
  var adminKey: String?

  @Option(help: ArgumentHelp("A file with the key that workers want for /v1/models.", valueName: "file"))
  var workerKey: String?

  @Option(
    help: ArgumentHelp("A file with the key that workers share (serve --transfer-key).", valueName: "file"))
  var transferKey: String?

  @Option(
    help: ArgumentHelp(
      "A PEM file with the authorities that have signed the workers' certificates, instead of the system's.",
      valueName: "file"))
  var workerCa: String?

  @Option(help: "The API server of Kubernetes; http://127.0.0.1:8001 if not given, as `kubectl proxy` has it.")
  var kubernetes: String?

  @Option(help: ArgumentHelp("A file with the token that it wants.", valueName: "file"))
  var kubernetesToken: String?

  @Option(
    help: ArgumentHelp("A PEM file with the authority that has signed its certificate.", valueName: "file"))
  var kubernetesCa: String?

  @Option(help: "A PEM file with the router's certificate, for HTTPS.")
  var tlsCertificate: String?

  @Option(help: "A PEM file with the certificate's private key.")
  var tlsKey: String?

  @Option(help: "Threads that pass requests on.")
  var threads: Int?

  @Option(help: "A JSON5 file with settings.")
  var config: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Any setting, as attempts=2, cacheTokens=500000, prefillTokens=2048, interval=5 (seconds) or http.body=1048576; may be repeated.",
      valueName: "path=value"))
  var settings: [String] = []

  @Option(
    help: ArgumentHelp(
      "Instead of routing, show what each policy makes of a trace (Mooncake's JSON lines).", valueName: "file"))
  var simulate: String?

  @Option(help: "With --simulate: how many workers.")
  var simulatedWorkers = 4

  @Option(help: "With --simulate: tokens of prompts that a worker reads in a second.")
  var simulatedRate = 20_000.0

  func validate() throws {
    if !(1...10_000).contains(simulatedWorkers) {
      throw ValidationError("--simulated-workers is \(simulatedWorkers); it must be from 1 to 10000.")
    }
    if !(simulatedRate > 0 && simulatedRate < 1e9) {
      throw ValidationError("--simulated-rate is \(simulatedRate); it must be more than 0.")
    }
  }

  func run() throws {
    let settings = try resolved()
    if let simulate { return try runSimulation(simulate, settings.cacheTokens) }
    if settings.workers.isEmpty && settings.adminKey == nil {
      throw ValidationError(
        "Say who answers with --workers; with --admin-key they may be added later; or give a trace with --simulate.")
    }
    let certificate = try settings.tlsCertificate.map { try TLSCertificate(chain: $0, key: settings.tlsKey!) }
    let service = try RouterService(settings.options, Route.keys(settings), version: Tachornis.version)
    let groups = try settings.groups()
    let server = try HTTPServer(
      host: settings.host, port: settings.port, loops: settings.threads, settings.http, certificate: certificate,
      handle: service.handle)
    let supervisor = try WorkerSupervisor(service, groups, kubernetesAuthority: settings.kubernetes.authority)
    Interrupt.watch()
    let ready = service.workers.filter { $0.health == .ready }.count
    writeOutput(
      "Routing on http\(certificate == nil ? "" : "s")://\(settings.host):\(server.port) to \(service.workers.count) workers, of which \(ready) are ready (\(settings.policy.rawValue))\n"
    )
    Interrupt.wait { reload(service, supervisor, certificate) }
    Failure.writeError("Ending: no more requests are taken.\n")
    service.drain()
    // Streams that are under way end by themselves.
    while service.active > 0 { usleep(50_000) }
    supervisor.stop()
    server.shutdown(after: 1)
  }

  /// The file, then --set, then the flags.
  private func resolved() throws -> RouteConfiguration {
    var overrides = settings
    func add(_ path: String, _ value: String?) {
      if let value { overrides.append("\(path)=\(JSONValue.string(value).json)") }
    }
    func add(_ path: String, list: String?) {
      guard let list else { return }
      let values = list.split(separator: ",").map { JSONValue.string(String($0)) }
      overrides.append("\(path)=\(JSONValue.array(values).json)")
    }
    add("workers", list: workers)
    add("prefillWorkers", list: prefillWorkers)
    add("host", host)
    if let port { overrides.append("port=\(port)") }
    add("policy", policy)
    add("session", session)
    add("adminKey", adminKey)
    add("workerKey", workerKey)
    add("transferKey", transferKey)
    add("workerAuthority", workerCa)
    add("kubernetes.api", kubernetes)
    add("kubernetes.token", kubernetesToken)
    add("kubernetes.authority", kubernetesCa)
    add("tlsCertificate", tlsCertificate)
    add("tlsKey", tlsKey)
    if let threads { overrides.append("threads=\(threads)") }
    return try ConfigurationLoader.load(file: config, overrides: overrides)
  }

  private static func keys(_ settings: RouteConfiguration) throws -> RouterKeys {
    var keys = RouterKeys()
    keys.admin = try settings.adminKey.map { try secret($0, "--admin-key") }
    keys.worker = try settings.workerKey.map { try secret($0, "--worker-key") }
    keys.transfer = try settings.transferKey.map { try secret($0, "--transfer-key") }
    return keys
  }

  /// Takes workers, keys and the certificate anew; what cannot be read stays as it was.
  private func reload(_ service: RouterService, _ supervisor: WorkerSupervisor, _ certificate: TLSCertificate?) {
    do {
      let settings = try resolved()
      let (keys, groups) = (try Route.keys(settings), try settings.groups())
      try certificate?.reload()
      service.replace(keys)
      supervisor.replace(groups)
      Failure.writeError("Workers, keys and certificates were read again.\n")
    } catch {
      Failure.writeError("Not reloaded, what was in force stays: \(error)\n")
    }
  }

  private func runSimulation(_ file: String, _ cacheTokens: Int) throws {
    let workload = try LoadWorkload.trace(textFile(file, "--simulate"), block: 512, speed: 1)
    var simulation = RoutingSimulation()
    (simulation.workers, simulation.cacheTokens, simulation.readRate) = (simulatedWorkers, cacheTokens, simulatedRate)
    func cell(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(1, width - text.count)) + text
    }
    func number(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
    writeOutput("policy          hit rate  TTFT mean (s)  median     p99  imbalance\n")
    var results = RoutingPolicy.allCases.map { simulation.run(workload, $0) }
    // What no policy can beat: all caches as one, and one with room for everything.
    results += [false, true].map { simulation.run(workload, nil, isUnbounded: $0) }
    for result in results {
      let name = result.policy + String(repeating: " ", count: 14 - result.policy.count)
      writeOutput(
        name + cell(number(result.hitRate), 10) + cell(number(result.mean), 15) + cell(number(result.median), 8)
          + cell(number(result.p99), 8) + cell(number(result.imbalance), 11) + "\n")
    }
  }
}
