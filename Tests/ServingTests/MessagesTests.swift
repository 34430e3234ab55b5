// /v1/messages: Anthropic's blocks, the events of streams, and errors in Anthropic's shape.

import Core
import Inference
import NIOHTTP1
import Serving
import Testing

@Suite struct MessagesTests {
  private static let question: JSONValue = [
    "model": "tiny", "max_tokens": 8, "messages": [["role": "user", "content": "Hi"]], "temperature": 0,
  ]
  private static let tools: JSONValue = [
    [
      "name": "pick", "description": "Picks.",
      "input_schema": ["type": "object", "properties": ["n": ["enum": [1, 2]]], "required": ["n"]],
    ]
  ]

  @Test func aTextIsAMessage() async throws {
    let server = try TestServer()
    let body = Self.question.with(("system", [["type": "text", "text": "Be."]]))
    let message = try await server.post("/v1/messages", body)
    #expect(message["type"] == "message" && message["role"] == "assistant" && message["stop_reason"] == "max_tokens")
    let text = try #require(message["content"]?[0]?["text"]?.string)
    #expect(text.count == 8 && message["usage"]?["output_tokens"] == 8)
    let count = try await server.post("/tokenize", ["prompt": "system: Be. user: Hi assistant:"])["count"]
    #expect(message["usage"]?["input_tokens"] == count)
    let counted = try await server.post(
      "/v1/messages/count_tokens", ["messages": try #require(body["messages"]), "system": "Be."])
    #expect(counted["input_tokens"] == count)

    let events = try await server.events("/v1/messages", body)
    #expect(events.map(\.name) == events.map { $0.data["type"]?.string })
    let deltas = events.compactMap { $0.data["delta"]?["text"]?.string }
    #expect(deltas.joined() == text)
    #expect(
      events.map(\.name).filter { $0 != "content_block_delta" } == [
        "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop",
      ])
    let end = try #require(events.first { $0.name == "message_delta" }?.data)
    #expect(end["delta"]?["stop_reason"] == "max_tokens" && end["usage"]?["output_tokens"] == 8)
    // A stop sequence is told; so is that the assistant's beginning is gone on with.
    let stop = String(text.dropFirst(3).prefix(2))
    let stopped = try await server.post("/v1/messages", body.with(("stop_sequences", [.string(stop)])))
    #expect(stopped["stop_reason"] == "stop_sequence" && stopped["stop_sequence"] == .string(stop))
  }

  @Test func callsAreBlocks() async throws {
    let server = try TestServer(family: .plain)
    let body = Self.question.with(
      ("tools", Self.tools), ("max_tokens", 200), ("temperature", 1), ("seed", 4),
      ("tool_choice", ["type": "tool", "name": "pick", "disable_parallel_tool_use": true]))
    let message = try await server.post("/v1/messages", body)
    let block = try #require(message["content"]?[0])
    #expect(block["type"] == "tool_use" && block["name"] == "pick" && message["stop_reason"] == "tool_use")
    #expect([1, 2].contains(block["input"]?["n"]?.integer))
    let events = try await server.events("/v1/messages", body)
    let start = try #require(events.first { $0.name == "content_block_start" }?.data["content_block"])
    #expect(start["type"] == "tool_use" && start["input"] == [:])
    let pieces = events.compactMap { $0.data["delta"]?["partial_json"]?.string }
    #expect(try JSONValue(parsing: pieces.joined()) == block["input"])

    let next = Self.question.with(
      (
        "messages",
        [
          ["role": "user", "content": "Hi"], ["role": "assistant", "content": [block]],
          [
            "role": "user",
            "content": [
              ["type": "tool_result", "tool_use_id": try #require(block["id"]), "content": "done"],
              ["type": "text", "text": "Go on."],
            ],
          ],
        ]
      ))
    let input = try #require(block["input"]).json.replacing(":", with: ": ")
    let prompt = "user: Hi assistant: [pick \(input)] tool: done user: Go on. assistant:"
    let count = try await server.post("/tokenize", ["prompt": .string(prompt)])["count"]
    let usage = try #require(try await server.post("/v1/messages", next)["usage"])
    let read = (usage["input_tokens"]?.integer ?? 0) + (usage["cache_read_input_tokens"]?.integer ?? 0)
    #expect(read == count?.integer)
  }

  @Test(arguments: [
    (#"{"messages": [{"role": "user", "content": "a"}]}"#, 400, "invalid_request_error", "'max_tokens' is missing"),
    (#"{"max_tokens": 1, "messages": []}"#, 400, "invalid_request_error", "must not be empty"),
    (
      #"{"max_tokens": 1, "messages": [{"role": "user", "content": "a"}], "n": 2}"#, 400, "invalid_request_error", "'n'"
    ),
    (#"{"max_tokens": 1, "messages": [{"role": "system", "content": "a"}]}"#, 400, "invalid_request_error", "role"),
    (
      #"{"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image"}]}]}"#, 400,
      "invalid_request_error", "content[0]"
    ),
    (#"{"model": "claude", "max_tokens": 1}"#, 404, "not_found_error", "no model 'claude'"),
    (
      #"{"max_tokens": 1, "messages": [{"role": "user", "content": "a"}], "tools": [{"type": "bash_20250124"}]}"#, 400,
      "invalid_request_error", "tools[0]"
    ),
    (
      #"{"max_tokens": 2000, "messages": [{"role": "user", "content": "a"}]}"#, 400, "invalid_request_error",
      "room for 1024"
    ),
  ])
  func errorsHaveAnthropicsShape(body: String, status: Int, type: String, message: String) async throws {
    let server = try TestServer()
    let reply = try await server.send(.POST, "/v1/messages", try JSONValue(parsing: body))
    let error = try JSONValue(parsing: reply.text)
    #expect(reply.status == status && error["type"] == "error" && error["error"]?["type"] == .string(type))
    #expect(error["error"]?["message"]?.string?.contains(message) == true, "\(reply.text)")
  }
}
