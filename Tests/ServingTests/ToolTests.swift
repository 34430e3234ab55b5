// Calls of tools and texts that are held to something, as clients of chat see them.

import Core
import Inference
import Serving
import Testing

@Suite struct ToolTests {
  private static let weather: JSONValue = [
    "type": "function",
    "function": [
      "name": "get_weather", "description": "The weather.",
      "parameters": [
        "type": "object", "properties": ["city": ["type": "string", "maxLength": 5], "days": ["enum": [1, 2]]],
        "required": ["city", "days"],
      ],
    ],
  ]
  private static let clock: JSONValue = [
    "type": "function", "function": ["name": "now", "parameters": ["type": "object", "properties": [:]]],
  ]
  private static let question: JSONValue = [
    "messages": [["role": "user", "content": "Hi"]], "tools": [weather, clock], "seed": 3, "max_tokens": 200,
  ]

  @Test(arguments: ["plain", "llama3", "mistral", "mistral-named"], [true, false])
  func callsThatAreAskedForCome(family: String, isNamed: Bool) async throws {
    // Without reasoning, of which a model of random weights finds no end.
    let server = try TestServer(family: StreamFamily(named: family)?.reasoning(as: nil))
    let choice: JSONValue = isNamed ? ["type": "function", "function": ["name": "get_weather"]] : "required"
    let body = Self.question.with(("tool_choice", choice), ("parallel_tool_calls", false))
    let whole = try #require(try await server.post("/v1/chat/completions", body)["choices"]?[0])
    #expect(whole["finish_reason"] == "tool_calls" && whole["message"]?["content"] == .null)
    let calls = try #require(whole["message"]?["tool_calls"]?.array)
    #expect(calls.count == 1 && calls[0]["type"] == "function")
    let id = try #require(calls[0]["id"]?.string)
    #expect(family.hasPrefix("mistral") ? id.count == 9 : id.hasPrefix("call_"))
    let function = try #require(calls[0]["function"])
    let arguments = try JSONValue(parsing: try #require(function["arguments"]?.string))
    if isNamed { #expect(function["name"] == "get_weather") }
    if function["name"] == "get_weather" {
      #expect((arguments["city"]?.string?.count ?? 9) <= 5 && [1, 2].contains(arguments["days"]?.integer))
    } else {
      #expect(function["name"] == "now" && arguments == [:])
    }
    // The same as a stream.
    let chunks = try await server.chunks("/v1/chat/completions", body).compactMap { $0["choices"]?[0] }
    let deltas = chunks.compactMap { $0["delta"]?["tool_calls"]?[0] }
    #expect(deltas.allSatisfy { $0["index"] == 0 } && deltas.count > 2)
    #expect(deltas[0]["function"]?["name"] == function["name"] && deltas[0]["id"]?.string != nil)
    let streamed = deltas.compactMap { $0["function"]?["arguments"]?.string }.joined()
    #expect(.string(streamed) == function["arguments"])
    #expect(chunks.compactMap { $0["delta"]?["content"]?.string }.joined() == "")
    #expect(chunks.last?["finish_reason"] == "tool_calls")
  }

  @Test func toolsAreShownAndResultsRead() async throws {
    let server = try TestServer()
    let messages: JSONValue = [
      ["role": "user", "content": "Hi"],
      [
        "role": "assistant", "content": .null,
        "tool_calls": [
          ["id": "1", "type": "function", "function": ["name": "now", "arguments": "{\"a\": 1}"]]
        ],
      ], ["role": "tool", "tool_call_id": "1", "content": [["type": "text", "text": "noon"]]],
    ]
    let shown = try await server.post("/v1/chat/completions", ["messages": messages, "max_tokens": 1])
    let text = "user: Hi assistant: [now {\"a\": 1}] tool: noon assistant:"
    let count = try await server.post("/tokenize", ["prompt": .string(text)])["count"]
    #expect(shown["usage"]?["prompt_tokens"] == count)
    // Whoever may not call need not know the tools.
    let none = try await server.post(
      "/v1/chat/completions", Self.question.with(("tool_choice", "none"), ("max_tokens", 1)))
    #expect(none["usage"]?["prompt_tokens"] == 19)
  }

  @Test func toolsCanBeLimited() async throws {
    let server = try TestServer(family: StreamFamily.mistral.reasoning(as: nil))
    func choice(_ mode: JSONValue) -> JSONValue {
      let tools: JSONValue = [["type": "function", "function": ["name": "now"]]]
      return ["type": "allowed_tools", "allowed_tools": ["mode": mode, "tools": tools]]
    }
    // The prompt shows all tools, so that what is cached of it holds whatever is allowed.
    let shown = try await server.post("/v1/chat/completions", Self.question.with(("max_tokens", 1)))
    for seed in 0..<6 {
      let body = Self.question.with(("tool_choice", choice("required")), ("seed", .number(JSONNumber(seed))))
      let reply = try await server.post("/v1/chat/completions", body)
      #expect(reply["usage"]?["prompt_tokens"] == shown["usage"]?["prompt_tokens"])
      let calls = try #require(reply["choices"]?[0]?["message"]?["tool_calls"]?.array)
      #expect(calls.allSatisfy { $0["function"]?["name"] == "now" } && !calls.isEmpty)
    }
    // A model that wants to call anything (`[` is its favourite) can call no other.
    let eager: JSONValue = ["59": 9]
    let free = try await server.post(
      "/v1/chat/completions", Self.question.with(("tool_choice", choice("auto")), ("logit_bias", eager)))
    let calls = free["choices"]?[0]?["message"]?["tool_calls"]?.array ?? []
    #expect(calls.allSatisfy { $0["function"]?["name"] == "now" })
    let response = try await server.post(
      "/v1/responses",
      [
        "input": "Hi", "seed": 2, "max_output_tokens": 300,
        "tools": [
          ["type": "function", "name": "now", "parameters": ["type": "object", "properties": [:]]],
          ["type": "function", "name": "then", "parameters": ["type": "object", "properties": [:]]],
        ], "parallel_tool_calls": false,
        "tool_choice": [
          "type": "allowed_tools", "mode": "required", "tools": [["type": "function", "name": "then"]],
        ],
      ])
    #expect(response["output"]?[0]?["name"] == "then" && response["tool_choice"]?["type"] == "allowed_tools")
  }

  @Test(arguments: [
    (
      "response_format",
      #"{"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {"enum": [17]}}}"#, "17"
    ),
    ("structured_outputs", #"{"choice": ["left"]}"#, "left"),
    ("structured_outputs", #"{"json": {"const": "a"}}"#, "\"a\""),
    ("structured_outputs", #"{"regex": "a{3}b"}"#, "aaab"), ("guided_regex", #""x{2}""#, "xx"),
    ("guided_grammar", #""root ::= \"no\"""#, "no"), ("guided_json", #""{\"const\": true}""#, "true"),
  ])
  func textsAreHeldTo(field: String, value: String, expected: String) async throws {
    let server = try TestServer()
    let wanted = (field, try JSONValue(parsing: value))
    let body: JSONValue = ["messages": [["role": "user", "content": "Hi"]]]
    let reply = try await server.post("/v1/chat/completions", body.with(wanted))
    #expect(reply["choices"]?[0]?["message"]?["content"] == .string(expected))
    #expect(reply["choices"]?[0]?["finish_reason"] == "stop")
    let completion = try await server.post("/v1/completions", (["prompt": "a"] as JSONValue).with(wanted))
    #expect(completion["choices"]?[0]?["text"] == .string(expected))
  }

  @Test func reasoningComesFirst() async throws {
    // The prompt has opened it: the model is free until it closes it, and then held to the schema.
    let server = try TestServer(
      template: "{{ messages[0].content }}<think>", family: .plain.reasoning(as: StreamFamily.qwen.reasoning))
    let body: JSONValue = [
      "messages": [["role": "user", "content": "a"]], "max_tokens": 400, "seed": 1,
      // So that it closes it soon.
      "logit_bias": ["28": 12], "response_format": ["type": "json_schema", "json_schema": ["schema": ["const": 5]]],
    ]
    let reply = try await server.post("/v1/chat/completions", body)
    let message = try #require(reply["choices"]?[0]?["message"])
    if reply["choices"]?[0]?["finish_reason"] == "stop" { #expect(message["content"] == "5") }
    #expect(message["reasoning_content"]?.string?.isEmpty == false)
    #expect(reply["usage"]?["completion_tokens_details"]?["reasoning_tokens"]?.integer ?? 0 > 0)
  }

  @Test(arguments: [
    (#"{"tool_choice": "required"}"#, "there are no 'tools'"), (#"{"tool_choice": "maybe"}"#, "tool_choice"),
    (#"{"tool_choice": {"type": "allowed_tools"}}"#, "'tool_choice.allowed_tools' is missing"),
    (
      #"{"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}}}"#,
      "tool_choice.allowed_tools.mode"
    ),
    (
      #"{"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}"#,
      "must not be empty"
    ),
    (
      #"{"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "x"}}]}}}"#,
      "names 'x'"
    ),
    (#"{"tools": [{"type": "web_search"}]}"#, "tools[0]"),
    (#"{"tools": [{"type": "function", "function": {"name": "a b"}}]}"#, "tools[0].function.name"),
    (#"{"tools": [{"type": "function", "function": {"name": "a", "nome": 1}}]}"#, "tools[0].function.nome"),
    (#"{"response_format": {"type": "xml"}}"#, "response_format.type"),
    (#"{"response_format": {"type": "json_schema"}}"#, "response_format.schema"),
    (#"{"response_format": {"type": "json_object"}, "guided_regex": "a"}"#, "exclude each other"),
    (#"{"guided_regex": "("}"#, "regular expression"),
    (#"{"guided_json": {"type": "texts"}}"#, "schema cannot be used"),
    (#"{"guided_json": {"not": {"type": "string"}, "patternProperties": 5}}"#, "schema"),
    (
      #"{"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": 5}}}], "tool_choice": "required"}"#,
      "type"
    ),
  ])
  func whatIsWrongIsSaid(members: String, message: String) async throws {
    let server = try TestServer()
    guard case .object(var body) = try JSONValue(parsing: members) else { return }
    body["messages"] = [["role": "user", "content": "Hi"]]
    let refusal = try await server.refusal("/v1/chat/completions", .object(body))
    #expect(refusal.contains(message), "\(refusal)")
  }
}
