// A worker that fetches blocks, before readers that are slow, small, or send it elsewhere.

import AsyncHTTPClient
import Core
import Inference
import NIOCore
import NIOHTTP1
import Serving
import Support
import Synchronization
import Testing

@Suite struct TransferTests {
  /// Asks a worker for a text whose prompt is to be read at `reader`.
  private static func ask(
    _ worker: TestServer, _ number: Int, reader: Int, client: HTTPClient = .shared
  ) async throws -> (status: Int, outcome: String?) {
    let prompt = String((0..<200).map { Character(Unicode.Scalar(UInt8(33 + ($0 * 7 + number * 31) % 90))) })
    let body: JSONValue = ["prompt": .string(prompt), "max_tokens": 2, "temperature": 0]
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(worker.server.port)/v1/completions")
    request.method = .POST
    request.headers.add(name: "x-prefill-worker", value: "http://127.0.0.1:\(reader)")
    request.headers.add(name: "x-transfer-key", value: "shared")
    request.body = .bytes(ByteBuffer(string: body.json))
    let response = try await client.execute(request, timeout: .seconds(300))
    _ = try await response.body.collect(upTo: 1 << 20)
    return (Int(response.status.code), response.headers.first(name: "x-prefill"))
  }

  private static func worker() throws -> TestServer {
    try TestServer(transfer: CacheTransfer(key: "shared", patience: 300))
  }

  @Test func redirectsAreNotFollowed() async throws {
    let keys = Mutex<[String]>([])
    let thief = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      keys.withLock { $0.append(request.headers["x-transfer-key"] ?? "") }
      responder.send(HTTPReply(200, "text/plain", []))
    }
    defer { thief.shutdown() }
    let port = thief.port
    let reader = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      var reply = HTTPReply(307, "text/plain", [])
      reply.headers = [("location", "http://127.0.0.1:\(port)\(request.path)")]
      responder.send(reply)
    }
    defer { reader.shutdown() }
    let answer = try await Self.ask(Self.worker(), 0, reader: reader.port)
    #expect(answer == (200, "unusable") && keys.withLock { $0 } == [])
  }

  @Test func manyWaitAtATimeForOneReader() async throws {
    // The reader answers nobody before all have asked.
    let count = 24
    let here = Mutex<[HTTPResponder]>([])
    let reader = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { _, responder in
      let all = here.withLock { here in
        here.append(responder)
        return here.count == count ? here : []
      }
      for responder in all { responder.send(HTTPReply(429, "text/plain", [])) }
    }
    defer { reader.shutdown() }
    let (worker, port) = (try Self.worker(), reader.port)
    var configuration = HTTPClient.Configuration()
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = count
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    await withTaskGroup(of: String?.self) { group in
      for number in 0..<count {
        group.addTask { try? await Self.ask(worker, number, reader: port, client: client).outcome }
      }
      for await outcome in group { #expect(outcome == "busy") }
    }
    try await client.shutdown()
  }

  @Test func aReaderWithAShorterContextIsWell() async throws {
    let (worker, reader) = (try Self.worker(), try Self.worker())
    // Of one form, but with less room.
    let small = try TestServer(transfer: CacheTransfer(key: "shared", patience: 300), mostTokens: 128)
    #expect(small.engine!.blockForm == worker.engine!.blockForm)
    #expect(try await Self.ask(worker, 1, reader: small.server.port) == (200, "needless"))
    #expect(try await Self.ask(worker, 4, reader: reader.server.port).outcome == "moved")
  }

  @Test func whatWaitsForBlocksIsAnsweredBeforeTheEnd() async throws {
    let isAsked = Mutex(false)
    let silent = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { _, _ in isAsked.withLock { $0 = true } }
    defer { silent.shutdown() }
    let (worker, port) = (try Self.worker(), silent.port)
    let answer = Task { try await Self.ask(worker, 2, reader: port) }
    for _ in 0..<6000 where !isAsked.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
    let service = worker.service
    let clock = MonotonicClock()
    let begin = clock.seconds
    await withCheckedContinuation { continuation in
      Threads.start {
        service.drain()
        continuation.resume()
      }
    }
    #expect(try await answer.value == (200, "busy") && clock.seconds - begin < 200)
    #expect(try await Self.ask(worker, 3, reader: port).status == 503)
  }
}
