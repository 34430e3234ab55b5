// What Prometheus is told: vLLM's names, so that dashboards and autoscalers made for it work, with finer ranges below 10 ms.
//
// What they mean (vLLM's documentation, "Metrics"): queue, from arrival to the first step; prefill, from there to the first
// token; decode, from the first token to the last; inference, prefill and decode.

internal import Core
internal import Inference
internal import Synchronization

/// Counts and times of all requests.
final class ServiceMetrics: Sendable {
  private static let latency = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120,
    240,
    480, 960, 1920, 7680,
  ]
  private static let tokenTime = [
    0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75,
    1, 2.5,
    5, 7.5, 10, 20, 40, 80,
  ]
  private static let tokens: [Double] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100_000,
  ]

  private struct State {
    var firstToken = Histogram(latency)
    var tokenTime = Histogram(ServiceMetrics.tokenTime)
    var whole = Histogram(latency)
    var queue = Histogram(latency)
    var prefill = Histogram(latency)
    var decode = Histogram(latency)
    var inference = Histogram(latency)
    var prompt = Histogram(tokens)
    var written = Histogram(tokens)
    var requests: [String: Int] = [:]
    var errors: [Int: Int] = [:]
  }

  private let state = Mutex(State())
  private let encodingNanoseconds = Atomic(0)

  /// - Parameter path: of a route.
  func count(path: String) { state.withLock { $0.requests[path, default: 0] += 1 } }

  /// Seconds that threads have spent with reading requests.
  var encoding: Double { Double(encodingNanoseconds.load(ordering: .relaxed)) * 1e-9 }

  func encoded(seconds: Double) { encodingNanoseconds.add(Int(seconds * 1e9), ordering: .relaxed) }

  func count(error: Int) { state.withLock { $0.errors[error, default: 0] += 1 } }

  func observe(_ end: GenerationEnd) {
    let times = end.times
    guard let started = times.started, let ended = times.ended else { return }
    state.withLock { state in
      state.prompt.observe(Double(end.prompt))
      state.written.observe(Double(end.written))
      state.queue.observe(started - times.arrived)
      state.whole.observe(ended - times.arrived)
      guard let first = times.firstToken, let last = times.lastToken else { return }
      state.firstToken.observe(first - times.arrived)
      state.prefill.observe(first - started)
      state.decode.observe(last - first)
      state.inference.observe(last - started)
      if end.written > 1 { state.tokenTime.observe((last - first) / Double(end.written - 1)) }
    }
  }

  /// The text that Prometheus reads.
  func text(
    _ engine: EngineStatistics, model: String, bottlenecks: Set<Bottleneck.Kind>, _ transfer: CacheTransfer.Counts?
  )
    -> String
  {
    let state = state.withLock { $0 }
    let labels = "model_name=\(JSONValue.string(model).json),engine=\"0\""
    var text = ""
    func header(_ name: String, _ kind: String, _ help: String) {
      text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }
    func single(_ name: String, _ kind: String, _ help: String, _ value: some CustomStringConvertible) {
      header(name, kind, help)
      text += "\(name){\(labels)} \(value)\n"
    }
    func histogram(_ name: String, _ help: String, _ value: Histogram) {
      header(name, "histogram", help)
      value.write(name, labels, to: &text)
    }
    single("vllm:num_requests_running", "gauge", "Requests that are read or written.", engine.running)
    single("vllm:num_requests_waiting", "gauge", "Requests in the queue.", engine.waiting)
    let use = Double(engine.usedBlocks) / Double(max(1, engine.cacheBlocks))
    single("vllm:kv_cache_usage_perc", "gauge", "The share of the cache that running texts use.", use)
    single("vllm:prefix_cache_queries_total", "counter", "Tokens of prompts that were looked up.", engine.asked)
    single("vllm:prefix_cache_hits_total", "counter", "Tokens of prompts that were in the cache.", engine.cached)
    single("vllm:prompt_tokens_total", "counter", "Tokens of prompts that were computed.", engine.read)
    single("vllm:generation_tokens_total", "counter", "Tokens that were written.", engine.written)
    single("vllm:num_preemptions_total", "counter", "Texts that gave up their place.", engine.preemptions)
    single("vllm:spec_decode_num_drafts_total", "counter", "Drafts that were computed.", engine.drafts)
    single("vllm:spec_decode_num_draft_tokens_total", "counter", "Tokens in them.", engine.drafted)
    single("vllm:spec_decode_num_accepted_tokens_total", "counter", "Those that were chosen.", engine.accepted)
    single("tachornis:engine_steps_total", "counter", "Runs of the model.", engine.steps)
    single("tachornis:engine_seconds_total", "counter", "Seconds in them.", engine.seconds)
    single("tachornis:requests_refused_total", "counter", "Requests that were not taken.", engine.refused)
    single("tachornis:requests_failed_total", "counter", "Requests that could not go on.", engine.failed)
    header("vllm:lora_requests_info", "gauge", "Adapters of requests; the value is when this was said, in seconds.")
    func names(_ isAmong: (EngineStatistics.AdapterUse) -> Bool) -> String {
      JSONValue.string(engine.adapters.filter { isAmong($0.value) }.keys.sorted().joined(separator: ",")).json
    }
    text +=
      "vllm:lora_requests_info{max_lora=\"\(engine.adapterSlots)\",running_lora_adapters=\(names { $0.running > 0 }),"
      + "waiting_lora_adapters=\(names { $0.waiting > 0 })} \(MonotonicClock().unixSeconds)\n"
    header("vllm:request_success_total", "counter", "Requests that ended, by how.")
    for (reason, count) in engine.ended.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      text += "vllm:request_success_total{\(labels),finished_reason=\"\(reason.rawValue)\"} \(count)\n"
    }
    if let transfer {
      header(
        "tachornis:cache_transfers_total", "counter", "Prompts that were to be read on another server, by outcome.")
      for outcome in PrefillOutcome.allCases {
        guard let count = transfer.outcomes[outcome] else { continue }
        text += "tachornis:cache_transfers_total{\(labels),outcome=\"\(outcome.rawValue)\"} \(count)\n"
      }
      single("tachornis:cache_blocks_given_total", "counter", "Blocks that went to other servers.", transfer.given)
      single("tachornis:cache_blocks_taken_total", "counter", "Blocks that came from other servers.", transfer.taken)
      single(
        "tachornis:cache_transfer_seconds_total", "counter", "Seconds that requests have waited for them.",
        transfer.seconds)
    }
    single("tachornis:encoding_seconds_total", "counter", "Seconds in reading requests, of all threads.", encoding)
    header("tachornis:bottleneck", "gauge", "1 while the watchdog sees it.")
    for kind in Bottleneck.Kind.allCases {
      text += "tachornis:bottleneck{\(labels),kind=\"\(kind.rawValue)\"} \(bottlenecks.contains(kind) ? 1 : 0)\n"
    }
    header("tachornis:http_requests_total", "counter", "Requests by path.")
    for (path, count) in state.requests.sorted(by: { $0.key < $1.key }) {
      text += "tachornis:http_requests_total{path=\"\(path)\"} \(count)\n"
    }
    header("tachornis:http_errors_total", "counter", "Replies with an error, by status.")
    for (status, count) in state.errors.sorted(by: { $0.key < $1.key }) {
      text += "tachornis:http_errors_total{status=\"\(status)\"} \(count)\n"
    }
    histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", state.firstToken)
    histogram("vllm:request_time_per_output_token_seconds", "Between tokens, the mean of a request.", state.tokenTime)
    histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.", state.whole)
    histogram("vllm:request_queue_time_seconds", "In the queue.", state.queue)
    histogram("vllm:request_prefill_time_seconds", "From the first step to the first token.", state.prefill)
    histogram("vllm:request_decode_time_seconds", "From the first token to the last.", state.decode)
    histogram("vllm:request_inference_time_seconds", "From the first step to the last token.", state.inference)
    histogram("vllm:request_prompt_tokens", "Tokens of a prompt.", state.prompt)
    histogram("vllm:request_generation_tokens", "Tokens that were written.", state.written)
    return text
  }
}
