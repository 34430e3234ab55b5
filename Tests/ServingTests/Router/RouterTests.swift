// Decisions of a router, without sockets and without time passing.

import Core
import Serving
import Testing

@Suite struct RouterTests {
  private static func address(_ number: Int) -> WorkerAddress { WorkerAddress(host: "w", port: number) }

  /// A router with workers 1, 2, … that are ready.
  private static func router(
    _ count: Int, _ policy: RoutingPolicy = .cacheAware, models: [Set<String>]? = nil,
    _ change: (inout RouterSettings) -> Void = { _ in }
  ) -> Router {
    var settings = RouterSettings()
    settings.policy = policy
    change(&settings)
    var router = Router(settings)
    for number in 0..<count {
      _ = router.handle(.added(address(number + 1)), at: 0)
      _ = router.handle(.probed(address(number + 1), (models?[number] ?? ["m"], true)), at: 0)
    }
    return router
  }

  /// The number of the worker that a request goes to; 0: none.
  private static func place(_ actions: [Router.Action]) -> Int {
    if case .send(_, let address, _, _)? = actions.first { return address.port }
    return 0
  }

  @Test func roundRobinTakesTurns() {
    var router = Self.router(3, .roundRobin)
    let places = (0..<6).map { Self.place(router.handle(.arrived($0, RoutedRequest()), at: 0)) }
    #expect(Set(places.prefix(3)) == [1, 2, 3] && Array(places.prefix(3)) == Array(places.suffix(3)))
  }

  @Test func twoChoicesKeepLoadsTogether() {
    var (two, one) = (Self.router(10, .powerOfTwo), Self.router(10, .random))
    for id in 0..<1000 as Range<UInt64> {
      _ = two.handle(.arrived(id, RoutedRequest()), at: 0)
      _ = one.handle(.arrived(id, RoutedRequest()), at: 0)
    }
    func spread(_ router: Router) -> Int {
      let loads = router.workers.map(\.active)
      return loads.max()! - loads.min()!
    }
    #expect(spread(two) <= 6 && spread(one) > 10)
  }

  @Test func promptsGoToWhereTheirBeginningWasRead() {
    var router = Self.router(4)
    let conversations = (0..<8).map { name in PrefixKeys.keys(of: (0..<50).map { UInt64(name * 1000 + $0) }) }
    var places: [Int] = []
    for (id, keys) in conversations.enumerated() {
      places.append(Self.place(router.handle(.arrived(UInt64(id), RoutedRequest(keys: keys)), at: 0)))
    }
    // New ones are spread.
    #expect(Set(places) == [1, 2, 3, 4])
    for id in 0..<8 as Range<UInt64> { _ = router.handle(.ended(id), at: 1) }
    for (id, keys) in conversations.enumerated() {
      let longer = keys + PrefixKeys.keys(of: [UInt64(9_000_000 + id)])
      let actions = router.handle(.arrived(UInt64(100 + id), RoutedRequest(keys: longer)), at: 2)
      #expect(Self.place(actions) == places[id])
      _ = router.handle(.ended(UInt64(100 + id)), at: 2)
    }
    #expect(router.blocks.known == 400)
  }

  @Test func aFullWorkerIsLeftThoughItKnowsThePrompt() {
    var router = Self.router(2)
    let keys = PrefixKeys.keys(of: (0..<20).map { UInt64($0) })
    var places: Set<Int> = []
    for id in 0..<20 as Range<UInt64> {
      places.insert(Self.place(router.handle(.arrived(id, RoutedRequest(keys: keys)), at: 0)))
    }
    #expect(places == [1, 2])
  }

