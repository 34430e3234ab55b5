// Beam search over HTTP against the same search with logits of a generator.

import CPUBackend
import Core
import Formats
import Inference
import Models
import Serving
import Support
import Testing

@Suite struct BeamTests {
  @Test(arguments: [(1.0, "false", 3), (0.2, "true", 2), (2.0, "\"never\"", 4)])
  func whatIsFoundIsTheSame(penalty: Double, early: String, width: Int) async throws {
    let server = try TestServer()
    let body: JSONValue = [
      "prompt": ["Hello", "ab"], "use_beam_search": true, "n": 2, "best_of": .number(JSONNumber(width)),
      "max_tokens": 6,
      "length_penalty": .number(JSONNumber(penalty)), "early_stopping": try JSONValue(parsing: early),
      "return_token_ids": true, "stop_token_ids": [9, 40, 9],
    ]
    let reply = try await server.post("/v1/completions", body)
    let choices = try #require(reply["choices"]?.array)
    #expect(choices.count == 4 && choices.map { $0["index"]?.integer } == [0, 1, 2, 3])

    let tiny = try TinyModel(context: 1024)
    let generator = try Generator(PretrainedModel(path: tiny.path), backend: CPUBackend(threads: 1, rowInvariant: true))
    let engine = try #require(server.engine)
    for (index, prompt) in ["Hello", "ab"].enumerated() {
      let start = engine.tokenizer.encode(prompt, addingSpecials: true)
      let expected = try beamSearch(
        width: width, count: 6, ends: engine.ends.union([9, 40]), lengthPenalty: penalty,
        stopping: early == "true" ? .early : early == "false" ? .likely : .certain
      ) { texts in try texts.map { try generator.logits(after: start + $0, expecting: 6 - $0.count) } }
      for (choice, text) in zip(choices[(2 * index)...], expected.prefix(2)) {
        #expect(choice["token_ids"]?.array?.compactMap { $0.integer.map { Int32($0) } } == text.tokens)
        #expect(choice["text"]?.string == engine.tokenizer.decode(text.tokens))
        #expect(choice["finish_reason"]?.string == (text.length > text.tokens.count ? "stop" : "length"))
      }
    }
    let again = try await server.post("/v1/completions", body)
    #expect(again["choices"] == reply["choices"])
  }

  @Test func conversationsAreAnswered() async throws {
    let server = try TestServer()
    let reply = try await server.post(
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "Hi"]], "use_beam_search": true, "n": 3, "max_tokens": 5,
        "temperature": 0,
      ])
    #expect(reply["choices"]?.array?.count == 3)
    #expect(Set(reply["choices"]?.array?.compactMap { $0["message"]?["content"]?.string } ?? []).count == 3)
    #expect(server.engine?.statistics.running == 0)
  }

  @Test func eachPromptHasItsOwnRoom() async throws {
    let server = try TestServer(context: 64)
    // The second has room for four tokens, fewer than are written behind the first.
    let long = JSONValue.array(Array(repeating: 5, count: 60))
    let reply = try await server.post(
      "/v1/completions",
      ["prompt": [[5, 6], long], "use_beam_search": true, "n": 2, "ignore_eos": true, "return_token_ids": true])
    #expect(reply["choices"]?.array?.compactMap { $0["token_ids"]?.array?.count } == [16, 16, 4, 4])
  }

  @Test(arguments: [
    (#"{"use_beam_search": true, "stream": true}"#, "'stream'"), (#"{"length_penalty": 2}"#, "needs 'use_beam_search'"),
    (#"{"early_stopping": true}"#, "needs 'use_beam_search'"),
    (#"{"use_beam_search": true, "early_stopping": "soon"}"#, "'early_stopping' must be"),
    (#"{"use_beam_search": true, "n": 3, "best_of": 2}"#, "'best_of'"),
    (#"{"use_beam_search": true, "top_p": 0.5}"#, "leave out rules of sampling"),
    (#"{"use_beam_search": true, "guided_regex": "a"}"#, "cannot be held to a grammar"),
    (#"{"use_beam_search": true, "n": 120}"#, "too many for a vocabulary"),
    (#"{"use_beam_search": true, "max_tokens": 5000}"#, "5001"),
  ])
  func whatIsWrongIsSaid(members: String, message: String) async throws {
    let server = try TestServer()
    let body = try JSONValue(parsing: members).with(("prompt", "a"))
    let refusal = try await server.refusal("/v1/completions", body)
    #expect(refusal.contains(message), "\(refusal)")
  }
}
