// A response that is made while nobody waits: `background` of /v1/responses.
//
// Invariants: it is among the unfinished ones until it is in the store, so that it is always found. What is kept is bounded: so many
// unfinished ones, so many bytes of events each, of which the oldest go first.

internal import Core
internal import Synchronization

/// What a stream has told, so that it can be told again from any event on.
package struct ResponseEvents: Sendable {
  /// The number of the first that is kept.
  package private(set) var first = 0
  private(set) var events: [String] = []
  package private(set) var bytes = 0
  /// The number of the event that comes next.
  package var next: Int { first + events.count }

  private static let mostBytes = 2 << 20

  package init() {}

  /// Appends events as they are written.
  package mutating func append(_ text: String) {
    for event in text.split(separator: "\n\n") {
      events.append(event + "\n\n")
      bytes += event.utf8.count + 2
    }
    let excess = bytes - Self.mostBytes
    var (dropped, count) = (0, 0)
    while dropped < excess, count < events.count - 1 {
      dropped += events[count].utf8.count
      count += 1
    }
    events.removeFirst(count)
    (first, bytes) = (first + count, bytes - dropped)
  }

  /// Those behind an event.
  ///
  /// - Parameter last: the number of the last that a client has; -1: none.
  package func after(_ last: Int) throws(APIError) -> String {
    guard last >= first - 1 else {
      throw APIError(
        .badRequest, "The events before number \(first) are not kept any more.", parameter: "starting_after",
        code: "invalid_value")
    }
    // The client's number may be the greatest there is.
    return events.dropFirst(max(0, min(last, next) + 1 - first)).joined()
  }
}

/// Takes the answer to one request.
final class BackgroundAnswer: AnswerChannel {
  private struct State {
    /// As it is now.
    var stored: StoredResponse
    /// The last answer was taken, or nobody wants it.
    var isOver = false
    var whenGone: (@Sendable () -> Void)?
    var readers: [HTTPResponder] = []
  }

  let id: String
  let caller: Caller?
  /// The request's own record ends with its reply.
  var trace: RequestTrace? { nil }
  private let workers: HTTPResponder
  private let finished: @Sendable (StoredResponse) -> Void
  private let state: Mutex<State>

  /// - Parameters:
  ///   - stored: what of it is known: nothing is answered yet.
  ///   - request: whose threads do the work.
  ///   - finished: given what is to be kept.
  init(
    _ id: String, _ stored: StoredResponse, _ request: HTTPResponder,
    finished: @escaping @Sendable (StoredResponse) -> Void
  ) {
    (self.id, workers, caller, self.finished) = (id, request, request.caller, finished)
    state = Mutex(State(stored: stored))
  }

  var stored: StoredResponse { state.withLock { $0.stored } }

  /// Tells a client the events behind one that it has, and those that come.
  func tell(_ responder: HTTPResponder, after last: Int) throws(APIError) {
    let isOver = try state.withLock { (state) throws(APIError) -> Bool in
      let told = try state.stored.events(after: last)
      responder.beginEvents()
      responder.write(told)
      if !state.isOver { state.readers = state.readers.filter { !$0.isOver } + [responder] }
      return state.isOver
    }
    // Not within: the next request of the same client may begin there.
    if isOver { responder.end() }
  }

  /// The answer is made, but not yet told.
  func keep(_ response: JSONValue, _ answer: [JSONValue]) {
    state.withLock { state in
      if state.isOver { return }
      state.stored.response = response
      state.stored.messages += answer
      state.stored.isFinished = true
    }
  }

  func cancel() {
    let action = state.withLock { state in
      if !state.isOver, !state.stored.isFinished { state.stored.end("cancelled") }
      return state.whenGone
    }
    finish()
    action?()
  }

  /// Passes on what there is, once.
  private func finish() {
    let readers = state.withLock { state -> [HTTPResponder]? in
      if state.isOver { return nil }
      if !state.stored.isFinished, state.stored.response["status"] != "cancelled" {
        state.stored.end("failed")
        let event: JSONValue = [
          "type": "response.failed", "sequence_number": .number(JSONNumber(state.stored.events?.next ?? 0)),
          "response": state.stored.response,
        ]
        tell("event: response.failed\ndata: \(event.json)\n\n", &state)
      }
      defer { (state.isOver, state.whenGone, state.readers) = (true, nil, []) }
      caller?.leave()
      // Within: who finds it over finds it in the store, and may delete it there.
      finished(state.stored)
      return state.readers
    }
    for reader in readers ?? [] { reader.end() }
  }

  private func tell(_ text: String, _ state: inout State) {
    state.stored.events?.append(text)
    for reader in state.readers { reader.write(text) }
  }

  // MARK: The answer

  func started() { state.withLock { if !$0.isOver { $0.stored.set("status", "in_progress") } } }

  func send(_ reply: HTTPReply) {
    if reply.status != 200 {
      let error = reply.body.withUnsafeBytes { try? JSONValue(parsing: $0) }?["error"]
      fail(error?["code"] ?? .null, error?["message"] ?? "")
    }
    finish()
  }

  func fail(_ error: APIError) { fail(error.code.map { .string($0) } ?? .null, .string(error.message)) }

  private func fail(_ code: JSONValue, _ message: JSONValue) {
    state.withLock { state in
      state.stored.set("error", ["code": code == .null ? "server_error" : code, "message": message])
    }
  }

  func beginEvents() {}

  func write(_ text: String) {
    if text.isEmpty { return }
    state.withLock { if !$0.isOver { tell(text, &$0) } }
  }

  func end() { finish() }

  func perform(_ action: @escaping @Sendable () -> Void) { workers.perform(action) }
  func aside(_ work: @escaping @Sendable () -> Void) { workers.aside(work) }

  func whenGone(_ action: @escaping @Sendable () -> Void) {
    let isOver = state.withLock { state in
      if !state.isOver { state.whenGone = action }
      return state.isOver
    }
    if isOver { action() }
  }
}

/// Those that are not finished.
final class BackgroundAnswers: Sendable {
  private let answers = Mutex<[String: BackgroundAnswer]>([:])

  static let most = 64
  /// So many of one key, so that others have room.
  static let mostOfCaller = most / 2

  subscript(id: String) -> BackgroundAnswer? { answers.withLock { $0[id] } }

  /// - Throws: if there are too many.
  func add(_ answer: BackgroundAnswer) throws(APIError) {
    let problem = answers.withLock { answers -> String? in
      if answers.count >= Self.most { return "\(Self.most) responses" }
      if let caller = answer.caller, answers.values.count(where: { $0.caller === caller }) >= Self.mostOfCaller {
        return "\(Self.mostOfCaller) responses of '\(caller.name)'"
      }
      answers[answer.id] = answer
      answer.caller?.goOn()
      return nil
    }
    guard let problem else { return }
    throw APIError(
      .tooManyRequests, "\(problem) are being made in the background; try again later.", code: "queue_full")
  }

  func remove(_ id: String) { answers.withLock { $0[id] = nil } }
}
