// /v1/responses: items, the events of streams, and what is kept for the next turn.

import Core
import Inference
import NIOHTTP1
import Serving
import Testing

@Suite struct ResponsesTests {
  private static let tool: JSONValue = [
    "type": "function", "name": "pick",
    "parameters": ["type": "object", "properties": ["n": ["enum": [1, 2]]], "required": ["n"]],
  ]

  @Test func aTextIsAResponse() async throws {
    let server = try TestServer()
    let body: JSONValue = [
      "input": "Hi", "max_output_tokens": 8, "temperature": 0, "instructions": "Be.", "metadata": ["a": "b"],
    ]
    let response = try await server.post("/v1/responses", body)
    #expect(response["object"] == "response" && response["id"]?.string?.hasPrefix("resp_") == true)
    #expect(response["status"] == "incomplete" && response["incomplete_details"]?["reason"] == "max_output_tokens")
    #expect(response["metadata"] == ["a": "b"] && response["instructions"] == "Be.")
    let message = try #require(response["output"]?[0])
    #expect(message["type"] == "message" && message["role"] == "assistant" && message["status"] == "incomplete")
    let text = try #require(message["content"]?[0]?["text"]?.string)
    #expect(text.count == 8 && response["usage"]?["output_tokens"] == 8)
    let prompt = try await server.post("/tokenize", ["prompt": "system: Be. user: Hi assistant:"])["count"]
    #expect(response["usage"]?["input_tokens"] == prompt)

    let events = try await server.events("/v1/responses", body)
    #expect(events.map(\.name) == events.map { $0.data["type"]?.string })
    #expect(events.map { $0.data["sequence_number"]?.integer } == Array(0..<events.count))
    let deltas = events.filter { $0.name == "response.output_text.delta" }
    #expect(deltas.compactMap { $0.data["delta"]?.string }.joined() == text)
    #expect(
      events.map(\.name).filter { $0 != "response.output_text.delta" } == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.incomplete",
      ])
    let last = try #require(events.last?.data["response"])
    #expect(last["output"]?[0]?["content"]?[0]?["text"] == .string(text))
    #expect(last["output"]?[0]?["id"] == deltas[0].data["item_id"])
  }

  @Test func callsAreItems() async throws {
    let server = try TestServer()
    let body: JSONValue = [
      "input": [["role": "user", "content": [["type": "input_text", "text": "Hi"]]]], "tools": [Self.tool],
      "tool_choice": "required", "parallel_tool_calls": false, "seed": 2,
    ]
    let response = try await server.post("/v1/responses", body)
    let call = try #require(response["output"]?[0])
    #expect(call["type"] == "function_call" && call["name"] == "pick" && response["status"] == "completed")
    let arguments = try JSONValue(parsing: try #require(call["arguments"]?.string))
    #expect([1, 2].contains(arguments["n"]?.integer))
    let events = try await server.events("/v1/responses", body)
    let deltas = events.filter { $0.name == "response.function_call_arguments.delta" }
    #expect(.string(deltas.compactMap { $0.data["delta"]?.string }.joined()) == call["arguments"])
    let done = try #require(events.first { $0.name == "response.output_item.done" }?.data["item"])
    #expect(done["arguments"] == call["arguments"] && done["call_id"]?.string?.hasPrefix("call_") == true)
    #expect(events.last?.name == "response.completed")

    // The next turn, by the response's name and with all said again, reads the same prompt.
    let id = try #require(response["id"])
    let result: JSONValue = [
      "type": "function_call_output", "call_id": try #require(call["call_id"]), "output": "done",
    ]
    let next = try await server.post(
      "/v1/responses", ["previous_response_id": id, "input": [result], "max_output_tokens": 4, "temperature": 0])
    let whole = try await server.post(
      "/v1/responses",
      [
        "input": [["role": "user", "content": "Hi"], call, result], "max_output_tokens": 4, "temperature": 0,
        "store": false,
      ])
    #expect(next["usage"]?["input_tokens"] == whole["usage"]?["input_tokens"])
    #expect(next["output"]?[0]?["content"] == whole["output"]?[0]?["content"])

    let kept = try await server.send(.GET, "/v1/responses/\(id.string!)")
    #expect(try JSONValue(parsing: kept.text) == response)
    let items = try await server.send(.GET, "/v1/responses/\(id.string!)/input_items")
    #expect(try JSONValue(parsing: items.text)["data"] == body["input"])
    #expect(try await server.send(.GET, "/v1/responses/\(whole["id"]!.string!)").status == 404)
    #expect(try await server.send(.DELETE, "/v1/responses/\(id.string!)").status == 200)
    #expect(try await server.send(.GET, "/v1/responses/\(id.string!)").status == 404)
    let gone = try await server.refusal("/v1/responses", ["input": "a", "previous_response_id": id], status: 404)
    #expect(gone.contains("no response"))
  }

  @Test func textsAreHeldToFormats() async throws {
    let server = try TestServer()
    let format: JSONValue = ["format": ["type": "json_schema", "name": "a", "strict": true, "schema": ["const": [1]]]]
    let response = try await server.post(
      "/v1/responses", ["input": "Hi", "text": format, "include": ["message.output_text.logprobs"]])
    let content = try #require(response["output"]?[0]?["content"]?[0])
    #expect(try JSONValue(parsing: try #require(content["text"]?.string)) == [1])
    #expect(content["logprobs"]?.array?.isEmpty == false && response["text"] == format)
  }

  @Test(arguments: [
    (#"{}"#, "'input' is missing"), (#"{"input": []}"#, "array of items"), (#"{"input": 5}"#, "array of items"),
    (#"{"input": "a", "n": 2}"#, "Unknown parameter: 'n'"), (#"{"input": "a", "background": 1}"#, "background"),
    (#"{"input": "a", "tools": [{"type": "web_search"}]}"#, "tools[0]"),
    (#"{"input": [{"type": "item_reference", "id": "a"}]}"#, "item_reference"),
    (#"{"input": [{"role": "user", "content": [{"type": "input_image"}]}]}"#, "input[0].content"),
    (#"{"input": "a", "include": ["file_search_call.results"]}"#, "include"),
    (#"{"input": "a", "text": {"format": {"type": "csv"}}}"#, "text.format.type"),
  ])
  func whatIsWrongIsSaid(body: String, message: String) async throws {
    let server = try TestServer()
    let refusal = try await server.refusal("/v1/responses", try JSONValue(parsing: body))
    #expect(refusal.contains(message), "\(refusal)")
  }
}
