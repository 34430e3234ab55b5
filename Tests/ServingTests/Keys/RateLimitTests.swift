import Core
import Inference
import Serving
import Testing

@Suite struct RateLimitTests {
  private func ring(_ clock: ManualClock, _ text: String) throws -> KeyRing {
    KeyRing(try ConfigurationLoader.load(text: text, name: "keys"), clock: clock)
  }

  private func refusal(_ body: () throws(APIError) -> Void) -> APIError? {
    do throws(APIError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  @Test func requestsFlowBack() throws {
    let clock = ManualClock()
    let ring = try ring(clock, "{ keys: [{ key: 'secret-key', name: 'a', requestsPerMinute: 2 }] }")
    #expect(ring.caller("secret-kez") == nil)
    let caller = try #require(ring.caller("secret-key"))
    #expect(try caller.enter().first { $0.0 == "x-ratelimit-remaining-requests" }?.1 == "1")
    _ = try caller.enter()
    let error = try #require(refusal { () throws(APIError) in _ = try caller.enter() })
    #expect(error.kind == .tooManyRequests && error.message.contains("2 requests a minute"))
    #expect(error.headers.first { $0.0 == "retry-after" }?.1 == "30")
    clock.advance(by: 30)
    _ = try caller.enter()
    #expect(refusal { () throws(APIError) in _ = try caller.enter() } != nil)
  }

  @Test func tokensAreADebt() throws {
    let clock = ManualClock()
    let ring = try ring(clock, "{ keys: [{ key: 'secret-key', name: 'a', tokensPerMinute: 60 }] }")
    let caller = try #require(ring.caller("secret-key"))
    _ = try caller.enter()
    try caller.read(50)
    #expect(refusal { () throws(APIError) in try caller.read(20) }?.kind == .tooManyRequests)
    caller.wrote(40)
    #expect(refusal { () throws(APIError) in _ = try caller.enter() } != nil, "the bucket is 30 below zero")
    clock.advance(by: 32)
    _ = try caller.enter()
  }

  @Test func someAtATime() throws {
    let ring = try ring(ManualClock(), "{ keys: [{ key: 'secret-key', name: 'a', concurrent: 1 }] }")
    let caller = try #require(ring.caller("secret-key"))
    _ = try caller.enter()
    #expect(refusal { () throws(APIError) in _ = try caller.enter() } != nil)
    caller.leave()
    _ = try caller.enter()
  }

  @Test func keysAreReplacedAndCountsStay() throws {
    let clock = ManualClock()
    let ring = try ring(clock, "{ keys: [{ key: 'secret-key', name: 'a', requestsPerMinute: 2 }] }")
    _ = try ring.caller("secret-key")?.enter()
    ring.replace(
      try ConfigurationLoader.load(
        text: "{ keys: [{ key: 'another-key', name: 'a', requestsPerMinute: 4 }] }", name: "keys"))
    #expect(ring.caller("secret-key") == nil)
    let left = try ring.caller("another-key")?.enter().first { $0.0 == "x-ratelimit-remaining-requests" }?.1
    #expect(left == "1", "half of the new limit was left")
  }

  @Test(arguments: [
    ("{ keys: [] }", "must hold a key"), ("{ keys: [{ key: 'short', name: 'a' }] }", "8 characters"),
    ("{ keys: [{ key: 'long-enough', name: '' }] }", "1 to 64"),
    ("{ keys: [{ key: 'long-enough', name: 'a' }, { key: 'long-enough', name: 'b' }] }", "must differ"),
    ("{ keys: [{ key: 'long-enough', name: 'a', tokensPerMinute: 0 }] }", "must be positive"),
    ("{ keys: [{ key: 'long-enough', name: 'a', rpm: 1 }] }", "unknown key"),
  ])
  func wrongKeysAreRefused(text: String, message: String) {
    let error = #expect(throws: ConfigurationError.self) {
      let _: KeysConfiguration = try ConfigurationLoader.load(text: text, name: "keys")
    }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }
}
