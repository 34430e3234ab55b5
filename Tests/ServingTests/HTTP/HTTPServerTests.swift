// The server as bytes see it: framing, limits, clients that are slow, rude or of old.

import Core
import Serving
import Synchronization
import Testing

@Suite struct HTTPServerTests {
  /// Answers with what it was sent; `/stream` in pieces.
  private static func echo(_ request: HTTPRequest, _ responder: HTTPResponder) {
    if request.path == "/stream" {
      responder.begin(contentType: "text/plain")
      for piece in ["one ", "two ", "three"] { responder.write(piece) }
      return responder.end()
    }
    let text =
      "\(request.method) \(request.path) \(request.query) \(request.body.count) \(request.headers["x-a"] ?? "")"
    responder.send(HTTPReply(200, "text/plain", Array(text.utf8)))
  }

  private func server(_ change: (inout HTTPConfiguration) -> Void = { _ in }) throws -> HTTPServer {
    var configuration = HTTPConfiguration()
    change(&configuration)
    return try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, configuration, handle: Self.echo)
  }

  private func ask(_ server: HTTPServer, _ text: String) throws -> RawClient.Reply? {
    let client = try #require(RawClient(port: server.port))
    client.send(text)
    return client.reply()
  }

  @Test func requestsFollowEachOther() throws {
    let server = try server()
    defer { server.shutdown() }
    let client = try #require(RawClient(port: server.port))
    client.send(
      "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: \t1 \r\nContent-Length: 3\r\n\r\nabc\r\n"
        + "POST /d HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
        + "GET http://x/e?f HTTP/1.1\r\nhost: x\r\n\r\n")
    #expect(client.reply()?.body == "POST /a b=c 3 1")
    #expect(client.reply()?.body == "POST /d  14 ")
    #expect(client.reply()?.body == "GET /e f 0 ")
    // One byte at a time.
    for byte in "POST /g HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab".utf8 { client.send([byte]) }
    #expect(client.reply()?.body == "POST /g  2 ")
  }

  @Test func dates() {
    #expect(HTTPDate.text(of: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(HTTPDate.text(of: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
    #expect(HTTPDate.text(of: 1_709_251_199) == "Thu, 29 Feb 2024 23:59:59 GMT")
  }

  @Test func clientsOfOld() throws {
    let server = try server()
    defer { server.shutdown() }
    let first = try #require(RawClient(port: server.port))
    first.send("GET /stream HTTP/1.0\r\n\r\n")
    let reply = try #require(first.reply())
    #expect(
      reply.body == "one two three" && !reply.head.contains("chunked") && reply.head.contains("connection: close"))
    let second = try #require(RawClient(port: server.port))
    second.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
    #expect(second.reply()?.head.contains("connection: keep-alive") == true)
    #expect(second.reply()?.body == "GET /b  0 ")
    #expect(second.isClosed())
  }

  @Test func headsAlone() throws {
    let server = try server()
    defer { server.shutdown() }
    let client = try #require(RawClient(port: server.port))
    client.send(
      "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    #expect(client.reply(hasBody: false)?.head.contains("content-length: 11") == true)
    #expect(client.reply(hasBody: false)?.status == 200)
    #expect(client.reply()?.body == "GET /b  0 ")
  }

  @Test func aWordBeforeTheBody() throws {
    let server = try server()
    defer { server.shutdown() }
    let client = try #require(RawClient(port: server.port))
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    client.send("ab")
    #expect(client.reply()?.body == "POST /a  2 ")
  }

  @Test(arguments: [
    ("\u{16}\u{3}\u{1}", 400, "not HTTP"), ("GET /\r\n\r\n", 400, "METHOD PATH VERSION"),
    ("GET / HTTP/1.1\n\n", 400, "CR LF"), ("GET / HTTP/2.0\r\n\r\n", 400, "version"),
    ("GET x HTTP/1.1\r\n\r\n", 400, "begin with /"), ("GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
    ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "two Host"),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "NAME: VALUE"),
    ("GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", 400, "NAME"),
    ("GET / HTTP/1.1\r\nHost: x\u{1}\r\n\r\n", 400, "control"),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Content-Length"),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400, "Content-Length"),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, "Transfer-Encoding"),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400, "both"),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "hexadecimal"),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400, "longer than its size"),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413, "larger"),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413, "larger than 1000"),
    ("POST / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n", 417, "100-continue"),
    ("GET /" + String(repeating: "a", count: 600) + " HTTP/1.1\r\n", 414, "first line"),
    ("GET / HTTP/1.1\r\nHost: x\r\na: " + String(repeating: "b", count: 600) + "\r\n", 431, "larger than 512"),
    ("GET / HTTP/1.1\r\nHost: x\r\na: b\r\nc: d\r\ne: f\r\ng: h\r\n\r\n", 431, "more than 4"),
  ])
  func whatIsNoHTTPIsSaid(text: String, status: Int, message: String) throws {
    let server = try server { ($0.head, $0.headers, $0.body) = (512, 4, 1000) }
    defer { server.shutdown() }
    let client = try #require(RawClient(port: server.port))
    client.send(text)
    let reply = try #require(client.reply())
    #expect(reply.status == status && reply.body.contains(message), "\(reply)")
    #expect(reply.body.hasPrefix(#"{"error":{"message":"#) && reply.head.contains("connection: close"))
    client.finish()
    #expect(client.isClosed())
  }

  @Test func whoIsSlowIsNotWaitedFor() throws {
    let server = try server { ($0.arrival, $0.idle) = (1, 2) }
    defer { server.shutdown() }
    let slow = try #require(RawClient(port: server.port))
    slow.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
    let idle = try #require(RawClient(port: server.port))
    #expect(slow.reply()?.status == 408)
    #expect(idle.isClosed())
  }

  @Test func oneConnectionTooMany() throws {
    let server = try server { $0.connections = 1 }
    defer { server.shutdown() }
    do {
      let first = try #require(RawClient(port: server.port))
      first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      #expect(first.reply()?.status == 200)
      #expect(try #require(RawClient(port: server.port)).reply()?.status == 503)
    }
    // Room again, as soon as the server has noticed.
    let again = (0..<100).contains { _ in (try? ask(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))??.status == 200 }
    #expect(again)
  }

  @Test func whoDoesNotReadIsGivenUp() throws {
    let gone = Atomic(false)
    var configuration = HTTPConfiguration()
    configuration.unread = 1 << 16
    let server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, configuration) { _, responder in
      responder.whenGone { gone.store(true, ordering: .relaxed) }
      responder.begin(contentType: "text/plain")
      let piece = String(repeating: "x", count: 1 << 14)
      // More than the systems' buffers take.
      responder.aside { for _ in 0..<2000 { responder.write(piece) } }
    }
    defer { server.shutdown() }
    let client = try #require(RawClient(port: server.port))
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in 0..<1000 where !gone.load(ordering: .relaxed) { usleep(10_000) }
    let isGone = gone.load(ordering: .relaxed)
    #expect(isGone)
    withExtendedLifetime(client) {}
  }
}