  @Test func modelsAndAdaptersAreWhereTheyAre() {
    var router = Self.router(3, .roundRobin, models: [["m"], ["m", "a"], ["m", "a"]])
    let places = (0..<9).map { Self.place(router.handle(.arrived($0, RoutedRequest(model: "a")), at: 0)) }
    #expect(Set(places) == [2, 3])
    #expect(
      router.handle(.arrived(99, RoutedRequest(model: "b")), at: 0) == [.refuse(99, .noModel("b", known: ["a", "m"]))])
  }

  @Test func sessionsStayAndFewMoveWhenAWorkerGoes() {
    var router = Self.router(4, .roundRobin)
    func places() -> [Int] {
      (0..<200).map { number in
        let id = UInt64(number)
        defer { _ = router.handle(.ended(id), at: 0) }
        return Self.place(router.handle(.arrived(id, RoutedRequest(session: "s\(number)")), at: 0))
      }
    }
    let before = places()
    #expect(places() == before && Set(before) == [1, 2, 3, 4])
    _ = router.handle(.removed(Self.address(3)), at: 0)
    let after = places()
    #expect(zip(before, after).allSatisfy { $0 == $1 || $0 == 3 } && !after.contains(3))
  }

  @Test func longPromptsAreReadWhereThatIsDone() {
    var router = Self.router(2, .roundRobin) { ($0.prefillBlocks, $0.breaker.failures, $0.breaker.pause) = (10, 2, 10) }
    for number in [8, 9] {
      _ = router.handle(.added(Self.address(number), .prefill), at: 0)
      _ = router.handle(.probed(Self.address(number), (["m"], true)), at: 0)
    }
    func keys(_ name: Int, _ count: Int) -> [UInt64] {
      PrefixKeys.keys(of: (0..<count).map { UInt64(name * 1000 + $0) })
    }
    /// Who answers and who reads.
    func ask(_ id: UInt64, _ keys: [UInt64], isText: Bool = true, at now: Double = 0) -> (Int, Int?) {
      guard
        case .send(_, let worker, _, let reader)? = router.handle(
          .arrived(id, RoutedRequest(model: "m", keys: keys, isText: isText)), at: now
        ).first
      else { return (0, nil) }
      return (worker.port, reader?.port)
    }
    // What is short, and what is no text, is read where it is answered.
    #expect(ask(1, keys(1, 9)).1 == nil && ask(2, keys(2, 40), isText: false).1 == nil)
    // Long ones are spread over those that read, and nobody asks these for answers.
    let (first, second) = (ask(3, keys(3, 40)), ask(4, keys(4, 40)))
    #expect(Set([first.1, second.1]) == [8, 9] && Set([first.0, second.0]) == [1, 2])
    #expect(router.workers.reduce(0) { $0 + $1.active } == 6)
    _ = router.handle(.prefilled(3, .moved), at: 1)
    _ = router.handle(.prefilled(3, .moved), at: 1)
    #expect(router.workers.first { $0.address.port == first.1 }!.active == 0 && router.prefills == [.moved: 1])
    // An answer that ends without a word of it gives the place back, too.
    for id in 1...4 as ClosedRange<UInt64> { _ = router.handle(.ended(id), at: 1) }
    #expect(router.workers.allSatisfy { $0.active == 0 && $0.unread == 0 })
    // On another worker the same prompt is read where it was read before.
    #expect(ask(5, keys(3, 40)).1 == first.1 || ask(6, keys(3, 40)).1 == first.1)
    for id in 5...6 as ClosedRange<UInt64> { _ = router.handle(.left(id), at: 1) }

    // Those that fail are left alone for a while; the others go on, and without them all goes its usual way.
    var (id, asked): (UInt64, [Int: Int]) = (100, [:])
    for name in 10..<30 {
      if let reader = ask(id, keys(name, 40), at: 2).1 {
        asked[reader, default: 0] += 1
        _ = router.handle(.prefilled(id, reader == 8 ? .damaged : .unreachable), at: 2)
      }
      _ = router.handle(.ended(id), at: 2)
      id += 1
    }
    #expect(asked == [8: 2, 9: 2])
    #expect(ask(id, keys(40, 40), at: 13).1 != nil)
    // Without workers that answer there is no answer.
    _ = router.handle(.left(id), at: 13)
    for number in [1, 2] { _ = router.handle(.removed(Self.address(number)), at: 13) }
    #expect(router.handle(.arrived(999, RoutedRequest(model: "m")), at: 13) == [.refuse(999, .noWorker)])
  }

  @Test func readingElsewhereIsNotMuchLonger() {
    var router = Self.router(1) { $0.prefillBlocks = 10 }
    _ = router.handle(.added(Self.address(8), .prefill), at: 0)
    _ = router.handle(.probed(Self.address(8), (["m"], true)), at: 0)
    func reader(_ id: UInt64, _ count: Int) -> Int? {
      let keys = PrefixKeys.keys(of: (0..<count).map { id * 1000 + UInt64($0) })
      let request = RoutedRequest(model: "m", keys: keys, isText: true)
      if case .send(_, _, _, let reader)? = router.handle(.arrived(id, request), at: 0).first { return reader?.port }
      return nil
    }
    // 20 there against 20 here, then 40 against 20; then 60 would be more than twice as much.
    #expect(reader(1, 20) == 8 && reader(2, 20) == 8 && reader(3, 20) == nil)
    // Now 20 wait here, too: 60 against 40, then 80.
    #expect(reader(4, 20) == 8 && reader(5, 20) == 8 && reader(6, 20) == nil)
    for id in 1...6 as ClosedRange<UInt64> { _ = router.handle(.ended(id), at: 1) }
    #expect(reader(7, 20) == 8)
  }

  @Test func failuresGoElsewhereAndOpenTheBreaker() {
    var router = Self.router(2, .roundRobin) { $0.breaker.pause = 10 }
    var id: UInt64 = 0
    /// Worker 1 fails whatever it gets; how often it was asked.
    func ask(at now: Double) -> Int {
      var (asked, actions) = (0, router.handle(.arrived(id, RoutedRequest()), at: now))
      while Self.place(actions) == 1 {
        asked += 1
        actions = router.handle(.failed(id, isFault: true, next: .whole), at: now)
      }
      #expect(Self.place(actions) == 2)
      _ = router.handle(.ended(id), at: now)
      id += 1
      return asked
    }
    #expect((0..<40).map { _ in ask(at: 1) }.reduce(0, +) == 5)
    #expect(router.retries == 5 && router.workers[0].breaker.state == .open(until: 11))
    // After the pause it is tried once, and left again.
    #expect((0..<10).map { _ in ask(at: 12) }.reduce(0, +) == 1)
    // When it answers, all is as before.
    for _ in 0..<8 {
      _ = router.handle(.arrived(id, RoutedRequest()), at: 30)
      _ = router.handle(.ended(id), at: 30)
      id += 1
    }
    #expect(router.workers[0].breaker.state == .closed(failures: 0))
  }

  @Test func whatWasBegunGoesOnOnlyWhereItCan() {
    var router = Self.router(3, .roundRobin)
    let first = Self.place(router.handle(.arrived(1, RoutedRequest()), at: 0))
    for number in 1...3 where number != first {
      _ = router.handle(.probed(Self.address(number), (["m"], number == first % 3 + 1)), at: 0)
    }
    #expect(Self.place(router.handle(.failed(1, isFault: true, next: .rest), at: 0)) == first % 3 + 1)
    #expect(router.handle(.failed(1, isFault: true, next: .rest), at: 0) == [.refuse(1, .failed)])
    _ = router.handle(.arrived(2, RoutedRequest()), at: 0)
    #expect(router.handle(.failed(2, isFault: true, next: .nothing), at: 0) == [.refuse(2, .failed)])
  }

  @Test func workersComeAndGo() {
    var router = Self.router(1)
    #expect(Self.place(router.handle(.arrived(1, RoutedRequest()), at: 0)) == 1)
    _ = router.handle(.removed(Self.address(1)), at: 0)
    #expect(router.workers.count == 1, "its request has not ended")
    #expect(router.handle(.arrived(2, RoutedRequest()), at: 0) == [.refuse(2, .noWorker)])
    _ = router.handle(.ended(1), at: 0)
    #expect(router.workers.isEmpty)
    _ = router.handle(.added(Self.address(2)), at: 0)
    _ = router.handle(.probed(Self.address(2), nil), at: 0)
    #expect(router.handle(.arrived(3, RoutedRequest()), at: 0) == [.refuse(3, .noWorker)])
    _ = router.handle(.probed(Self.address(2), (["m"], false)), at: 0)
    #expect(Self.place(router.handle(.arrived(4, RoutedRequest()), at: 0)) == 2)
  }

  @Test func rolesChangeOnlyByWayOfRemoval() {
    var router = Self.router(1)
    #expect(Self.place(router.handle(.arrived(1, RoutedRequest()), at: 0)) == 1)
    _ = router.handle(.added(Self.address(1), .prefill), at: 0)
    #expect(router.workers.map(\.role) == [.decode])
    // It has still to answer, and comes back at once in its new role.
    _ = router.handle(.removed(Self.address(1)), at: 0)
    _ = router.handle(.added(Self.address(1), .prefill), at: 0)
    #expect(router.workers.map(\.role) == [.prefill] && router.workers[0].active == 1 && !router.workers[0].isLeaving)
    #expect(router.handle(.arrived(2, RoutedRequest()), at: 0) == [.refuse(2, .noWorker)])
    _ = router.handle(.ended(1), at: 0)
    #expect(router.workers.map(\.active) == [0])
  }

  /// Whatever happens in whatever order, loads are what requests add up to.
  @Test func loadsAddUp() {
    var random = RandomSequence(seed: 9)
    for policy in RoutingPolicy.allCases {
      var router = Self.router(4, policy)
      var open: Set<UInt64> = []
      for step in 0..<3000 {
        let id = UInt64(step), now = Double(step) / 10
        let some = open.randomElement(using: &random)
        var actions: [Router.Action] = []
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
          let names = (0..<Int.random(in: 0...6, using: &random)).map { _ in UInt64.random(in: 0...2, using: &random) }
          actions = router.handle(.arrived(id, RoutedRequest(keys: PrefixKeys.keys(of: names))), at: now)
          open.insert(id)
        case 4:
          if let some {
            actions = router.handle(.failed(some, isFault: Bool.random(using: &random), next: .whole), at: now)
          }
        case 5: if let some { _ = router.handle(.began(some), at: now) }
        case 6...7:
          if let some {
            _ = router.handle(Bool.random(using: &random) ? .ended(some) : .left(some), at: now)
            open.remove(some)
          }
        default:
          let address = Self.address(Int.random(in: 1...5, using: &random))
          switch Int.random(in: 0..<4, using: &random) {
          case 0: _ = router.handle(.removed(address), at: now)
          case 1: _ = router.handle(.added(address), at: now)
          case 2: _ = router.handle(.probed(address, nil), at: now)
          default: _ = router.handle(.probed(address, ([], true)), at: now)
          }
        }
        for case .refuse(let id, _) in actions { open.remove(id) }
        #expect(router.workers.reduce(0) { $0 + $1.active } == open.count)
        #expect(router.workers.allSatisfy { $0.active >= 0 && $0.unread >= 0 && ($0.active > 0 || $0.unread == 0) })
      }
    }
  }

  @Test func cacheAwareKeepsCachesWarm() {
    var random = RandomSequence(seed: 12)
    var names: [[UInt64]] = (0..<40).map { [0, UInt64(1000 + $0)] }
    let requests = (0..<2000).map { number -> LoadRequest in
      let place = Int.random(in: 0..<names.count, using: &random)
      names[place].append(UInt64(100_000 + number))
      if names[place].count > 30 { names[place] = [0, UInt64(200_000 + number)] }
      return LoadRequest(
        time: Double(number) * 0.1, parts: names[place].map { .init(name: $0, tokens: 512) }, output: 50)
    }
    var simulation = RoutingSimulation()
    simulation.cacheTokens = 300_000
    let (aware, turns) = (simulation.run(.list(requests), .cacheAware), simulation.run(.list(requests), .roundRobin))
    let optimum = simulation.run(.list(requests), nil)
    #expect(
      aware.hitRate > 0.9 * optimum.hitRate && aware.hitRate > turns.hitRate + 0.1, "\(aware) \(turns) \(optimum)")
    #expect(aware.mean < turns.mean && aware.hitRate <= optimum.hitRate && aware.imbalance < 3, "\(aware) \(turns)")
  }

  @Test(arguments: [
    ("http://10.0.0.1:80/", "http://10.0.0.1:80"), ("a.b:9", "http://a.b:9"), ("http://[::1]:7", "http://[::1]:7"),
    ("http://name", "http://name:80"), ("https://name/", "https://name:443"), ("https://[::1]:7", "https://[::1]:7"),
  ])
  func addressesAreRead(url: String, is expected: String) throws {
    #expect(try WorkerAddress(url: url).description == expected)
  }

  @Test(arguments: ["", "http://", "https://", "ftp://a:1", "a:0", "a:99999", "a:b", "::1", "http://a/b:1", "a b:1"])
  func whatIsNoAddressIsSaid(url: String) { #expect(throws: ServingError.self) { try WorkerAddress(url: url) } }
}
