// Where an answer goes: to whoever asked and waits for it, or to the background.

/// Takes an answer, whole or in pieces.
protocol AnswerChannel: Sendable {
  /// Whose key the request brought; nil: none was asked for.
  var caller: Caller? { get }
  /// What is noted of the request; nil: nothing is.
  var trace: RequestTrace? { get }

  /// The model has begun to read the prompt.
  func started()
  /// The whole answer, or an error instead of one.
  func send(_ reply: HTTPReply)
  /// Begins a stream of events, of which `write` takes some at a time.
  func beginEvents()
  func write(_ text: String)
  func end()
  /// The stream, which is about to end, is not whole.
  func fail(_ error: APIError)

  /// Runs what is short, one after the other.
  func perform(_ action: @escaping @Sendable () -> Void)
  /// Runs what takes long.
  func aside(_ work: @escaping @Sendable () -> Void)
  /// Calls `action` once if nobody wants the answer any more, or at once if that has happened.
  func whenGone(_ action: @escaping @Sendable () -> Void)
}

extension HTTPResponder: AnswerChannel {
  func started() {}
  func fail(_ error: APIError) {}
  func beginEvents() { begin(contentType: "text/event-stream; charset=utf-8") }
}
