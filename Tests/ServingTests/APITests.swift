// The server as a client sees it: replies and streams in OpenAI's shapes, and an error with a reason for whatever is wrong.

import AsyncHTTPClient
import CPUBackend
import Core
import Formats
import Inference
import Models
import NIOCore
import NIOHTTP1
import Serving
import Support
import Testing

@Suite struct APITests {
  private let tiny: TinyModel
  private let server: HTTPServer
  private let engine: InferenceEngine
  private let client = HTTPClient.shared

  init() throws {
    tiny = try TinyModel()
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (8, 64, 4)
    engine = try InferenceEngine(
      PretrainedModel(path: tiny.path), configuration, backend: CPUBackend(threads: 2, rowInvariant: true))
    let template = try ChatTemplate(
      "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    let service = APIService(engine, APISettings(name: "tiny", version: "1.2.3", template: template))
    server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
  }

  private func send(
    _ method: HTTPMethod, _ path: String, _ body: String? = nil, headers: [(String, String)] = []
  ) async throws -> (status: Int, text: String) {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)\(path)")
    request.method = method
    request.headers = HTTPHeaders(headers)
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    let response = try await client.execute(request, timeout: .seconds(300))
    let bytes = try await response.body.collect(upTo: 1 << 24)
    return (Int(response.status.code), String(buffer: bytes))
  }

  private func post(_ path: String, _ body: String) async throws -> JSONValue {
    let (status, text) = try await send(.POST, path, body)
    #expect(status == 200, "\(text)")
    return try JSONValue(parsing: text)
  }

  /// The objects of a stream, which ends as it should.
  private func stream(_ path: String, _ body: String) async throws -> [JSONValue] {
    let (status, text) = try await send(.POST, path, body)
    #expect(status == 200)
    let events = text.split(separator: "\n\n", omittingEmptySubsequences: false).map(String.init)
    #expect(events.suffix(2) == ["data: [DONE]", ""])
    return try events.dropLast(2).map { event in
      #expect(event.hasPrefix("data: "))
      return try JSONValue(parsing: String(event.dropFirst(6)))
    }
  }

