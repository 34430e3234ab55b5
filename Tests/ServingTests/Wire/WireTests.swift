// Replies, events and members out of bytes: the same whatever the cuts.

import Core
import NIOCore
import Serving
import Testing

@Suite struct WireTests {
  /// Gives `bytes` in pieces of random lengths.
  private func pieces(_ bytes: String, _ random: inout RandomSequence) -> [ByteBuffer] {
    var left = Array(bytes.utf8)[...]
    var pieces: [ByteBuffer] = []
    while !left.isEmpty {
      let count = min(left.count, Int.random(in: 1...9, using: &random))
      pieces.append(ByteBuffer(bytes: left.prefix(count)))
      left = left.dropFirst(count)
    }
    return pieces
  }

  @Test func repliesDoNotDependOnCuts() throws {
    let bytes =
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
      + "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ntransfer-encoding: Chunked\r\nCONTENT-TYPE: text/event-stream\r\n"
      + "\r\n4;x=y\r\ndata\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n"
      + "HTTP/1.1 404 Not\r\nconnection: close\r\ncontent-length: 0\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end"
    var random = RandomSequence(seed: 1)
    for _ in 0..<200 {
      var (reader, unread, log, open) = (ReplyReader(), ByteBuffer(), "", "")
      for var piece in pieces(bytes, &random) {
        unread.writeBuffer(&piece)
        while let part = try reader.next(&unread) {
          switch part {
          case .head(let head):
            log += "[\(head.status) \(head.length ?? -1) \(head.keepsAlive) \(head.isEventStream) "
            if head.status == 200, head.length == 5 {
              #expect(String(buffer: head.fields) == "Content-Length: 5\r\nX-A: b\r\n")
            }
          case .body(let body): log += String(buffer: body)
          case .end: log += "]"
          }
        }
      }
      open = log
      #expect(
        open
          == "[200 5 true false hello][201 -1 true true data0123456789][204 -1 true false ][404 0 false false ]"
          + "[200 -1 false false to the end")
      #expect(reader.endsWithConnection && reader.isInside)
    }
  }

  @Test(arguments: ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 two\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n"])
  func whatIsNoReplyIsSaid(bytes: String) {
    var buffer = ByteBuffer(string: bytes)
    var reader = ReplyReader()
    #expect(throws: ReplyError.self) { _ = try reader.next(&buffer) }
  }

  @Test func eventsAreWhole() {
    let bytes = "data: {\"a\": 1}\n\ndata: x\r\n\r\n: ping\n\ndata: [DONE]\n\nrest"
    var random = RandomSequence(seed: 2)
    for _ in 0..<100 {
      var reader = EventReader()
      var events: [ByteBuffer] = []
      for piece in pieces(bytes, &random) {
        reader.append(piece)
        while let event = reader.next() { events.append(event) }
      }
      #expect((events.map(String.init(buffer:)) + [String(buffer: reader.rest())]).joined() == bytes)
      #expect(
        events.map { $0.eventData.map { String(decoding: $0, as: UTF8.self) } } == [#"{"a": 1}"#, "x", nil, "[DONE]"])
    }
  }

  @Test func membersLieWhereTheyAre() throws {
    let text = #" { "a" : "x\"}\\" , "b":[1, -22,{"c":[]}] ,"d":true,"e":{},"tokens":[5,6,7] } "#
    try Array(text.utf8).withUnsafeBytes { bytes in
      let json = RawJSON(bytes)
      let members = try #require(json.members())
      let values = members.map { String(decoding: bytes[$0.value], as: UTF8.self) }
      #expect(values == [#""x\"}\\""#, #"[1, -22,{"c":[]}]"#, "true", "{}", "[5,6,7]"])
      #expect(json.string(members[0].value) == #"x"}\"#)
      #expect(json.value("tokens").flatMap(json.integers) == [5, 6, 7])
      #expect(json.elements(at: members[1].value.lowerBound)?.count == 3)
      #expect(json.value("missing") == nil)
    }
  }

  @Test(arguments: ["", "{", "[1]", #"{"a"}"#, #"{"a":}"#, #"{"a":1"#, #"{"a":"x}"#, #"{"a":[1,}"#, #"{"a":1 "b":2}"#])
  func brokenObjectsHaveNoMembers(text: String) {
    Array(text.utf8).withUnsafeBytes { #expect(RawJSON($0).members() == nil) }
  }
}
