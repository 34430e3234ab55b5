// A trace against simulated workers under the decisions of a real `Router`: which policy keeps caches warm and queues short, in seconds
// and without a model.
//
// A worker reads prompts one after another at a given rate, what is in its cache for nothing, and writes answers meanwhile at a given
// time a token. That leaves out much, but not what policies differ in.

internal import Core

/// Workers that only take time.
package struct RoutingSimulation: Sendable {
  package var workers = 4
  /// Tokens in a worker's cache.
  package var cacheTokens = 2_000_000
  /// Tokens of prompts a second, and seconds for a token of an answer.
  package var readRate = 20_000.0
  package var tokenTime = 0.02
  /// Tokens in a block of the trace.
  package var block = 512

  package init() {}

  package struct Result: Sendable {
    package var policy: String
    /// The share of the prompts' tokens that was in the cache.
    package var hitRate: Double
    /// Seconds to the first token: mean, median and 99th percentile.
    package var mean: Double
    package var median: Double
    package var p99: Double
    /// The most requests that a worker got, in times of its fair share.
    package var imbalance: Double
  }

  /// What a policy makes of a trace.
  ///
  /// - Parameters:
  ///   - policy: nil: all workers share one cache, and the shortest queue is taken; no policy can do better.
  ///   - isUnbounded: that cache has room for everything, not just as much as the workers' together.
  package func run(_ workload: LoadWorkload, _ policy: RoutingPolicy?, isUnbounded: Bool = true) -> Result {
    var settings = RouterSettings()
    settings.policy = policy ?? .cacheAware
    settings.cacheBlocks = max(1, cacheTokens / block)
    settings.requestWeight = tokenTime * readRate / Double(block) / 4
    var router = Router(settings)
    let addresses = (0..<workers).map { WorkerAddress(host: "worker", port: $0 + 1) }
    for address in addresses { _ = router.handle(.added(address), at: 0) }
    var caches = addresses.map { _ in
      PrefixTable(
        capacity: policy != nil ? settings.cacheBlocks : isUnbounded ? 1 << 30 : workers * settings.cacheBlocks)
    }
    // When each will have read what it has got.
    var free = [Double](repeating: 0, count: workers)
    var counts = [Int](repeating: 0, count: workers)
    var firsts: [Double] = []
    var (tokens, hits) = (0, 0)
    var events = EventQueue()
    func request(_ number: Int) -> LoadRequest? { workload.request(number, seed: 0) }
    if let first = request(0) { events.push(first.time ?? 0, 0) }
    while let (now, code) = events.pop() {
      let (number, kind) = (code / 3, code % 3)
      guard kind == 0 else {
        _ = router.handle(kind == 1 ? .began(UInt64(number)) : .ended(UInt64(number)), at: now)
        continue
      }
      guard let request = request(number) else { continue }
      if let next = self.next(workload, number) { events.push(next, 3 * (number + 1)) }
      let keys = PrefixKeys.keys(of: request.parts.map(\.name))
      var place = free.indices.min { free[$0] < free[$1] }!
      if policy != nil {
        let actions = router.handle(.arrived(UInt64(number), RoutedRequest(keys: keys)), at: now)
        guard case .send(_, let address, _, _)? = actions.first else { continue }
        place = address.port - 1
      }
      let cache = policy == nil ? 0 : place
      let known = min(caches[cache].known(keys) * block, request.input)
      caches[cache].use(keys)
      tokens += request.input
      hits += known
      counts[place] += 1
      free[place] = max(free[place], now) + Double(request.input - known) / readRate
      let first = free[place] + tokenTime
      firsts.append(first - now)
      events.push(first, 3 * number + 1)
      events.push(first + Double(request.output) * tokenTime, 3 * number + 2)
    }
    firsts.sort()
    func percentile(_ share: Double) -> Double {
      firsts.isEmpty ? 0 : firsts[min(firsts.count - 1, Int(share * Double(firsts.count)))]
    }
    return Result(
      policy: policy?.rawValue ?? (isUnbounded ? "any cache" : "one cache"),
      hitRate: Double(hits) / Double(max(1, tokens)),
      mean: firsts.reduce(0, +) / Double(max(1, firsts.count)), median: percentile(0.5), p99: percentile(0.99),
      imbalance: Double(counts.max()! * workers) / Double(max(1, firsts.count)))
  }

  private func next(_ workload: LoadWorkload, _ number: Int) -> Double? {
    workload.request(number + 1, seed: 0).map { $0.time ?? 0 }
  }
}

/// Events in the order of their times; of equals the lowest code first. A binary heap.
private struct EventQueue {
  private var heap: [(time: Double, code: Int)] = []

  mutating func push(_ time: Double, _ code: Int) {
    heap.append((time, code))
    var place = heap.count - 1
    while place > 0, heap[place] < heap[(place - 1) / 2] {
      heap.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  mutating func pop() -> (time: Double, code: Int)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if heap.isEmpty { return first }
    heap[0] = last
    var place = 0
    while true {
      var least = place
      for child in [2 * place + 1, 2 * place + 2] where child < heap.count && heap[child] < heap[least] {
        least = child
      }
      if least == place { return first }
      heap.swapAt(place, least)
      place = least
    }
  }
}
