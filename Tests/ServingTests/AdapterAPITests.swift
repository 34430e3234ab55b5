// Adapters over HTTP: loaded, named as models, replaced and unloaded, as clients of vLLM do it.

import Core
import Inference
import NIOHTTP1
import Serving
import Support
import Testing

@Suite struct AdapterAPITests {
  private let adapter: TinyAdapter
  private let other: TinyAdapter

  init() throws {
    adapter = try TinyAdapter(rank: 4, seed: 1)
    other = try TinyAdapter(rank: 6, maps: ["mlp.up_proj"], seed: 2)
  }

  private func text(_ server: TestServer, _ model: String) async throws -> String {
    let reply = try await server.post(
      "/v1/completions", ["model": .string(model), "prompt": "Hello", "max_tokens": 16, "temperature": 0])
    #expect(reply["model"]?.string == model)
    return reply["choices"]?[0]?["text"]?.string ?? ""
  }

  @Test func adaptersComeAndGo() async throws {
    let server = try TestServer()
    let bare = try await text(server, "tiny")
    func load(_ adapter: TinyAdapter, inPlace: Bool? = nil) -> JSONValue {
      ["lora_name": "polite", "lora_path": .string(adapter.path), "load_inplace": inPlace.map { .bool($0) } ?? .null]
    }
    let reply = try await server.send(.POST, "/v1/load_lora_adapter", load(adapter))
    #expect(reply.status == 200 && reply.text == "Success: LoRA adapter 'polite' added successfully.")
    let first = try await text(server, "polite")
    #expect(first != bare)
    #expect(try await text(server, "tiny") == bare)
    let chat = try await server.post(
      "/v1/chat/completions",
      ["model": "polite", "messages": [["role": "user", "content": "Hi"]], "max_tokens": 4])
    #expect(chat["model"] == "polite")

    let models = try JSONValue(parsing: await server.send(.GET, "/v1/models").text)["data"]
    #expect(models?[1]?["id"] == "polite" && models?[1]?["parent"] == "tiny")
    #expect(models?[1]?["root"]?.string == adapter.path && models?[0]?["parent"] == .null)
    let one = try JSONValue(parsing: await server.send(.GET, "/v1/models/polite").text)
    #expect(one == models?[1])
    #expect(try await server.send(.GET, "/v1/models/rude").status == 404)

    #expect(try await server.refusal("/v1/load_lora_adapter", load(other)).contains("is loaded already"))
    #expect(try await server.send(.POST, "/v1/load_lora_adapter", load(other, inPlace: true)).status == 200)
    #expect(try await text(server, "polite") != first)
    let metrics = try await server.send(.GET, "/metrics").text
    #expect(
      metrics.contains(#"vllm:lora_requests_info{max_lora="8",running_lora_adapters="",waiting_lora_adapters=""}"#))

    let gone = try await server.send(.POST, "/v1/unload_lora_adapter", ["lora_name": "polite"])
    #expect(gone.status == 200 && gone.text == "Success: LoRA adapter 'polite' removed successfully.")
    let asked: JSONValue = ["model": "polite", "prompt": "Hello"]
    #expect(try await server.refusal("/v1/completions", asked, status: 404).contains("no model 'polite'"))
    let again: JSONValue = ["lora_name": "polite"]
    #expect(try await server.refusal("/v1/unload_lora_adapter", again, status: 404).contains("no adapter 'polite'"))
  }

  @Test func badRequestsAreExplained() async throws {
    let server = try TestServer()
    func refusal(_ body: JSONValue, status: Int = 400) async throws -> String {
      try await server.refusal("/v1/load_lora_adapter", body, status: status)
    }
    #expect(try await refusal(["lora_name": "a"]).contains("'lora_path' is missing"))
    #expect(try await refusal(["lora_name": "tiny", "lora_path": "x"]).contains("not the model's"))
    #expect(
      try await refusal(["lora_name": "a", "lora_path": "no/where"]).contains("There is no adapter at 'no/where'"))
    #expect(try await refusal(["lora_name": "a", "lora_path": "x", "rank": 3]).contains("'rank'"))

    let closed = try TestServer(allowsAdapterLoading: false)
    for path in ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"] {
      let body: JSONValue = ["lora_name": "a", "lora_path": .string(adapter.path)]
      #expect(try await closed.refusal(path, body, status: 403).contains("--allow-adapter-loading"))
    }
    // What the operator loads is served all the same.
    try closed.engine!.load(adapter: "a", path: adapter.path)
    #expect(try await text(closed, "a").count == 16)
  }
}
