// How families of models mark reasoning and calls of tools in what they write: data, one entry a family.
//
// A family is a few modes. Each says what its text is and which markers lead to another mode; everything else is done by
// `StreamParser`.

/// The markers of a family of models.
package struct StreamFamily: Sendable {
  /// What the text of a mode is.
  enum Kind: Sendable {
    case content
    case reasoning
    /// Objects with a name and arguments, one or several, also in a list.
    case calls
    /// The name of a call, which begins a new one.
    case name
    /// The arguments of the call whose name was read: one JSON value.
    case arguments
    /// Nothing that anybody wants to see.
    case nothing
    /// What a message of gpt-oss is, up to `<|message|>`: `analysis`, `final`, `commentary to=functions.name …`.
    case header
  }

  struct Marker: Sendable {
    let text: [UInt8]
    let mode: Int
    /// The text of the marker belongs to the next mode.
    let isKept: Bool
  }

  struct Mode: Sendable {
    let kind: Kind
    let markers: [Marker]
  }

  package let name: String
  let modes: [Mode]
  /// The mode of a text's beginning.
  let start: Int

  private init(_ name: String, _ modes: [(Kind, [(String, Int)])], start: Int = 0, keeping: Set<String> = []) {
    self.name = name
    self.start = start
    self.modes = modes.map { kind, markers in
      Mode(
        kind: kind,
        markers: markers.map { Marker(text: Array($0.0.utf8), mode: $0.1, isKept: keeping.contains($0.0)) })
    }
  }

  /// The same for a text that begins in the midst of reasoning, since the template has opened it already.
  package var insideReasoning: StreamFamily {
    StreamFamily(name: name, start: modes.firstIndex { $0.kind == .reasoning } ?? start, modes: modes)
  }

  private init(name: String, start: Int, modes: [Mode]) {
    self.name = name
    self.start = start
    self.modes = modes
  }

  /// The families by name.
  package static let all: [String: StreamFamily] = Dictionary(
    uniqueKeysWithValues: [plain, qwen, mistral, mistralNamed, llama3, gptOSS, deepseek, deepseek31, kimi].map {
      ($0.name, $0)
    })

  /// No markers at all.
  package static let plain = StreamFamily("plain", [(.content, [])])

  /// Qwen 2.5 and 3, Hermes and most others that call tools in XML with JSON inside.
  package static let qwen = StreamFamily(
    "qwen",
    [
      (.content, [("<think>", 1), ("<tool_call>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.calls, [("</tool_call>", 0)]),
    ])

  /// Mistral to 2024: a list of objects.
  package static let mistral = StreamFamily(
    "mistral",
    [
      (.content, [("[THINK]", 1), ("[TOOL_CALLS]", 2)]),
      (.reasoning, [("[/THINK]", 0)]),
      (.calls, []),
    ])

  /// Mistral since 2025: a name, then arguments.
  package static let mistralNamed = StreamFamily(
    "mistral-named",
    [
      (.content, [("[THINK]", 1), ("[TOOL_CALLS]", 2)]),
      (.reasoning, [("[/THINK]", 0)]),
      (.name, [("[ARGS]", 3)]),
      (.arguments, [("[TOOL_CALLS]", 2)]),
    ])

  /// Llama 3: an object behind a marker, or as the whole answer.
  package static let llama3 = StreamFamily(
    "llama3",
    [
      (.content, [("<|python_tag|>", 1)]),
      (.calls, []),
      // The beginning, where an object is a call.
      (.content, [("<|python_tag|>", 1), (#"{"name""#, 1), (#"{ "name""#, 1), (#"{"type""#, 1)]),
    ], start: 2, keeping: [#"{"name""#, #"{ "name""#, #"{"type""#])

  /// gpt-oss: channels (the harmony format). Every message has a header.
  package static let gptOSS = StreamFamily(
    "gpt-oss",
    [
      (.header, [("<|message|>", 1), ("<|start|>", 0)]),
      (.content, [("<|end|>", 0), ("<|return|>", 0), ("<|start|>", 0), ("<|channel|>", 0)]),
      (.reasoning, [("<|end|>", 0), ("<|return|>", 0), ("<|start|>", 0)]),
      (.arguments, [("<|call|>", 0), ("<|end|>", 0), ("<|start|>", 0)]),
    ])

  /// DeepSeek V3 and R1.
  package static let deepseek = StreamFamily(
    "deepseek",
    [
      (.content, [("<think>", 1), ("<｜tool▁calls▁begin｜>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<｜tool▁sep｜>", 3), ("<｜tool▁calls▁end｜>", 0)]),
      (.name, [("\n```json\n", 4)]),
      (.arguments, [("\n```<｜tool▁call▁end｜>", 2), ("<｜tool▁call▁end｜>", 2)]),
    ])

  /// DeepSeek V3.1 and later.
  package static let deepseek31 = StreamFamily(
    "deepseek-3.1",
    [
      (.content, [("<think>", 1), ("<｜tool▁calls▁begin｜>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<｜tool▁call▁begin｜>", 3), ("<｜tool▁calls▁end｜>", 0)]),
      (.name, [("<｜tool▁sep｜>", 4)]),
      (.arguments, [("<｜tool▁call▁end｜>", 2)]),
    ])

  /// Kimi K2; its names are `functions.name:0`.
  package static let kimi = StreamFamily(
    "kimi",
    [
      (.content, [("<think>", 1), ("<|tool_calls_section_begin|>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<|tool_call_begin|>", 3), ("<|tool_calls_section_end|>", 0)]),
      (.name, [("<|tool_call_argument_begin|>", 4)]),
      (.arguments, [("<|tool_call_end|>", 2)]),
    ])
}
