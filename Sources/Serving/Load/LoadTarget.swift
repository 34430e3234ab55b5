// A request as bytes: what a load generator sends.

internal import Core
internal import NIOCore

/// Where requests go and how they are written.
package struct LoadTarget: Sendable {
  package enum Endpoint: String, Sendable, CaseIterable { case completions, chat }
  /// What prompts are made of: token numbers (of /v1/completions alone), words of about a token each, or characters.
  package enum Prompts: String, Sendable, CaseIterable { case tokens, words, characters }

  package let host: String
  package let port: Int
  package var endpoint = Endpoint.completions
  package var prompts = Prompts.tokens
  /// Token numbers are below it.
  package var vocabulary = 90
  package var model: String?
  package var key: String?
  package var streams = true
  /// Goes on beyond the model's end, so that texts have the lengths that were asked for.
  package var ignoresEnd = true
  package var temperature = 0.0
  private let base: String

  /// - Parameter url: `http://host:port`, perhaps with a path in front of /v1.
  package init(url: String) throws {
    guard url.hasPrefix("http://") else {
      throw ServingError("'\(url)' does not begin with http://. Give the server's address, as http://127.0.0.1:8000.")
    }
    let rest = url.dropFirst(7)
    let end = rest.firstIndex(of: "/") ?? rest.endIndex
    let parts = rest[..<end].split(separator: ":", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), !parts[0].isEmpty, let port = parts.count == 2 ? Int(parts[1]) : 80,
      (1...65535).contains(port)
    else { throw ServingError("'\(url)' is no address of a server. Give one as http://127.0.0.1:8000.") }
    (host, self.port) = (String(parts[0]), port)
    var path = String(rest[end...])
    while path.hasSuffix("/") { path.removeLast() }
    base = path.hasSuffix("/v1") ? String(path.dropLast(3)) : path
  }

  private var path: String { base + (endpoint == .chat ? "/v1/chat/completions" : "/v1/completions") }

  /// A request with its body.
  func bytes(_ request: LoadRequest) -> ByteBuffer {
    var body = ByteBuffer()
    body.reserveCapacity(160 + 6 * request.input)
    body.writeStaticString("{")
    if let model { body.writeString("\"model\":\(JSONValue.string(model).json),") }
    body.writeString("\"max_tokens\":\(request.output),\"temperature\":\(JSONNumber(temperature).text),")
    if ignoresEnd { body.writeStaticString("\"ignore_eos\":true,") }
    if streams { body.writeStaticString("\"stream\":true,\"stream_options\":{\"include_usage\":true},") }
    switch (endpoint, prompts) {
    case (.completions, .tokens) where request.text == nil:
      body.writeStaticString("\"prompt\":")
      writeTokens(request, to: &body)
    case (.completions, _):
      body.writeString("\"prompt\":\(JSONValue.string(text(request)).json)")
    case (.chat, _):
      body.writeString("\"messages\":[{\"role\":\"user\",\"content\":\(JSONValue.string(text(request)).json)}]")
    }
    body.writeStaticString("}")
    return bytes("POST", path, body)
  }

  /// A request that every server must refuse, of a kind that the number picks.
  func wrong(_ number: Int) -> ByteBuffer {
    let bodies = [
      "{", "[]", "{\"prompt\": 7}", "{\"messages\": \"none\"}", "{\"max_tokens\": -5, \"prompt\": \"a\"}",
      "{\"prompt\": \"a\", \"temperature\": \"hot\"}", "\u{0}\u{1}", "{\"prompt\": [1, 99999999]}", "",
    ]
    if number % 10 == 9 { return bytes("POST", base + "/v1/nothing", ByteBuffer(string: "{}")) }
    return bytes("POST", path, ByteBuffer(string: bodies[number % bodies.count]))
  }

  private func bytes(_ method: String, _ path: String, _ body: ByteBuffer) -> ByteBuffer {
    var body = body
    var head = ByteBuffer()
    head.reserveCapacity(200 + body.readableBytes)
    let authorization = key.map { "authorization: Bearer \($0)\r\n" } ?? ""
    head.writeString(
      "\(method) \(path) HTTP/1.1\r\nhost: \(host):\(port)\r\ncontent-type: application/json\r\n"
        + "content-length: \(body.readableBytes)\r\n\(authorization)\r\n")
    head.writeBuffer(&body)
    return head
  }

  /// `[17,4,...]`: the numbers of a part are those of a stream that its name picks.
  private func writeTokens(_ request: LoadRequest, to body: inout ByteBuffer) {
    body.writeStaticString("[")
    // The lowest numbers mark beginnings and ends.
    let first = min(3, vocabulary - 1)
    var isFirst = true
    for part in request.parts {
      var random = RandomSequence(seed: part.name, stream: 2)
      for _ in 0..<part.tokens {
        if !isFirst { body.writeInteger(UInt8(ascii: ",")) }
        isFirst = false
        body.writeDecimal(first + Int(random.next() % UInt64(vocabulary - first)))
      }
    }
    body.writeStaticString("]")
  }

  private func text(_ request: LoadRequest) -> String {
    if let text = request.text { return text }
    var text = ""
    for part in request.parts {
      var random = RandomSequence(seed: part.name, stream: 2)
      for _ in 0..<part.tokens {
        if prompts == .characters {
          text.unicodeScalars.append(Unicode.Scalar(UInt8(ascii: "a") + UInt8(random.next() % 26)))
        } else {
          if !text.isEmpty { text += " " }
          text += Self.words[Int(random.next() % UInt64(Self.words.count))]
        }
      }
    }
    return text
  }

  /// Words that most vocabularies hold whole.
  private static let words = """
    the of and to in is was for that with as on be at by he had not are but from or have an they which one you were all her she
    there would their we him been has when who will no more if out so up said what its about than into them can only other time
    new some could these two may first then do any like my now over such our man me even most made after also well did many
    before must years back through where much your way down should because long each just state those people too world year
    """.split(whereSeparator: \.isWhitespace).map(String.init)
}

extension ByteBuffer {
  /// A number that is not negative, in decimal digits.
  fileprivate mutating func writeDecimal(_ value: Int) {
    if value >= 10 { writeDecimal(value / 10) }
    writeInteger(UInt8(ascii: "0") + UInt8(value % 10))
  }
}
