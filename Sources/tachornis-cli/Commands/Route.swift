import ArgumentParser
import Core
import Serving

extension RoutingPolicy: ExpressibleByArgument {}

struct Route: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put many servers behind one address.",
    discussion: """
      Examples:
        tachornis route --workers http://10.0.0.1:8000,http://10.0.0.2:8000
        tachornis route --workers dns://workers.example:8000 --policy power-of-two --session x-session-id
        tachornis route --workers k8s://default/llama:8000 --kubernetes http://127.0.0.1:8001
        tachornis route --simulate conversation.jsonl --simulated-workers 4

      Workers are asked for /ready and /v1/models every --interval seconds; requests go to those that have the model or adapter that \
      they name. A request that fails before its first byte goes to another worker. A stream whose worker dies goes on from another \
      `tachornis serve`, and its client sees nothing of it.

      Its own paths: /health, /ready, /v1/models (of all workers), /version, /metrics, and with --admin-key /workers: GET shows \
      them, POST and DELETE {"url": "http://…"} add and remove one.
      """)

  @Option(
    help: ArgumentHelp(
      "Servers, divided by commas: http://host:port, dns://name:port (all its addresses) or k8s://namespace/service:port.",
      valueName: "url,…"))
  var workers: String?

  @Option(help: "The address to listen on; 0.0.0.0 for all of the machine's.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 takes one that is free.")
  var port = 8080

  @Option(
    help: "round-robin, random, power-of-two, or cache-aware: where the prompt will have been read first.")
  var policy = RoutingPolicy.cacheAware

  @Option(help: "What keeps a client on one worker: a header, or 'user' for that member of requests.")
  var session: String?

  @Option(help: "Tokens that a worker's cache holds, about.")
  var cacheTokens = 2_000_000

  @Option(help: "Workers that a request is tried on at most.")
  var attempts = 3

  @Option(help: "Seconds between looks at the workers.")
  var interval = 2.0

  @Option(help: "Seconds without a byte after which a worker is given up.")
  var patience = 300.0

  @Option(help: ArgumentHelp("A file with the key for /workers.", valueName: "file"))
  var adminKey: String?

  @Option(help: ArgumentHelp("A file with the key that workers want for /v1/models.", valueName: "file"))
  var workerKey: String?

  @Option(help: "The API server of Kubernetes over HTTP, as `kubectl proxy` gives it.")
  var kubernetes = "http://127.0.0.1:8001"

  @Option(help: ArgumentHelp("A file with the token that it wants.", valueName: "file"))
  var kubernetesToken: String?

  @Option(help: "Threads that pass requests on.")
  var threads = 1

  @Option(
    help: ArgumentHelp(
      "Instead of routing, show what each policy makes of a trace (Mooncake's JSON lines).", valueName: "file"))
  var simulate: String?

  @Option(help: "With --simulate: how many workers.")
  var simulatedWorkers = 4

  @Option(help: "With --simulate: tokens of prompts that a worker reads in a second.")
  var simulatedRate = 20_000.0

  func validate() throws {
    if !(0...65535).contains(port) { throw ValidationError("--port is \(port); it must be from 0 to 65535.") }
    for (name, value) in [
      ("cache-tokens", cacheTokens), ("attempts", attempts), ("threads", threads),
      ("simulated-workers", simulatedWorkers),
    ] where value < 1 || value > 1 << 40 { throw ValidationError("--\(name) is \(value); it must be 1 or more.") }
    for (name, value) in [("interval", interval), ("patience", patience), ("simulated-rate", simulatedRate)]
    where !(value > 0 && value < 1e9) {
      throw ValidationError("--\(name) is \(value); it must be more than 0.")
    }
    if (workers == nil) == (simulate == nil) {
      throw ValidationError("Say who answers with --workers, or give a trace with --simulate.")
    }
  }

  func run() throws {
    if let simulate { return try runSimulation(simulate) }
    var options = RouterOptions()
    options.decisions.policy = policy
    options.decisions.attempts = attempts
    options.decisions.cacheBlocks = max(1, cacheTokens / 32)
    options.decisions.seed = UInt64.random(in: 0...UInt64.max)
    options.session = session?.lowercased()
    (options.interval, options.patience) = (interval, patience)
    options.adminKey = try adminKey.map { try Route.key($0, "--admin-key") }
    options.workerKey = try workerKey.map { try Route.key($0, "--worker-key") }
    let sources = try workers!.split(separator: ",").map {
      try WorkerSource(String($0), api: kubernetes, token: kubernetesToken)
    }
    let service = RouterService(options, version: Tachornis.version)
    let server = try HTTPServer(host: host, port: port, loops: threads, handle: service.handle)
    let supervisor = WorkerSupervisor(service, sources)
    Interrupt.watch()
    let ready = service.workers.filter { $0.health == .ready }.count
    writeOutput(
      "Routing on http://\(host):\(server.port) to \(service.workers.count) workers, of which \(ready) are ready (\(policy.rawValue))\n"
    )
    Interrupt.wait()
    Failure.writeError("Ending: no more requests are taken.\n")
    service.drain()
    // Streams that are under way end by themselves.
    while service.active > 0 { usleep(50_000) }
    supervisor.stop()
    server.shutdown(after: 1)
  }

  private static func key(_ file: String, _ option: String) throws -> String {
    let key = try textFile(file, option).filter { !$0.isWhitespace }
    if key.isEmpty { throw ValidationError("\(option): \(file) is empty.") }
    return key
  }

  private func runSimulation(_ file: String) throws {
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
