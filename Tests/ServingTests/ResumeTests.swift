// An answer that another server began: what is written behind its first tokens is what would have been written without the break.

import Core
import Testing

@Suite struct ResumeTests {
  private let server: TestServer

  init() throws { server = try TestServer(context: 128) }

  private static let requests: [(path: String, body: JSONValue)] = [
    ("/v1/completions", ["prompt": "Hello", "max_tokens": 24, "temperature": 1, "seed": 7, "frequency_penalty": 1]),
    (
      "/v1/completions", ["prompt": "Hello", "max_tokens": 24, "temperature": 0, "stop": ["zz", "e"], "min_tokens": 5]
    ),
    (
      "/v1/completions",
      [
        "prompt": "x", "max_tokens": 24, "seed": 3,
        "response_format": ["type": "json_schema", "json_schema": ["name": "a", "schema": ["type": "string"]]],
      ]
    ),
    (
      "/v1/chat/completions",
      ["messages": [["role": "user", "content": "Hi"]], "max_tokens": 20, "seed": 11, "logprobs": true]
    ),
  ]

  /// The tokens and the texts of a stream, and what its last chunks say.
  private func stream(_ path: String, _ body: JSONValue) async throws -> (pieces: [(Int32, String)], end: [JSONValue?])
  {
    let chunks = try await server.chunks(
      path, body.with(("return_token_ids", true), ("stream_options", ["include_usage": true])))
    var pieces: [(Int32, String)] = []
    for chunk in chunks {
      guard let choice = chunk["choices"]?[0], let token = choice["token_ids"]?[0]?.integer else { continue }
      pieces.append((Int32(token), (choice["text"] ?? choice["delta"]?["content"])?.string ?? ""))
    }
    let closing = chunks.last { $0["choices"]?[0]?["finish_reason"]?.string != nil }
    var usage = chunks.last?["usage"]?.object
    usage?["prompt_tokens_details"] = nil
    return (pieces, [closing?["choices"]?[0], usage.map { .object($0) }])
  }

  @Test(arguments: requests.indices) func goesOnAsIfNothingHadHappened(number: Int) async throws {
    let (path, body) = ResumeTests.requests[number]
    let whole = try await stream(path, body)
    #expect(whole.pieces.count > 3)
    for count in [1, whole.pieces.count / 2, whole.pieces.count - 1, whole.pieces.count] {
      let known: JSONValue = .array(whole.pieces.prefix(count).map { .number(JSONNumber($0.0)) })
      let rest = try await stream(path, body.with(("resume_token_ids", known)))
      #expect(rest.pieces.map(\.0) == whole.pieces.dropFirst(count).map(\.0), "behind \(count)")
      #expect(rest.pieces.map(\.1) == whole.pieces.dropFirst(count).map(\.1), "behind \(count)")
      #expect(rest.end == whole.end, "behind \(count)")
    }
  }

  @Test func onlyTheRestIsSent() async throws {
    let (path, body) = ResumeTests.requests[3]
    let chunks = try await server.chunks(path, body.with(("resume_token_ids", [40, 41])))
    #expect(chunks.allSatisfy { $0["choices"]?[0]?["delta"]?["role"] == nil })
    let whole = try await server.post(path, body.with(("resume_token_ids", [40, 41])))
    let text = try #require(whole["choices"]?[0]?["message"]?["content"]?.string)
    #expect(text.hasPrefix(try await server.post("/detokenize", ["tokens": [40, 41]])["prompt"]?.string ?? "?"))
    #expect(whole["usage"]?["completion_tokens"] == 20)
  }

  @Test func whatCannotHaveBeenWrittenIsRefused() async throws {
    let (path, body) = ResumeTests.requests[2]
    for tokens: JSONValue in [[70, 70], [9999], [-1], ["a"]] {
      _ = try await server.refusal(path, body.with(("resume_token_ids", tokens)))
    }
    _ = try await server.refusal(path, body.with(("resume_token_ids", [2]), ("n", 2)))
  }
}
