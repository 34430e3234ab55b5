// The paths of a service: what is asked how, and who answers.
//
// Invariant: everything that depends on which paths there are (answers, 404 and 405, what browsers are told, metrics) is read from
// this one list.

/// A path and the methods that it is asked with.
package struct Route: Sendable {
  typealias Endpoint = @Sendable (APIService) -> (HTTPRequest, HTTPResponder) throws(APIError) -> Void

  /// A part in braces is a parameter: to the next slash or, at the end, all that is left.
  package let path: String
  let endpoints: [String: Endpoint]
  /// Whether it is asked without a key.
  package let isOpen: Bool
  /// Whether it makes nothing, so that a key's limits do not hold it back.
  let isFree: Bool

  private init(
    _ path: String, get: Endpoint? = nil, post: Endpoint? = nil, delete: Endpoint? = nil, open: Bool = false,
    free: Bool = false
  ) {
    (self.path, isOpen, isFree) = (path, open, free)
    endpoints = ["GET": get, "POST": post, "DELETE": delete].compactMapValues(\.self)
  }

  package static let all: [Route] = [
    // Whether the process lives and is ready, and no more, can be asked by anybody: balancers have no keys. The page holds nothing of
    // its own: it asks for a key.
    Route("/", get: APIService.page, open: true), Route("/health", get: APIService.health, open: true),
    Route("/ready", get: APIService.ready, open: true),
    // Servers have a key of their own.
    Route("/v1/cache/blocks", post: APIService.giveBlocks, open: true),
    Route("/v1/chat/completions", post: APIService.chat), Route("/v1/completions", post: APIService.complete),
    Route("/v1/responses", post: APIService.respond),
    Route("/v1/responses/{id}", get: APIService.storedResponse, delete: APIService.deleteResponse),
    Route("/v1/responses/{id}/input_items", get: APIService.storedInput),
    Route("/v1/responses/{id}/cancel", post: APIService.cancelResponse, free: true),
    Route("/v1/messages", post: APIService.message),
    Route("/v1/messages/count_tokens", post: APIService.countTokens),
    Route("/v1/embeddings", post: APIService.embed), Route("/pooling", post: APIService.embed),
    Route("/v1/score", post: APIService.score), Route("/score", post: APIService.score),
    Route("/v1/rerank", post: APIService.rerank), Route("/v2/rerank", post: APIService.rerank),
    Route("/rerank", post: APIService.rerank),
    Route("/classify", post: APIService.classify), Route("/v1/classify", post: APIService.classify),
    Route("/tokenize", post: APIService.tokenize), Route("/detokenize", post: APIService.detokenize),
    Route("/v1/load_lora_adapter", post: APIService.loadAdapter),
    Route("/v1/unload_lora_adapter", post: APIService.unloadAdapter),
    Route("/v1/models", get: APIService.listModels), Route("/v1/models/{model}", get: APIService.describeModel),
    Route("/version", get: APIService.tellVersion), Route("/load", get: APIService.tellLoad),
    Route("/metrics", get: APIService.tellMetrics),
  ]

  private static let fixed = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })
  /// Those with a parameter, the longest first: `{id}/input_items` before `{id}`, which takes all that is left.
  private static let patterns = all.filter { $0.path.contains("{") }
    .map { (route: $0, parts: $0.path.split(separator: "/", omittingEmptySubsequences: false)) }
    .sorted { $0.parts.count > $1.parts.count }

  /// The route that a path belongs to, and its parameter.
  static func find(_ path: String) -> (route: Route, parameter: String)? {
    if let route = fixed[path] { return (route, "") }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    for (route, pattern) in patterns where parts.count >= pattern.count {
      let place = pattern.firstIndex { $0.hasPrefix("{") }!
      let tail = pattern.count - place - 1
      let parameter = parts[place..<(parts.count - tail)]
      guard tail == 0 || parameter.count == 1, parameter.first != "", parts[..<place] == pattern[..<place],
        parts.suffix(tail) == pattern.suffix(tail)
      else { continue }
      return (route, decoded(parameter.joined(separator: "/")))
    }
    return nil
  }

  /// What a part of a path says that has `%2F` for a slash.
  private static func decoded(_ part: String) -> String {
    if !part.utf8.contains(UInt8(ascii: "%")) { return part }
    var (bytes, rest) = ([UInt8](), part.utf8[...])
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2, let code = UInt8(String(rest.prefix(2)) ?? "", radix: 16) {
        bytes.append(code)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The answer to HEAD is that to GET without its body.
  func endpoint(_ method: String) -> Endpoint? { endpoints[method == "HEAD" ? "GET" : method] }

  /// As the header `allow` names them.
  package var methods: String {
    let methods = endpoints.keys.sorted().flatMap { $0 == "GET" ? ["GET", "HEAD"] : [$0] }
    return (methods + ["OPTIONS"]).joined(separator: ", ")
  }
}
