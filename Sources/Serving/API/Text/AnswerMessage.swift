// What an assistant said in a conversation, as templates want it.

internal import Core

/// Gathers the parts of an answer into one message.
struct AnswerMessage {
  private var contents: [String] = []
  private var reasoning: [String] = []
  private var calls: [JSONValue] = []

  var isEmpty: Bool { contents.isEmpty && reasoning.isEmpty && calls.isEmpty }

  mutating func add(content: String) { contents.append(content) }
  mutating func add(reasoning: String) { self.reasoning.append(reasoning) }

  /// - Parameter arguments: an object.
  mutating func add(call id: String, _ name: String, _ arguments: JSONValue) {
    calls.append([
      "id": .string(id), "type": "function", "function": ["name": .string(name), "arguments": arguments],
    ])
  }

  var json: JSONValue {
    let content: JSONValue = contents.isEmpty && !calls.isEmpty ? .null : .string(contents.joined(separator: "\n"))
    var message = JSONObject([("role", "assistant"), ("content", content)])
    if !reasoning.isEmpty { message["reasoning_content"] = .string(reasoning.joined(separator: "\n")) }
    if !calls.isEmpty { message["tool_calls"] = .array(calls) }
    return .object(message)
  }
}
