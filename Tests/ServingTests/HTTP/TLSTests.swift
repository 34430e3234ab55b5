// HTTPS. The certificate among the fixtures is valid for this machine until 2126:
//
//   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server-key.pem -out server-certificate.pem
//     -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOSSL
import Serving
import Testing

@Suite struct TLSTests {
  private static let folder = String(#filePath.prefix(upTo: #filePath.range(ofLast: "/HTTP/"))) + "/Fixtures/"
  private static let chain = folder + "server-certificate.pem"
  private static let key = folder + "server-key.pem"

  @Test func repliesAreEncrypted() async throws {
    let certificate = try TLSCertificate(chain: Self.chain, key: Self.key)
    let text = String(repeating: "Hello. ", count: 100_000)
    let server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, certificate: certificate) { request, responder in
      responder.send(HTTPReply(200, "text/plain", Array("\(request.path) \(text)".utf8)))
    }
    var settings = TLSConfiguration.makeClientConfiguration()
    settings.trustRoots = .file(Self.chain)
    let client = HTTPClient(configuration: HTTPClient.Configuration(tlsConfiguration: settings))
    for close in [false, true] {
      // New connections get the certificate that was read again; those that there are go on.
      try certificate.reload()
      var request = HTTPClientRequest(url: "https://localhost:\(server.port)/a")
      if close { request.headers.add(name: "connection", value: "close") }
      let response = try await client.execute(request, timeout: .seconds(300))
      let body = try await response.body.collect(upTo: 1 << 24)
      #expect(response.status == .ok && String(buffer: body) == "/a \(text)")
    }
    // Plain HTTP is no TLS.
    let plain = try #require(RawClient(port: server.port))
    plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    #expect(plain.reply() == nil)
    try await client.shutdown()
    server.shutdown()
  }

  @Test func filesThatCannotBeUsed() {
    #expect(throws: ServingError.self) { try TLSCertificate(chain: Self.key, key: Self.chain) }
    #expect(throws: ServingError.self) { try TLSCertificate(chain: "/nowhere", key: Self.key) }
  }
}

extension String {
  /// Where a text begins for the last time.
  fileprivate func range(ofLast text: String) -> String.Index {
    indices.last { self[$0...].hasPrefix(text) } ?? startIndex
  }
}
