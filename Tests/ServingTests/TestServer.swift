// A server with a tiny model, and what a client does with it.

import AsyncHTTPClient
import CPUBackend
import Core
import Dispatch
import Formats
import Inference
import Models
import NIOCore
import NIOHTTP1
import Serving
import Support
import Testing

/// Answers on a port of its own.
struct TestServer {
  static let plainTemplate = """
    {% for m in messages %}{{ m.role }}: {{ m.content or '' }}{% for c in m.tool_calls or [] %}[{{ c.function.name }} \
    {{ c.function.arguments | tojson }}]{% endfor %} {% endfor %}{% if tools %}tools: {{ tools | tojson }} {% endif %}\
    {% if add_generation_prompt %}assistant:{% endif %}
    """

  private let tiny: TinyModel?
  let service: APIService
  let server: HTTPServer
  /// Nil: it writes no texts.
  let engine: InferenceEngine?

  /// - Parameters:
  ///   - seed: of the model's weights.
  ///   - transfer: its blocks move with this.
  ///   - mostTokens: of a text; as many as the model takes if nil.
  init(
    template: String? = plainTemplate, family: StreamFamily? = nil, context: Int = 1024, poolsLastToken: Bool = false,
    allowsAdapterLoading: Bool = true, observer: (any EventSink<ServiceEvent>)? = nil, seed: UInt64 = 5,
    threads: Int = 2, transfer: CacheTransfer? = nil, certificate: TLSCertificate? = nil,
    mostTokens: Int? = nil
  ) throws {
    let tiny = try TinyModel(context: context, seed: seed)
    self.tiny = tiny
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (8, 64, 4)
    configuration.context = mostTokens
    let engine = try InferenceEngine(
      PretrainedModel(path: tiny.path), configuration, movesBlocks: transfer != nil,
      backend: CPUBackend(threads: threads, rowInvariant: true))
    self.engine = engine
    var settings = APISettings(name: "tiny", version: "1.2.3", template: try template.map { try ChatTemplate($0) })
    (settings.family, settings.poolsLastToken) = (family, poolsLastToken)
    (settings.allowsAdapterLoading, settings.transfer) = (allowsAdapterLoading, transfer)
    if let observer { (settings.observer, settings.recordsRequests) = (observer, true) }
    service = APIService(engine, settings)
    server = try HTTPServer(
      host: "127.0.0.1", port: 0, loops: 1, certificate: certificate, handle: service.handle)
    while !engine.isReady { _ = DispatchSemaphore(value: 0).wait(timeout: .now() + 0.001) }
  }

  /// A server with an encoder instead.
  init(pooling engine: PoolingEngine) throws {
    service = APIService(nil, encoder: engine, APISettings(name: "tiny", version: "1.2.3"))
    (tiny, self.engine) = (nil, nil)
    server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
  }

  func send(
    _ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil
  ) async throws -> (status: Int, text: String) {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)\(path)")
    request.method = method
    if let body { request.body = .bytes(ByteBuffer(string: body.json)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
    let bytes = try await response.body.collect(upTo: 1 << 24)
    return (Int(response.status.code), String(buffer: bytes))
  }

  func post(_ path: String, _ body: JSONValue) async throws -> JSONValue {
    let (status, text) = try await send(.POST, path, body)
    #expect(status == 200, "\(text)")
    return try JSONValue(parsing: text)
  }

  /// The message of an error.
  func refusal(_ path: String, _ body: JSONValue, status: Int = 400) async throws -> String {
    let reply = try await send(.POST, path, body)
    #expect(reply.status == status, "\(reply.text)")
    return try JSONValue(parsing: reply.text)["error"]?["message"]?.string ?? ""
  }

  /// The objects of a stream with their events' names.
  func events(_ path: String, _ body: JSONValue) async throws -> [(name: String, data: JSONValue)] {
    guard case .object(var object) = body else { return [] }
    object["stream"] = true
    let (status, text) = try await send(.POST, path, .object(object))
    #expect(status == 200, "\(text)")
    #expect(text.hasSuffix("\n\n"))
    return try text.split(separator: "\n\n").map { event in
      var (name, data) = ("", "")
      for line in event.split(separator: "\n") {
        if line.hasPrefix("event: ") { name = String(line.dropFirst(7)) }
        if line.hasPrefix("data: ") { data = String(line.dropFirst(6)) }
      }
      return (name, data == "[DONE]" ? "[DONE]" : try JSONValue(parsing: data))
    }
  }

  /// The objects of a stream that ends as OpenAI's do.
  func chunks(_ path: String, _ body: JSONValue) async throws -> [JSONValue] {
    let events = try await events(path, body)
    #expect(events.last?.data == "[DONE]")
    return events.dropLast().map(\.data)
  }
}

extension JSONValue {
  /// The element of an array.
  subscript(index: Int) -> JSONValue? {
    guard let array, array.indices.contains(index) else { return nil }
    return array[index]
  }

  /// This object with other members.
  func with(_ members: (String, JSONValue)...) -> JSONValue {
    var object = object ?? JSONObject()
    for (key, value) in members { object[key] = value }
    return .object(object)
  }
}
