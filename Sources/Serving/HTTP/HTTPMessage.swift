// What an endpoint sees of HTTP.

/// A request that has arrived whole.
package struct HTTPRequest: Sendable {
  package var method: String
  /// Without the query.
  package var path: String
  /// What the request has where its route's path has a parameter.
  package var parameter = ""
  package var query: String
  package var headers: HTTPHeaders
  package var body: [UInt8]
}

/// The headers of a request. They are looked up in the bytes that came: most are never asked for.
package struct HTTPHeaders: Sendable {
  private var bytes: [UInt8] = []
  private var places: [(name: Range<Int>, value: Range<Int>)] = []

  package init() {}

  package var count: Int { places.count }

  /// The value of the first header of a name.
  ///
  /// - Parameter name: in lower case.
  package subscript(name: String) -> String? { values(name).first }

  /// All of a name, in their order.
  package func values(_ name: String) -> [String] {
    places.lazy.filter { bytes[$0.name].elementsEqual(name.utf8) }
      .map { String(decoding: bytes[$0.value], as: UTF8.self) }
  }

  mutating func append(name: UnsafeRawBufferPointer.SubSequence, value: UnsafeRawBufferPointer.SubSequence) {
    let start = bytes.count
    for byte in name { bytes.append((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte) }
    let middle = bytes.count
    bytes.append(contentsOf: value)
    places.append((start..<middle, middle..<bytes.count))
  }
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
