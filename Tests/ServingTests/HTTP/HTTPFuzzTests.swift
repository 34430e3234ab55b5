// What nobody should send: requests that were damaged at random.
//
// Each must get a 4xx with a message, or, where the damage changed nothing that matters, an answer; never a 5xx, and the server
// stays up. TACHORNIS_FUZZ_REQUESTS=1000000 asks for as many as the release was tested with; TACHORNIS_SEED repeats a run.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Inference
import Models
import NIOCore
import Serving
import Support
import Testing

@Suite struct HTTPFuzzTests {
  private static let variables = ProcessInfo.processInfo.environment
  private static let count = variables["TACHORNIS_FUZZ_REQUESTS"].flatMap { Int($0) } ?? 1000
  private static let seed = variables["TACHORNIS_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)

  // MARK: Requests

  private static let bodies = [
    #"{"prompt": "ab", "max_tokens": 2, "temperature": 0.5, "stop": ["x"], "logit_bias": {"5": 1}}"#,
    #"{"prompt": [1, 2, 3], "max_tokens": 1, "stream": true, "stream_options": {"include_usage": true}, "n": 2}"#,
    #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "max_tokens": 1, "seed": 7}"#,
    #"{"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}, "max_tokens": 2}"#,
  ]

  /// A request that is right.
  private static func request(_ random: inout RandomSequence) -> [UInt8] {
    let body = bodies[Int(random.next() % UInt64(bodies.count))]
    let path = body.contains("messages") ? "/v1/chat/completions" : "/v1/completions"
    let head = "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    if random.next() % 4 > 0 { return Array("\(head)Content-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8) }
    let size = String(body.utf8.count, radix: 16)
    return Array("\(head)Transfer-Encoding: chunked\r\n\r\n\(size)\r\n\(body)\r\n0\r\n\r\n".utf8)
  }

  private static let pieces = [
    "\r\n", "\r\n\r\n", "\n", "\0", " ", ":", "{", "}", "[", "]", "\"", "\\", "-", "1e999", "null", "true", "\u{FF}",
    "\\ud800",
    "99999999999999999999", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Host: y\r\n",
    "GET / HTTP/1.1\r\n",
    "[[[[[[[[[[[[[[[[", "HTTP/9.9", "chunked", "\"n\": 100000,", "\"prompt\": null,", "\"stream\": 1,", "\"x\": ",
  ]

  /// Changes some of the bytes, in one to four places.
  private static func damaged(_ bytes: [UInt8], _ random: inout RandomSequence) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<(1 + random.next() % 4) {
      if bytes.isEmpty { break }
      let place = Int(random.next() % UInt64(bytes.count))
      let length = min(Int(random.next() % 8) + 1, bytes.count - place)
      switch random.next() % 6 {
      case 0: bytes[place] ^= 1 << UInt8(random.next() % 8)
      case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
      case 2: bytes.removeSubrange(place..<(place + length))
      case 3: bytes.insert(contentsOf: bytes[place..<(place + length)], at: place)
      case 4: bytes.insert(contentsOf: pieces[Int(random.next() % UInt64(pieces.count))].utf8, at: place)
      default: bytes.removeSubrange(place...)
      }
    }
    return bytes
  }

  // MARK: Tests

  @Test func everyRequestIsAnswered() throws {
    let tiny = try TinyModel()
    var settings = EngineConfiguration()
    (settings.running, settings.stepTokens, settings.blockSize) = (8, 64, 4)
    let engine = try InferenceEngine(
      PretrainedModel(path: tiny.path), settings, backend: CPUBackend(threads: 1, rowInvariant: true))
    let template = try ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}")
    let service = APIService(engine, APISettings(name: "tiny", version: "1", template: template))
    var configuration = HTTPConfiguration()
    configuration.arrival = 1
    let server = try HTTPServer(
      host: "127.0.0.1", port: 0, loops: 1, configuration, refused: service.refused, handle: service.handle)
    defer { server.shutdown() }
    var random = RandomSequence(seed: Self.seed, stream: 0)
    var statuses: [Int: Int] = [:]
    var silent = 0
    for _ in 0..<Self.count {
      let bytes = Self.damaged(Self.request(&random), &random)
      let client = try #require(RawClient(port: server.port), "the server takes connections; seed \(Self.seed)")
      client.send(bytes)
      // To a request that is not whole there is an answer when nothing more can come.
      if !client.hasMore(within: 5) { client.finish() }
      guard let reply = client.reply() else {
        silent += 1
        continue
      }
      statuses[reply.status, default: 0] += 1
      let text = String(decoding: bytes, as: UTF8.self)
      #expect((200..<500).contains(reply.status), "seed \(Self.seed): \(text.debugDescription): \(reply)")
      if reply.status >= 400 {
        let error = try? JSONValue(parsing: reply.body)["error"]
        #expect(error?["message"]?.string?.isEmpty == false, "seed \(Self.seed): \(text.debugDescription): \(reply)")
      }
    }
    // A request that is right but for its end, and slow: whoever goes away meanwhile gets no answer.
    print(
      "fuzz: \(Self.count) requests, seed \(Self.seed), answers \(statuses.sorted { $0.key < $1.key }), cut off \(silent)"
    )
    let client = try #require(RawClient(port: server.port))
    client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    #expect(client.reply()?.status == 200)
  }
}
