// How a request finds its endpoint: its name, its key, its route.

internal import Core

extension APIService {
  package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let begin = clock.seconds
    observe(request, responder, begin)
    do throws(APIError) {
      let found = Route.find(request.path)
      // A path that nobody has is anything at all: it is not kept.
      metrics.count(path: found?.route.path ?? "other")
      try answer(request, found, responder)
    } catch {
      refused(error)
      responder.send(request.path.hasPrefix("/v1/messages") ? error.anthropicReply : error.reply)
    }
    metrics.encoded(seconds: clock.seconds - begin)
  }

  /// Gives the request the name that its reply, the log and the trace have in common.
  private func observe(_ request: HTTPRequest, _ responder: HTTPResponder, _ now: Double) {
    let given = request.headers["x-request-id"].flatMap { id in
      (1...128).contains(id.utf8.count) && id.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? id : nil
    }
    guard settings.recordsRequests else {
      if let given { responder.add(headers: [("x-request-id", given)]) }
      return
    }
    let random = (random(), random(), random())
    let context = TraceContext(header: request.headers["traceparent"], random: random)
    let id = given ?? context.spanID
    responder.add(headers: [("x-request-id", id)])
    let record = RequestRecord(
      id: id, trace: context, method: request.method, path: request.path, unixSeconds: clock.unixSeconds, arrived: now)
    responder.trace = RequestTrace(record, settings.observer, clock: clock)
  }

  /// Counts a reply that is an error.
  package func refused(_ error: APIError) { metrics.count(error: error.kind.rawValue) }

  private func answer(
    _ request: HTTPRequest, _ found: (route: Route, parameter: String)?, _ responder: HTTPResponder
  ) throws(APIError) {
    // Browsers ask what they may ask before they show a key.
    if request.method == "OPTIONS" { return try options(request, found?.route, responder) }
    if found?.route.isOpen != true {
      try authenticate(request, found?.route, responder)
      responder.prefillWorker = settings.transfer?.worker(of: request)
    }
    guard let (route, parameter) = found else { throw unknown(request) }
    guard let endpoint = route.endpoint(request.method) else {
      let methods = route.endpoints.keys.sorted().joined(separator: " or ")
      var error = APIError(.wrongMethod, "\(route.path) is asked with \(methods), not \(request.method).")
      error.headers = [("allow", route.methods)]
      throw error
    }
    var request = request
    request.parameter = parameter
    try endpoint(self)(request, responder)
  }

  private func unknown(_ request: HTTPRequest) -> APIError {
    let known = Route.all.map(\.path).sorted().joined(separator: ", ")
    return APIError(.notFound, "There is no \(request.path) here. There are: \(known).")
  }

  private func options(_ request: HTTPRequest, _ route: Route?, _ responder: HTTPResponder) throws(APIError) {
    guard let methods = request.path == "*" ? "GET, HEAD, POST" : route?.methods else { throw unknown(request) }
    var reply = HTTPReply(204, "", [])
    reply.headers = [
      ("allow", methods), ("access-control-allow-methods", methods),
      (
        "access-control-allow-headers",
        "authorization, content-type, x-api-key, anthropic-version, x-request-id, traceparent"
      ), ("access-control-max-age", "600"),
    ]
    responder.send(reply)
  }

  /// Lets a request in, if it brings a key where one is needed and has not come too often.
  private func authenticate(
    _ request: HTTPRequest, _ route: Route?, _ responder: HTTPResponder
  ) throws(APIError) {
    guard let keys = settings.keys else { return }
    let given = request.headers["authorization"].map { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : $0 }
    // Anthropic's clients have a header of their own.
    guard let caller = (given ?? request.headers["x-api-key"]).flatMap({ keys.caller($0) }) else {
      throw APIError(
        .unauthorized, "This server needs a key: send it as 'Authorization: Bearer KEY'.", code: "invalid_api_key")
    }
    responder.caller = caller
    responder.trace?.identified(caller.name)
    if request.method != "POST" || route?.isFree == true { return }
    responder.add(headers: try caller.enter())
    responder.whenOver { caller.leave() }
  }

}
