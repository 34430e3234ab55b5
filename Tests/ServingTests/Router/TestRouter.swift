// A router before workers, and what a client does with it.

import AsyncHTTPClient
import Core
import NIOCore
import NIOHTTP1
import Serving
import Testing

/// A router on a port of its own.
final class TestRouter: Sendable {
  let service: RouterService
  let server: HTTPServer
  let supervisor: WorkerSupervisor

  /// - Parameters:
  ///   - ports: of this machine, where workers answer.
  ///   - prefill: where they read prompts.
  ///   - groups: more workers.
  init(
    _ ports: [Int], prefill: [Int] = [], groups: [WorkerGroup] = [], transferKey: String? = nil,
    _ change: (inout RouterOptions) -> Void = { _ in }
  ) throws {
    var options = RouterOptions()
    (options.decisions.policy, options.interval) = (.roundRobin, 0.1)
    change(&options)
    var keys = RouterKeys()
    (keys.admin, keys.transfer) = ("key", transferKey)
    service = try RouterService(options, keys, version: "1")
    server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
    func here(_ ports: [Int], _ role: WorkerRole) -> [WorkerGroup] {
      ports.map { WorkerGroup(.given(WorkerAddress(host: "127.0.0.1", port: $0)), role) }
    }
    supervisor = try WorkerSupervisor(service, here(ports, .decode) + here(prefill, .prefill) + groups)
  }

  deinit {
    supervisor.stop()
    server.shutdown()
  }

  func send(
    _ method: String, _ path: String, _ body: JSONValue? = nil, key: String? = nil
  ) async throws -> (status: Int, text: String) {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)\(path)")
    request.method = .init(rawValue: method)
    if let key { request.headers.add(name: "authorization", value: "Bearer \(key)") }
    if let body { request.body = .bytes(ByteBuffer(string: body.json)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
    #expect(response.headers["x-prefill"].isEmpty, "what workers tell routers is no client's")
    return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 1 << 24)))
  }

  /// The value of a metric, over all labels.
  func metric(_ name: String) async throws -> Int {
    let lines = try await send("GET", "/metrics", key: "key").text.split(separator: "\n").filter {
      $0.hasPrefix("tachornis_router_\(name)")
    }
    return lines.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
  }

  /// The chunks of a stream without what is different each time; its name once.
  static func chunks(_ text: String) throws -> (chunks: [JSONValue], names: Set<String>) {
    let events = text.split(separator: "\n\n").map { String($0.dropFirst(6)) }
    #expect(events.last == "[DONE]", "\(text.suffix(300))")
    var names: Set<String> = []
    let chunks = try events.dropLast().map { event -> JSONValue in
      guard case .object(var object) = try JSONValue(parsing: event) else { return .null }
      names.insert("\(object["id"]!.json) \(object["created"]!.json)")
      (object["id"], object["created"]) = (nil, nil)
      if var usage = object["usage"]?.object {
        usage["prompt_tokens_details"] = nil
        object["usage"] = .object(usage)
      }
      return .object(object)
    }
    return (chunks, names)
  }
}