  @Test func completionsAreTheSameWholeAndStreamed() async throws {
    let body = #""model": "tiny", "prompt": "Hello", "max_tokens": 12, "temperature": 0"#
    let whole = try await post("/v1/completions", "{\(body)}")
    #expect(whole["object"] == "text_completion" && whole["model"] == "tiny")
    let choice = try #require(whole["choices"]?.array?.first)
    #expect(choice["finish_reason"] == "length" && choice["text"]?.string?.count == 12)
    #expect(whole["usage"]?["prompt_tokens"] == 5 && whole["usage"]?["total_tokens"] == 17)
    let chunks = try await stream(
      "/v1/completions", #"{\#(body), "stream": true, "stream_options": {"include_usage": true}}"#)
    let text = chunks.compactMap { $0["choices"]?.array?.first?["text"]?.string }.joined()
    #expect(text == choice["text"]?.string)
    #expect(chunks.dropLast().last?["choices"]?.array?.first?["finish_reason"] == "length")
    #expect(chunks.last?["choices"] == [] && chunks.last?["usage"]?["completion_tokens"] == 12)
    #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)
  }

  @Test func severalPromptsAndAnswers() async throws {
    let body = #"{"prompt": ["ab", "xyz"], "n": 2, "max_tokens": 4, "seed": 7, "echo": true, "logprobs": 2}"#
    let whole = try await post("/v1/completions", body)
    let choices = try #require(whole["choices"]?.array)
    #expect(choices.compactMap { $0["index"]?.integer } == [0, 1, 2, 3])
    #expect(choices[1]["text"]?.string?.hasPrefix("ab") == true && choices[2]["text"]?.string?.hasPrefix("xyz") == true)
    #expect(choices[0]["text"] != choices[1]["text"])
    #expect(whole["usage"]?["prompt_tokens"] == 5 && whole["usage"]?["completion_tokens"] == 16)
    let scores = try #require(choices[2]["logprobs"])
    #expect(scores["tokens"]?.array?.count == 7 && scores["text_offset"]?.array == [0, 1, 2, 3, 4, 5, 6])
    #expect(scores["token_logprobs"]?[0] == .null)
    #expect(scores["token_logprobs"]?.array?.dropFirst().allSatisfy { $0.double! <= 0 } == true)
    #expect(try await post("/v1/completions", body)["choices"] == whole["choices"], "a seed fixes the texts")
  }

  @Test func conversations() async throws {
    let body = #""messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 6, "temperature": 0"#
    let whole = try await post("/v1/chat/completions", "{\(body), \"logprobs\": true, \"top_logprobs\": 3}")
    let choice = try #require(whole["choices"]?.array?.first)
    #expect(whole["object"] == "chat.completion" && choice["message"]?["role"] == "assistant")
    let prompt = try await post("/tokenize", #"{"prompt": "user: Hi assistant:"}"#)
    #expect(whole["usage"]?["prompt_tokens"] == prompt["count"])
    let scores = try #require(choice["logprobs"]?["content"]?.array)
    #expect(scores.count == 6 && scores[0]["top_logprobs"]?.array?.count == 3)
    #expect(scores.compactMap { $0["token"]?.string }.joined() == choice["message"]?["content"]?.string)
    let chunks = try await stream("/v1/chat/completions", "{\(body), \"stream\": true}")
    let deltas = chunks.compactMap { $0["choices"]?.array?.first?["delta"] }
    #expect(deltas.first == ["role": "assistant", "content": ""])
    #expect(deltas.compactMap { $0["content"]?.string }.joined() == choice["message"]?["content"]?.string)
    #expect(chunks.last?["choices"]?.array?.first?["finish_reason"] == "length" && deltas.last == [:])
  }

  @Test(arguments: [
    ("/v1/completions", "{", 400, "not JSON"), ("/v1/completions", "[]", 400, "not an object"),
    ("/v1/completions", "{}", 400, "'prompt' is missing"),
    ("/v1/completions", #"{"prompt": "a", "temprature": 1}"#, 400, "Unknown parameter: 'temprature'"),
    ("/v1/completions", #"{"prompt": "a", "temperature": -1}"#, 400, "temperature"),
    ("/v1/completions", #"{"prompt": "a", "temperature": "warm"}"#, 400, "must be a number"),
    ("/v1/completions", #"{"prompt": 7}"#, 400, "must be a string"),
    ("/v1/completions", #"{"prompt": [1, 99999]}"#, 400, "99999"),
    ("/v1/completions", #"{"prompt": "a", "max_tokens": 4096}"#, 400, "room for 128"),
    ("/v1/completions", #"{"prompt": "a", "model": "gpt-5"}"#, 404, "no model 'gpt-5'"),
    ("/v1/completions", #"{"prompt": "a", "n": 0}"#, 400, "from 1 to 128"),
    ("/v1/completions", #"{"prompt": "a", "stream_options": {"include_usage": true}}"#, 400, "'stream': true"),
    ("/v1/completions", #"{"prompt": "a", "logit_bias": {"99999": 1}}"#, 400, "99999"),
    ("/v1/completions", #"{"prompt": "a", "stop": [""]}"#, 400, "stop"),
    (
      "/v1/chat/completions", #"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#, 400,
      "messages[0].content"
    ),
    ("/v1/chat/completions", #"{"messages": []}"#, 400, "must not be empty"),
    ("/v1/chat/completions", #"{"messages": [{"content": "a"}]}"#, 400, "messages[0]"),
    ("/v1/nothing", "{}", 404, "There are:"), ("/v1/models", "{}", 405, "GET"),
    ("/detokenize", #"{"tokens": "a"}"#, 400, "array of token numbers"),
  ])
  func whatIsWrongIsSaid(path: String, body: String, status: Int, message: String) async throws {
    let reply = try await send(.POST, path, body)
    #expect(reply.status == status)
    let error = try JSONValue(parsing: reply.text)["error"]
    #expect(error?["message"]?.string?.contains(message) == true, "\(reply.text)")
    #expect(error?["type"]?.string != nil)
  }

  @Test func theServerTellsOfItself() async throws {
    for path in ["/health", "/ready"] { #expect(try await send(.GET, path).status == 200) }
    let models = try JSONValue(parsing: try await send(.GET, "/v1/models").text)
    #expect(models["data"]?.array?.first?["id"] == "tiny" && models["data"]?.array?.first?["max_model_len"] == 128)
    _ = try await post("/v1/completions", #"{"prompt": "Hello", "max_tokens": 3}"#)
    let metrics = try await send(.GET, "/metrics").text
    for part in [
      "# TYPE vllm:time_to_first_token_seconds histogram",
      "vllm:generation_tokens_total{model_name=\"tiny\",engine=\"0\"} 3",
      "vllm:request_success_total{model_name=\"tiny\",engine=\"0\",finished_reason=\"length\"} 1",
      "vllm:e2e_request_latency_seconds_bucket{model_name=\"tiny\",engine=\"0\",le=\"+Inf\"} 1",
    ] { #expect(metrics.contains(part), "\(part)") }
    #expect(try await send(.GET, "/version").text == #"{"version":"1.2.3"}"#)
  }

  @Test func keysAreAskedFor() async throws {
    let keys: KeysConfiguration = try ConfigurationLoader.load(
      text: "{ keys: [{ key: 'key-number-one', name: 'one' }, { key: 'key-number-two', name: 'two' }] }", name: "keys")
    var settings = APISettings(name: "tiny", version: "1")
    settings.keys = KeyRing(keys)
    let service = APIService(engine, settings)
    let locked = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
    func status(_ path: String, _ key: String?) async throws -> Int {
      var request = HTTPClientRequest(url: "http://127.0.0.1:\(locked.port)\(path)")
      if let key { request.headers.add(name: "authorization", value: "Bearer \(key)") }
      return Int(try await client.execute(request, timeout: .seconds(300)).status.code)
    }
    for path in ["/v1/models", "/metrics", "/nothing", "/version"] {
      #expect(try await status(path, nil) == 401)
      #expect(try await status(path, "wrong") == 401)
    }
    #expect(try await status("/v1/models", "key-number-two") == 200)
    #expect(try await status("/health", nil) == 200)
    locked.shutdown()
  }

  @Test func whoGoesAwayIsForgotten() async throws {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)/v1/completions")
    request.method = .POST
    request.body = .bytes(
      ByteBuffer(string: #"{"prompt": "a", "max_tokens": 100, "ignore_eos": true, "stream": true}"#))
    var response: HTTPClientResponse? = try await client.execute(request, timeout: .seconds(300))
    for try await _ in response!.body { break }
    response = nil
    for _ in 0..<500 where engine.statistics.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(engine.statistics.running == 0 && engine.statistics.usedBlocks == 0)
  }
}
