// What an endpoint sees of HTTP.

/// A request that has arrived whole.
package struct HTTPRequest: Sendable {
  package var method: String
  /// Without the query.
  package var path: String
  package var query: String
  /// By lower-case names.
  package var headers: [String: String]
  package var body: [UInt8]
}

/// A reply that is known whole.
package struct HTTPReply: Sendable {
  package var status: Int
  package var contentType: String
  package var headers: [(String, String)] = []
  package var body: [UInt8]

  package init(_ status: Int = 200, _ contentType: String, _ body: [UInt8]) {
    (self.status, self.contentType, self.body) = (status, contentType, body)
  }
}
