// Whoever brings a key: what they may do, and what they have done lately.
//
// A request is counted when it comes, the tokens of its prompt when they are known, those that are written when they have been: a
// bucket may go below zero, and is then paid off before anything else is taken.

internal import Core
internal import Inference
internal import Synchronization

/// The holder of a key.
package final class Caller: Sendable {
  package let name: String

  private struct State {
    var settings: KeyConfiguration
    var requests: RateLimit?
    var tokens: RateLimit?
    var running = 0
  }

  private let state: Mutex<State>
  private let clock: any SecondsClock

  init(_ settings: KeyConfiguration, clock: any SecondsClock) {
    (name, self.clock) = (settings.name, clock)
    let now = clock.seconds
    state = Mutex(
      State(
        settings: settings, requests: settings.requestsPerMinute.map { RateLimit($0, at: now) },
        tokens: settings.tokensPerMinute.map { RateLimit($0, at: now) }))
  }

  /// Takes over limits that have changed; what was used stays used.
  func change(to settings: KeyConfiguration) {
    func changed(_ old: RateLimit?, _ limit: Int?) -> RateLimit? {
      limit.map { old?.changed(to: $0) ?? RateLimit($0, at: clock.seconds) }
    }
    state.withLock { state in
      state.settings = settings
      state.requests = changed(state.requests, settings.requestsPerMinute)
      state.tokens = changed(state.tokens, settings.tokensPerMinute)
    }
  }

  /// The highest priority that a request may have.
  package var priority: Int { state.withLock { $0.settings.priority } }

  /// Counts a request in. Every one that was let in must `leave`.
  ///
  /// - Returns: the headers that tell of the limits.
  /// - Throws: if there are too many.
  package func enter() throws(APIError) -> [(String, String)] {
    let now = clock.seconds
    var problem: (text: String, wait: Double)?
    let headers = state.withLock { state -> [(String, String)] in
      let wait = (state.requests?.wait(for: 1, at: now) ?? 0, state.tokens?.wait(for: 1, at: now) ?? 0)
      if let most = state.settings.concurrent, state.running >= most {
        problem = ("\(most) requests of '\(name)' are under way, the most at a time", 1)
      } else if wait.0 > 0 {
        problem = ("'\(name)' has made its \(state.requests!.limit) requests a minute", wait.0)
      } else if wait.1 > 0 {
        problem = ("'\(name)' has used its \(state.tokens!.limit) tokens a minute", wait.1)
      } else {
        state.requests?.take(1, at: now)
        state.running += 1
      }
      return Self.headers(&state, at: now)
    }
    if let problem { throw Self.error(problem.text, problem.wait, headers) }
    return headers
  }

  /// What a request began goes on behind its reply, and must `leave` by itself.
  func goOn() { state.withLock { $0.running += 1 } }

  /// A request that was let in is over.
  package func leave() { state.withLock { $0.running -= 1 } }

  /// Counts tokens of prompts before they are read.
  ///
  /// - Throws: if they are more than are left.
  package func read(_ tokens: Int) throws(APIError) {
    let now = clock.seconds
    var wait = 0.0
    var limit = 0
    let headers = state.withLock { state -> [(String, String)] in
      wait = state.tokens?.wait(for: tokens, at: now) ?? 0
      limit = state.tokens?.limit ?? 0
      if wait == 0 { state.tokens?.take(tokens, at: now) }
      return Self.headers(&state, at: now)
    }
    if wait == 0 { return }
    throw Self.error(
      "the prompt's \(tokens) tokens are more than are left of the \(limit) a minute of '\(name)'", wait, headers)
  }

  /// Why a priority may not be asked for.
  func problem(withPriority priority: Int) -> APIError? {
    let most = self.priority
    if priority <= most { return nil }
    return APIError(
      .badRequest, "'priority' is \(priority); '\(name)' may ask for \(most) at most.", parameter: "priority",
      code: "invalid_value")
  }

  /// Counts the prompts of texts, whose priorities must be allowed.
  ///
  /// - Returns: why they may not be asked for.
  func problem(with requests: [GenerationRequest]) -> APIError? {
    if let error = requests.lazy.compactMap({ self.problem(withPriority: $0.priority) }).first { return error }
    do throws(APIError) {
      // Answers to one prompt read it once.
      let first = requests.filter { $0.stream == 0 }
      try read(first.reduce(0) { $0 + $1.prompt.count })
      return nil
    } catch {
      return error
    }
  }

  /// Counts tokens that were written.
  package func wrote(_ tokens: Int) {
    let now = clock.seconds
    state.withLock { $0.tokens?.take(tokens, at: now) }
  }

  private static func error(_ text: String, _ wait: Double, _ headers: [(String, String)]) -> APIError {
    var error = APIError(
      .tooManyRequests, "Too many: \(text). Try again in \(duration(wait)).", code: "rate_limit_exceeded")
    error.headers = [("retry-after", String(Int(wait.rounded(.up))))] + headers
    return error
  }

  private static func headers(_ state: inout State, at now: Double) -> [(String, String)] {
    func headers(_ name: String, _ limit: inout RateLimit?) -> [(String, String)] {
      guard let (left, full) = limit?.state(at: now) else { return [] }
      return [
        ("x-ratelimit-limit-\(name)", String(limit!.limit)), ("x-ratelimit-remaining-\(name)", String(left)),
        ("x-ratelimit-reset-\(name)", duration(full)),
      ]
    }
    return headers("requests", &state.requests) + headers("tokens", &state.tokens)
  }

  /// As OpenAI writes them: 120ms, 6s, 1m30s.
  private static func duration(_ seconds: Double) -> String {
    if seconds < 1 { return "\(Int((seconds * 1000).rounded(.up)))ms" }
    let whole = Int(seconds.rounded(.up))
    return whole < 60 ? "\(whole)s" : "\(whole / 60)m\(whole % 60)s"
  }
}
