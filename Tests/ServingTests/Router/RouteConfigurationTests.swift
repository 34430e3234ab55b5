// A router's settings, from a file and from overrides.

import Core
import FoundationEssentials
import Serving
import Testing

@Suite struct RouteConfigurationTests {
  @Test func fileThenOverrides() throws {
    let file = FileManager.default.temporaryDirectory.path + "/route-\(UUID().uuidString).json5"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let text = """
      {
        workers: ["http://a:1", "dns://b:2", "k8s://c/d"], prefillWorkers: ["https://e"], transferKey: "t",
        policy: "power-of-two", session: "X-Session", cacheTokens: 6400, kubernetes: { api: "https://k:6443" },
      }
      """
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    let settings: RouteConfiguration = try ConfigurationLoader.load(
      file: file, overrides: ["prefillTokens=320", "attempts=2", "policy=random"])
    let options = settings.options
    #expect(options.decisions.policy == .random && options.decisions.attempts == 2 && options.session == "x-session")
    #expect(options.decisions.cacheBlocks == 200 && options.decisions.prefillBlocks == 10)
    let groups = try settings.groups()
    #expect(groups.map(\.role) == [.decode, .decode, .decode, .prefill])
    #expect(groups[0].source == .given(WorkerAddress(host: "a", port: 1)))
    #expect(groups[3].source == .given(WorkerAddress(host: "e", port: 443, isEncrypted: true)))
    let api = WorkerAddress(host: "k", port: 6443, isEncrypted: true)
    #expect(groups[2].source == .kubernetes(api: api, namespace: "c", service: "d", port: nil, token: nil))
  }

  @Test func allThatIsWrongIsSaid() {
    func problems(_ overrides: [String]) -> String {
      do {
        let _: RouteConfiguration = try ConfigurationLoader.load(file: nil, overrides: overrides)
        return ""
      } catch {
        return "\(error)"
      }
    }
    let text = problems([
      "port=70000", "attempts=0", "interval=0", "prefillWorkers=[\"a:1\"]", "workers=[\"a:1\"]", "policy=best",
      "tlsKey=k", "worker=[]",
    ])
    for name in ["port", "attempts", "interval", "transferKey", "prefillWorkers", "policy", "tlsKey", "worker "] {
      #expect(text.contains("  \(name)"), "\(name) in \(text)")
    }
    #expect(problems(["workers=[\"a:1\"]"]) == "")
    // However it is spelled, a worker has one role.
    let twice = problems(["transferKey=t", "workers=[\"a:1\"]", "prefillWorkers=[\"http://a:1/\"]"])
    #expect(twice.contains("must not be among workers"))
  }
}
