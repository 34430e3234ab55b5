import ArgumentParser
import Core
import Formats
import FoundationEssentials
import Serving

extension LoadTarget.Endpoint: ExpressibleByArgument {}
extension LoadTarget.Prompts: ExpressibleByArgument {}

struct Load: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Send requests to a server and measure how it answers.",
    discussion: """
      Examples:
        tachornis load --url http://127.0.0.1:8000 --requests 1000 --concurrency 64 --input 8 --output 8
        tachornis load --url http://127.0.0.1:8000 --workload conversations --rate 20 --seconds 60 --goodput ttft:200 --goodput tpot:50
        tachornis load --url http://127.0.0.1:8000 --workload prefixes --groups 8 --prefix 2000 --input 100
        tachornis load --url http://127.0.0.1:8000 --trace conversation.jsonl --trace-block 16 --speed 10
        tachornis load --url http://127.0.0.1:8000 --seconds 600 --disconnect 0.05 --bad 0.05

      Reports what `vllm bench serve` does, with its names in --json. Prompts are token numbers unless --prompts says words or \
      characters; the same seed gives the same requests, which a server may have in its cache the second time.
      """)

  enum Workload: String, ExpressibleByArgument, CaseIterable { case random, conversations, prefixes }

  @Option(help: "The server's address.")
  var url = "http://127.0.0.1:8000"

  @Option(help: "completions or chat.")
  var endpoint = LoadTarget.Endpoint.completions

  @Option(help: "The model's name, where the server wants one.")
  var model: String?

  @Option(help: "A key to bring.")
  var key: String?

  @Option(
    help: "random (lengths of --input and --output), conversations (lengths as ShareGPT's) or prefixes (--groups).")
  var workload = Workload.random

  @Option(help: "Tokens of a prompt; with prefixes, behind the common beginning.")
  var input = 128

  @Option(help: "Tokens of an answer.")
  var output = 128

  @Option(help: "By which share random lengths differ from --input and --output, to both sides.")
  var spread = 0.0

  @Option(help: "Different common beginnings.")
  var groups = 8

  @Option(help: "Tokens of a common beginning.")
  var prefix = 1024

  @Option(
    help: ArgumentHelp("Conversations to take questions and lengths from, as ShareGPT's JSON.", valueName: "file"))
  var sharegpt: String?

  @Option(help: ArgumentHelp("Requests to replay, as Mooncake's JSON lines.", valueName: "file"))
  var trace: String?

  @Option(help: "Tokens in place of each 512 of a trace; lengths shrink in proportion.")
  var traceBlock = 512

  @Option(help: "How many times as fast as they were recorded a trace's requests come.")
  var speed = 1.0

  @Option(help: "Requests a second; as fast as --concurrency allows if not given.")
  var rate: Double?

  @Option(help: "Shape of the intervals with --rate: 1 is a Poisson process, less comes in bursts.")
  var burstiness = 1.0

  @Option(help: "Requests under way at most; 64 if neither --rate nor --trace is given, else 4096.")
  var concurrency: Int?

  @Option(help: "Ends after so many; 1000 if --seconds is not given.")
  var requests: Int?

  @Option(help: "Ends after so many seconds.")
  var seconds: Double?

  @Option(help: "What prompts are made of: tokens, words or characters; words for chat.")
  var prompts: LoadTarget.Prompts?

  @Option(help: "Token numbers in prompts are below it.")
  var vocabulary = 90

  @Option(help: "Of sampling.")
  var temperature = 0.0

  @Flag(inversion: .prefixedNo, help: "Stream answers.")
  var stream = true

  @Flag(inversion: .prefixedNo, help: "Ask that answers go on beyond the model's end (ignore_eos).")
  var ignoreEnd = true

  @Option(
    help: ArgumentHelp(
      "Count requests that keep it: ttft:200, tpot:50, e2el:1000 (ms); may be repeated.", valueName: "goal"))
  var goodput: [String] = []

  @Option(help: "The share of requests that are broken off on the way.")
  var disconnect = 0.0

  @Option(help: "The share of requests that are wrong, which the server must refuse.")
  var bad = 0.0

  @Option(help: "Seconds after which a request is given up.")
  var timeout = 600.0

  @Option(help: "Of the requests.")
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Also write the results there.", valueName: "file"))
  var json: String?

  func validate() throws {
    for (name, value) in [
      ("input", input), ("output", output), ("groups", groups), ("prefix", prefix), ("trace-block", traceBlock),
      ("concurrency", concurrency ?? 1), ("requests", requests ?? 1), ("vocabulary", vocabulary - 1),
    ] where value < 1 { throw ValidationError("--\(name) is too small.") }
    for (name, value) in [
      ("speed", speed), ("rate", rate ?? 1), ("burstiness", burstiness), ("seconds", seconds ?? 1),
      ("timeout", timeout),
    ] where !(value > 0 && value.isFinite) { throw ValidationError("--\(name) is \(value); it must be more than 0.") }
    if !(0...1).contains(spread) { throw ValidationError("--spread is \(spread); it must be from 0 to 1.") }
    if disconnect < 0 || bad < 0 || disconnect + bad > 1 {
      throw ValidationError("--disconnect and --bad must be from 0 to 1, also together.")
    }
    if trace != nil && (sharegpt != nil || rate != nil) {
      throw ValidationError("--trace says itself what comes and when: leave out --sharegpt and --rate.")
    }
  }

  func run() throws {
    var target = try LoadTarget(url: url)
    (target.endpoint, target.model, target.key) = (endpoint, model, key)
    target.prompts = prompts ?? (endpoint == .chat ? .words : .tokens)
    if endpoint == .chat && target.prompts == .tokens {
      throw ValidationError("--prompts tokens: conversations are texts; say words or characters.")
    }
    (target.vocabulary, target.streams, target.ignoresEnd) = (vocabulary, stream, ignoreEnd)
    target.temperature = temperature
    var plan = LoadPlan(target, try loadWorkload(), goals: try LoadGoals(goodput))
    if let rate { plan.arrivals = .rate(rate, burstiness: burstiness) }
    if trace != nil { plan.arrivals = .trace }
    plan.concurrency = concurrency ?? (rate == nil && trace == nil ? 64 : 4096)
    plan.requests = requests ?? (seconds == nil && trace == nil && sharegpt == nil ? 1000 : nil)
    (plan.seconds, plan.timeout, plan.seed) = (seconds, timeout, seed)
    (plan.disconnects, plan.wrong) = (disconnect, bad)
    let report = try plan.run()
    writeOutput(report.text)
    if let json {
      do {
        try Data((report.json.json + "\n").utf8).write(to: URL(filePath: json), options: .atomic)
      } catch {
        throw CommandError("--json: \(json) cannot be written: \(error).")
      }
    }
    if report.completed == 0 && report.left + report.refused == 0 {
      throw CommandError("No request was answered; is a server at \(url)?")
    }
  }

  private func loadWorkload() throws -> LoadWorkload {
    if let trace { return try .trace(textFile(trace, "--trace"), block: traceBlock, speed: speed) }
    if let sharegpt { return try .shareGPT(textFile(sharegpt, "--sharegpt")) }
    switch workload {
    case .random: return .random(input: input, output: output, spread: spread)
    case .conversations: return .conversations
    case .prefixes: return .prefixes(groups: groups, prefix: prefix, input: input, output: output)
    }
  }
}
