// Every path of the service: what browsers are told of it, what it is not asked with, who needs a key.

import CPUBackend
import Core
import Inference
import Models
import Serving
import Support
import Testing

@Suite struct RouteTests {
  private let server: HTTPServer
  private let tiny: TinyModel

  init() throws {
    tiny = try TinyModel()
    let engine = try InferenceEngine(
      PretrainedModel(path: tiny.path), backend: CPUBackend(threads: 1, rowInvariant: true))
    var settings = APISettings(name: "tiny", version: "1")
    settings.keys = KeyRing(
      try ConfigurationLoader.load(text: "{ keys: [{ key: 'key-of-alice', name: 'alice' }] }", name: "keys"))
    var configuration = HTTPConfiguration()
    configuration.corsOrigin = "https://chat.example"
    server = try HTTPServer(
      host: "127.0.0.1", port: 0, loops: 1, configuration, handle: APIService(engine, settings).handle)
  }

  private func ask(_ method: String, _ path: String, key: String? = nil) throws -> RawClient.Reply {
    let client = try #require(RawClient(port: server.port))
    let authorization = key.map { "Authorization: Bearer \($0)\r\n" } ?? ""
    client.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(authorization)Content-Length: 0\r\n\r\n")
    return try #require(client.reply(hasBody: method != "HEAD"))
  }

  /// The path of a route with something in its braces.
  private func path(_ route: Route) -> String {
    route.path.split(separator: "/", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("{") ? "a-b" : String($0) }.joined(separator: "/")
  }

  @Test func browsersAreToldOfEachPath() throws {
    #expect(Route.all.count { $0.path.contains("{") } >= 3)
    for route in Route.all {
      let reply = try ask("OPTIONS", path(route))
      #expect(reply.status == 204, "\(route.path): \(reply.status)")
      #expect(reply.head.contains("access-control-allow-methods: \(route.methods)\r\n"), "\(route.path)")
      #expect(reply.head.contains("access-control-allow-origin: https://chat.example"), "\(route.path)")
    }
    for path in ["/nothing", "/v1/models/", "/v1/responses/", "/v1/responses//input_items", "/v1/model/a"] {
      #expect(try ask("OPTIONS", path).status == 404, "\(path)")
    }
  }

  @Test func otherMethodsAreRefused() throws {
    for route in Route.all {
      let known = route.methods.split(separator: ", ").map(String.init)
      for method in ["GET", "HEAD", "POST", "DELETE", "PUT"] {
        if !route.isOpen {
          let refused = try ask(method, path(route))
          #expect(refused.status == 401, "\(method) \(route.path)")
        }
        let reply = try ask(method, path(route), key: "key-of-alice")
        #expect((reply.status == 405) == !known.contains(method), "\(method) \(route.path): \(reply.status)")
        if reply.status == 405 { #expect(reply.head.contains("allow: \(route.methods)\r\n"), "\(route.path)") }
      }
    }
  }

  @Test func parametersAreRead() throws {
    let missing = try ask("GET", "/v1/responses/resp_1/input_items", key: "key-of-alice")
    #expect(missing.status == 404 && missing.body.contains("'resp_1'"))
    // Names of adapters may have slashes.
    let adapter = try ask("GET", "/v1/models/some%2Fad/apter", key: "key-of-alice")
    #expect(adapter.status == 404 && adapter.body.contains("'some/ad/apter'"))
    #expect(try ask("GET", "/v1/models/tiny", key: "key-of-alice").body.contains("\"tiny\""))
  }
}
