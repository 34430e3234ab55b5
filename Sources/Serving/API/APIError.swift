// What a client is told that went wrong, in OpenAI's shape.

package import Core

/// An error as a reply.
package struct APIError: Error, Sendable {
  package enum Kind: Int, Sendable {
    case badRequest = 400
    case unauthorized = 401
    case forbidden = 403
    case notFound = 404
    case wrongMethod = 405
    case timeout = 408
    case conflict = 409
    case tooLarge = 413
    case uriTooLong = 414
    case expectationFailed = 417
    case tooManyRequests = 429
    case headTooLarge = 431
    case failed = 500
    case unavailable = 503

    var type: String {
      switch self {
      case .badRequest, .wrongMethod, .timeout, .conflict, .tooLarge, .uriTooLong, .expectationFailed, .headTooLarge:
        "invalid_request_error"
      case .unauthorized: "authentication_error"
      case .forbidden: "permission_error"
      case .notFound: "not_found_error"
      case .tooManyRequests: "rate_limit_error"
      case .failed: "server_error"
      case .unavailable: "unavailable_error"
      }
    }
  }

  package let kind: Kind
  package let message: String
  /// The parameter that is wrong.
  package let parameter: String?
  /// What programs tell errors apart by.
  package let code: String?
  /// Of the reply; the default for what may be tried again is after a second.
  package var headers: [(String, String)] = []

  package init(_ kind: Kind, _ message: String, parameter: String? = nil, code: String? = nil) {
    (self.kind, self.message, self.parameter, self.code) = (kind, message, parameter, code)
  }

  package var json: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(kind.type), "param": parameter.map { .string($0) } ?? .null,
        "code": code.map { .string($0) } ?? .null,
      ]
    ]
  }

  package var reply: HTTPReply {
    var reply = HTTPReply(kind.rawValue, "application/json", json.jsonBytes)
    reply.headers = headers
    if headers.isEmpty, kind == .tooManyRequests || kind == .unavailable { reply.headers = [("retry-after", "1")] }
    return reply
  }
}
