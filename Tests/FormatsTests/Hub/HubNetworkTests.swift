// Encrypted downloads, certificates and proxies. The certificate among the fixtures is valid for this machine until 2126:
//
//   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout hub-key.pem -out hub-certificate.pem
//     -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1

import Core
import Formats
import FoundationEssentials
import Support
import Testing

@Suite struct HubNetworkTests {
  static let certificate = TestFiles.fixture("hub-certificate.pem")

  static func pull(
    from host: String, to place: HubPullTests.Place, environment: [String: String]
  ) async throws -> HubPull.Result {
    var pull = try HubPull(
      HubModel(parsing: TestHub.model), endpoint: HubEndpoint(host: host, environment: environment),
      folder: place.path, environment: environment)
    pull.retries = HubRetries(attempts: 2, firstDelay: 0.002, longestDelay: 0.02, patience: 2, silence: 10)
    return try await pull.run(events: MemorySink<PullEvent>())
  }

  @Test func encryptedWithACertificateOfOnesOwn() async throws {
    let model = try await HubPullTests.Model(), place = HubPullTests.Place()
    // Large files come from another server, which is not encrypted here.
    let entries = model.wanted.filter { !$0.isLarge }
    let hub = TestHub(entries)
    let front = try await EncryptedFront(
      certificate: Self.certificate, key: TestFiles.fixture("hub-key.pem"), port: hub.hub.port)
    let host = "https://localhost:\(front.port)"
    _ = try await Self.pull(from: host, to: place, environment: ["SSL_CERT_FILE": Self.certificate])
    try place.expectExactly(entries)

    // Without it nothing but the handshake takes place.
    let requests = hub.hub.requests.count
    let error = await #expect(throws: FormatsError.self) {
      try await Self.pull(from: host, to: HubPullTests.Place(), environment: ["HF_TOKEN": "secret"])
    }
    #expect(error?.message.contains("certificate is not trusted") == true, "\(String(describing: error))")
    #expect(error?.message.contains("SSL_CERT_FILE") == true)
    #expect(hub.hub.requests.count == requests)
  }

  @Test func aFileWithoutCertificatesIsRefused() async throws {
    for path in ["/nonesuch.pem", TestFiles.fixture("sample.gguf")] {
      let error = await #expect(throws: FormatsError.self) {
        try await Self.pull(
          from: "https://localhost:1", to: HubPullTests.Place(), environment: ["SSL_CERT_FILE": path])
      }
      #expect(error?.code == .setting && error?.message.contains(path) == true, "\(String(describing: error))")
    }
  }

  @Test func requestsGoToTheProxy() async throws {
    let proxy = LocalServer { _ in LocalResponse(404) }
    let environment = ["http_proxy": "http://user:word@127.0.0.1:\(proxy.port)"]
    await #expect(throws: FormatsError.self) {
      try await Self.pull(from: "http://hub.test", to: HubPullTests.Place(), environment: environment)
    }
    let request = try #require(proxy.requests.first)
    #expect(request.target == "hub.test:80", "a tunnel to the hub is asked for")
    #expect(request.headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk")
  }

  @Test(arguments: ["socks5://me:secret@proxy.test:1080", "me:se@cret@", "ftp://me:sec://ret@a"])
  func passwordsAreNotShown(address: String) throws {
    let error = #expect(throws: FormatsError.self) {
      try HubNetwork(for: "https://hub.test", environment: ["HTTPS_PROXY": address])
    }
    #expect(error?.message.contains("HTTPS_PROXY") == true && error?.message.contains("…@") == true)
    #expect(error?.message.contains("me:") == false && error?.message.contains("cret") == false, "\(error!.message)")
    let other = #expect(throws: FormatsError.self) {
      try HubEndpoint(host: "https://me:secret@hub.test", environment: [:])
    }
    #expect(other?.message.contains("secret") == false)
  }

  @Test func theEnvironmentNamesTheProxy() throws {
    func proxy(_ hub: String, _ environment: [String: String]) throws -> HubNetwork.Proxy? {
      try HubNetwork(for: hub, environment: environment).proxy
    }
    let usual = ["HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": "localhost, .inner.test,other.test"]
    let expected = HubNetwork.Proxy(host: "proxy.test", port: 3128)
    #expect(try proxy("https://hub.test", usual) == expected)
    #expect(try proxy("https://hub.inner.test", usual) == nil)
    #expect(try proxy("https://deep.other.test", usual) == nil)
    #expect(try proxy("https://another.test", usual) == expected)
    #expect(try proxy("http://hub.test", usual) == nil)
    #expect(try proxy("https://127.0.0.1:8080", usual) == nil)
    #expect(try proxy("https://hub.test", ["https_proxy": "proxy.test:3128"]) == expected)
    #expect(try proxy("https://hub.test", ["HTTPS_PROXY": "http://a", "NO_PROXY": "*"]) == nil)
    for wrong in ["socks5://proxy.test:1080", "http://"] {
      let error = #expect(throws: FormatsError.self) { try proxy("https://hub.test", ["HTTPS_PROXY": wrong]) }
      #expect(error?.message.contains("HTTPS_PROXY") == true)
    }
  }
}
