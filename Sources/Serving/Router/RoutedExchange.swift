// One request on its way: to a worker, to another if that fails, and the answer back.
//
// Invariant: the client gets one answer. Until its first byte has been passed on, another worker can be asked for all of it; from
// then on, for the rest, where workers can go on with what others began. All of an exchange belongs to the loop of its client.

internal import Core
internal import NIOCore

/// Carries out what a router decides for a request.
final class RoutedExchange: UpstreamReceiver {
  private let id: Router.RequestID
  private let service: RouterService
  private let pool: UpstreamPool
  private let request: HTTPRequest
  private let facts: RequestFacts?
  private let responder: HTTPResponder
  /// Given where the client gave none.
  private let seed: UInt64
  private(set) var isWaiting = true
  private var worker: WorkerAddress?
  private var isResumable = false
  /// Who reads the prompt for the worker, as long as that has not said what became of it.
  private var prefill: WorkerAddress?

  private var head: ReplyHead?
  private var body = ByteBuffer()
  private var events = EventReader()
  /// What a client has of a stream that another worker can go on with.
  private var answer: AnswerStream?
  private var hasBegun = false
  /// Bytes of a stream have been passed on.
  private var isStreaming = false

  init(
    _ id: Router.RequestID, _ service: RouterService, _ pool: UpstreamPool, _ request: HTTPRequest,
    _ facts: RequestFacts?, _ responder: HTTPResponder
  ) {
    (self.id, self.service, self.pool, self.request) = (id, service, pool, request)
    (self.facts, self.responder) = (facts, responder)
    seed = UInt64.random(in: 0...UInt64.max)
  }

  /// Whoever asked has gone.
  func leave() {
    guard isWaiting else { return }
    isWaiting = false
    pool.cancel(self)
    service.decide(.left(id))
  }

  // MARK: To a worker

  func perform(_ actions: [Router.Action]) {
    for action in actions {
      switch action {
      case .send(_, let address, let resumable, let prefill):
        self.prefill = prefill
        send(to: address, resumable)
      case .refuse(_, let refusal): refuse(refusal)
      }
    }
  }

  private func send(to address: WorkerAddress, _ resumable: Bool, fresh: Bool = false) {
    (worker, isResumable, hasBegun) = (address, resumable, false)
    (head, body, events) = (nil, ByteBuffer(), EventReader())
    if isStreaming {
      answer?.resume()
    } else if resumable, let facts, facts.isResumable {
      answer = AnswerStream(wantsTokens: facts.wantsTokens)
    } else {
      answer = nil
    }
    pool.send(bytes(for: address), to: address, fresh: fresh, for: self)
  }

  /// Headers that workers are told.
  private static let passedOn = [
    "authorization", "x-api-key", "content-type", "accept", "user-agent", "x-request-id", "traceparent", "tracestate",
    "anthropic-version", "anthropic-beta",
  ]

  private func bytes(for address: WorkerAddress) -> ByteBuffer {
    var opening = (bytes: "", rest: 0)
    if isResumable, let answer, let facts { opening = facts.opening(seed: seed, known: answer.tokens) }
    let length = opening.bytes.utf8.count + request.body.count - opening.rest
    var bytes = ByteBuffer()
    bytes.reserveCapacity(length + 512)
    // Of an answer to HEAD nobody could tell that its body does not come; the responder leaves it out.
    bytes.writeString(request.method == "HEAD" ? "GET" : request.method)
    bytes.writeStaticString(" ")
    bytes.writeString(request.path)
    if !request.query.isEmpty { bytes.writeString("?" + request.query) }
    bytes.writeStaticString(" HTTP/1.1\r\nhost: ")
    bytes.writeString(address.authority)
    bytes.writeStaticString("\r\n")
    for name in Self.passedOn {
      guard let value = request.headers[name] else { continue }
      bytes.writeString(name)
      bytes.writeStaticString(": ")
      bytes.writeString(value)
      bytes.writeStaticString("\r\n")
    }
    if let prefill, let key = service.keys.transfer {
      bytes.writeString(
        "\(CacheTransfer.workerHeader): \(prefill)\r\n\(CacheTransfer.keyHeader): \(key)\r\n")
    }
    if length > 0 || request.method != "GET" { bytes.writeString("content-length: \(length)\r\n") }
    bytes.writeStaticString("\r\n")
    bytes.writeString(opening.bytes)
    bytes.writeBytes(request.body[opening.rest...])
    return bytes
  }

  private func refuse(_ refusal: Router.Refusal) {
    isWaiting = false
    if isStreaming {
      let error = APIError(
        .unavailable, "The worker failed, and no other can go on with the answer.", code: "worker_lost")
      responder.write("data: \(error.json.json)\n\n")
      return responder.end()
    }
    // What the last worker said is better than what can be said here.
    if let head, refusal == .failed, head.status >= 400 { return reply(head) }
    responder.send(APIError(refusal).reply)
  }

