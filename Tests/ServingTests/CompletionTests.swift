// What completions tell beside texts: tokens, how likely they are, the likeliest of several texts.

import Core
import Inference
import Serving
import Testing

@Suite struct CompletionTests {
  @Test func tokensAreTold() async throws {
    let server = try TestServer()
    let body: JSONValue = ["prompt": "ab", "max_tokens": 4, "return_token_ids": true, "temperature": 0]
    let whole = try await server.post("/v1/completions", body)["choices"]?[0]
    #expect(whole?["prompt_token_ids"]?.array?.count == 2 && whole?["token_ids"]?.array?.count == 4)
    let chunks = try await server.chunks("/v1/completions", body).compactMap { $0["choices"]?[0] }
    #expect(chunks[0]["prompt_token_ids"] == whole?["prompt_token_ids"])
    #expect(.array(chunks.flatMap { $0["token_ids"]?.array ?? [] }) == whole?["token_ids"])
  }

  @Test func theLikeliestAreKept() async throws {
    let server = try TestServer()
    let body: JSONValue = ["prompt": "ab", "max_tokens": 4, "seed": 5]
    let all = try await server.post("/v1/completions", body.with(("n", 6), ("logprobs", 0)))
    let best = try await server.post("/v1/completions", body.with(("n", 2), ("best_of", 6)))
    func mean(_ choice: JSONValue) -> Double {
      let scores = choice["logprobs"]?["token_logprobs"]?.array?.compactMap(\.double) ?? []
      return scores.reduce(0, +) / Double(scores.count)
    }
    let texts = try #require(all["choices"]?.array).sorted { mean($0) > mean($1) }.compactMap { $0["text"]?.string }
    #expect(best["choices"]?.array?.compactMap { $0["text"]?.string } == Array(texts.prefix(2)))
    #expect(best["choices"]?[0]?["logprobs"] == .null && best["usage"]?["completion_tokens"] == 24)
  }

  /// The same text alone and among others, another with another seed; what llama.cpp's server calls it.
  @Test func mirostatDependsOnItsSeedOnly() async throws {
    let server = try TestServer()
    let body: JSONValue = [
      "prompt": "ab", "max_tokens": 60, "seed": 5, "ignore_eos": true, "mirostat": 2, "mirostat_tau": 1.5,
      "mirostat_eta": 0.3,
    ]
    func text(_ body: JSONValue) async throws -> JSONValue? {
      try await server.post("/v1/completions", body)["choices"]?[0]?["text"]
    }
    let alone = try await text(body)
    try await withThrowingTaskGroup(of: (Int, JSONValue?).self) { group in
      for index in 0..<12 {
        group.addTask { (index, try await text(body.with(("seed", .number(JSONNumber(index % 3 == 0 ? 5 : index)))))) }
      }
      for try await (index, found) in group { #expect((found == alone) == (index % 3 == 0 || index == 5), "\(index)") }
    }
    #expect(try await text(body.with(("mirostat", 0))) != alone)
    for (name, value) in [("mirostat", 1), ("mirostat_tau", 0), ("mirostat_eta", 7)] as [(String, JSONValue)] {
      #expect(try await server.refusal("/v1/completions", body.with((name, value))).contains(name.suffix(3)), "\(name)")
    }
  }

  @Test func promptsAreScoredLikeAnswers() async throws {
    let server = try TestServer()
    let written: JSONValue = ["prompt": "ab", "max_tokens": 6, "temperature": 0, "logprobs": 2, "ignore_eos": true]
    let answer = try #require(try await server.post("/v1/completions", written)["choices"]?[0])
    let text = try #require(answer["text"]?.string)
    // The same text as a prompt has the same probabilities, also when its beginning is in the cache.
    let echo: JSONValue = ["prompt": .string("ab" + text), "max_tokens": 0, "echo": true, "logprobs": 2]
    for _ in 0..<2 {
      let reply = try await server.post("/v1/completions", echo)
      let scored = try #require(reply["choices"]?[0])
      #expect(scored["text"] == .string("ab" + text) && reply["usage"]?["completion_tokens"] == 0)
      let scores = try #require(scored["logprobs"]?["token_logprobs"]?.array)
      #expect(scores.count == 8 && scores[0] == .null)
      #expect(Array(scores.dropFirst(2)) == answer["logprobs"]?["token_logprobs"]?.array)
      #expect(
        scored["logprobs"]?["top_logprobs"]?.array?.dropFirst(2).map { $0 }
          == answer["logprobs"]?["top_logprobs"]?.array)
      let ranks = scored["prompt_logprobs"]?.array?.dropFirst(2).compactMap { entry in
        entry.object?.contains { $1["rank"] == 1 }
      }
      #expect(ranks == Array(repeating: true, count: 6))
    }
    let chunks = try await server.chunks("/v1/completions", echo).compactMap { $0["choices"]?[0] }
    #expect(chunks[0]["logprobs"]?["token_logprobs"]?.array?.count == 8)
    #expect(chunks.compactMap { $0["text"]?.string }.joined() == "ab" + text)
    let chat = try await server.post(
      "/v1/chat/completions",
      ["messages": [["role": "user", "content": "Hi"]], "prompt_logprobs": 1, "max_tokens": 1])
    #expect(chat["prompt_logprobs"]?.array?.count == chat["usage"]?["prompt_tokens"]?.integer)
    let refusal = try await server.refusal("/v1/completions", ["prompt": "a", "prompt_logprobs": 1, "stream": true])
    #expect(refusal.contains("not told in streams"))
  }
}