  // MARK: From a worker

  func received(_ part: ReplyReader.Part) {
    guard isWaiting else { return }
    switch part {
    case .head(let head):
      self.head = head
      if prefill != nil { tellPrefill(head) }
    case .body(let bytes): received(bytes)
    case .end: ended()
    }
  }

  /// What the worker says of the prompt.
  private func tellPrefill(_ head: ReplyHead) {
    prefill = nil
    var outcome = PrefillOutcome.untold
    head.fields.readFields { name, value in
      guard name.elementsEqual(PrefillOutcome.header.utf8) else { return }
      outcome = PrefillOutcome(rawValue: String(decoding: value, as: UTF8.self)) ?? .untold
    }
    service.decide(.prefilled(id, outcome))
  }

  private func received(_ bytes: ByteBuffer) {
    guard let head else { return }
    guard head.isEventStream && head.status == 200 else {
      var bytes = bytes
      body.writeBuffer(&bytes)
      return
    }
    begin()
    guard answer != nil else { return stream(bytes) }
    events.append(bytes)
    while isWaiting, let event = events.next() {
      switch answer!.take(event) {
      case .bytes(let bytes): stream(bytes)
      case .nothing: break
      case .failure:
        pool.cancel(self)
        return failed(isFault: true)
      }
    }
  }

  /// The prompt has been read.
  private func begin() {
    if hasBegun { return }
    hasBegun = true
    service.decide(.began(id))
  }

  private func stream(_ bytes: ByteBuffer) {
    if !isStreaming {
      isStreaming = true
      if let head { responder.add(headers: Self.others(head)) }
      responder.begin(contentType: "text/event-stream; charset=utf-8")
    }
    responder.write(bytes)
  }

  private func ended() {
    guard let head else { return }
    if head.isEventStream && head.status == 200 {
      if let answer, !answer.isDone { return failed(isFault: true) }
      isWaiting = false
      service.decide(.ended(id))
      if !isStreaming {
        responder.add(headers: Self.others(head))
        responder.begin(contentType: "text/event-stream; charset=utf-8")
      }
      return responder.end()
    }
    // A worker that is full, stopping or ill: another may do.
    if head.status == 429 || head.status >= 500 { return failed(isFault: head.status != 429) }
    isWaiting = false
    service.decide(.ended(id))
    reply(head)
  }

  private func reply(_ head: ReplyHead) {
    var reply = HTTPReply(head.status, "application/octet-stream", Array(body.readableBytesView))
    head.fields.readFields { name, value in
      if String(decoding: name, as: UTF8.self).lowercased() == "content-type" {
        reply.contentType = String(decoding: value, as: UTF8.self)
      }
    }
    reply.headers = Self.others(head)
    responder.send(reply)
  }

  /// The headers that are the worker's, not the connection's.
  private static func others(_ head: ReplyHead) -> [(String, String)] {
    var result: [(String, String)] = []
    head.fields.readFields { name, value in
      let name = String(decoding: name, as: UTF8.self).lowercased()
      switch name {
      case "content-type", "content-length", "transfer-encoding", "connection", "keep-alive", "date", "server",
        "cache-control", "x-accel-buffering", PrefillOutcome.header:
        break
      default: result.append((name, String(decoding: value, as: UTF8.self)))
      }
    }
    return result
  }

  func broke(_ reason: String, wasKept: Bool) {
    guard isWaiting, let worker else { return }
    // The worker had closed the connection before the request came.
    if wasKept && head == nil { return send(to: worker, isResumable, fresh: true) }
    if let answer, answer.isDone {
      isWaiting = false
      service.decide(.ended(id))
      return responder.end()
    }
    // Half of a reply is none.
    (head, body) = (nil, ByteBuffer())
    failed(isFault: true)
  }

  private func failed(isFault: Bool) {
    var next = Router.Remainder.whole
    // Without tokens that are known nobody can tell where to go on.
    if isStreaming { next = answer.map { $0.tokens.isEmpty } ?? true ? .nothing : .rest }
    perform(service.decide(.failed(id, isFault: isFault, next: next)))
  }
}

extension APIError {
  init(_ refusal: Router.Refusal) {
    switch refusal {
    case .noWorker:
      self.init(.unavailable, "No worker is ready to answer; try again later.", code: "no_worker")
    case .noModel(let name, let known):
      self.init(
        .notFound, "No worker has a model '\(name)'. There are: \(known.joined(separator: ", ")).", parameter: "model",
        code: "model_not_found")
    case .failed:
      self.init(.unavailable, "The workers that were asked did not answer; try again later.", code: "workers_failed")
    }
  }
}
