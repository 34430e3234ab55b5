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
    var mode: Int
    /// The text of the marker belongs to the next mode.
    var isKept = false
    /// It counts only where nothing but white space was written before it.
    var isFirst = false
  }

  struct Mode: Sendable {
    let kind: Kind
    var markers: [Marker]
  }

  package let name: String
  var modes: [Mode]
  /// The mode of a text's beginning.
  var start: Int
  /// How calls are written; nil: the family has none.
  package var calls: CallSyntax?
  /// What is around reasoning; nil: the family has none.
  package var reasoning: ReasoningSyntax?
  /// What stands before an answer that is neither reasoning nor a call.
  package var lead = ""

  private init(
    _ name: String, _ modes: [(Kind, [(String, Int)])], start: Int = 0, keeping: Set<String> = [],
    calls: CallSyntax? = nil, reasoning: ReasoningSyntax? = nil, lead: String = ""
  ) {
    self.name = name
    self.start = start
    (self.calls, self.reasoning, self.lead) = (calls, reasoning, lead)
    self.modes = modes.map { kind, markers in
      Mode(
        kind: kind,
        markers: markers.map {
          let isKept = keeping.contains($0.0)
          return Marker(text: Array($0.0.utf8), mode: $0.1, isKept: isKept, isFirst: isKept)
        })
    }
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
    ],
    calls: .object(
      before: "<tool_call>\n{\"name\": \"", between: "\", \"arguments\": ", after: "}\n</tool_call>", separator: "\n"),
    reasoning: .think)

  /// Mistral to 2024: a list of objects.
  package static let mistral = StreamFamily(
    "mistral",
    [
      (.content, [("[THINK]", 1), ("[TOOL_CALLS]", 2)]),
      (.reasoning, [("[/THINK]", 0)]),
      (.calls, []),
    ],
    calls: .object(
      opening: "[TOOL_CALLS][", before: "{\"name\": \"", between: "\", \"arguments\": ", after: "}", separator: ", ",
      closing: "]", ids: .nineCharacters),
    reasoning: ReasoningSyntax(opening: "[THINK]", closing: "[/THINK]"))

  /// Mistral since 2025: a name, then arguments.
  package static let mistralNamed = StreamFamily(
    "mistral-named",
    [
      (.content, [("[THINK]", 1), ("[TOOL_CALLS]", 2)]),
      (.reasoning, [("[/THINK]", 0)]),
      (.name, [("[ARGS]", 3)]),
      (.arguments, [("[TOOL_CALLS]", 2)]),
    ],
    calls: .object(before: "[TOOL_CALLS]", between: "[ARGS]", after: "", separator: "", ids: .nineCharacters),
    reasoning: ReasoningSyntax(opening: "[THINK]", closing: "[/THINK]"))

  /// Llama 3: an object behind a marker, or as the whole answer.
  package static let llama3 = StreamFamily(
    "llama3",
    [
      (.content, [("<|python_tag|>", 1)]),
      (.calls, []),
      // The beginning, where an object is a call.
      (.content, [("<|python_tag|>", 1), (#"{"name""#, 1), (#"{ "name""#, 1), (#"{"type""#, 1)]),
    ], start: 2, keeping: [#"{"name""#, #"{ "name""#, #"{"type""#],
    calls: .object(before: "{\"name\": \"", between: "\", \"parameters\": ", after: "}", separator: "; "))

  /// gpt-oss: channels (the harmony format). Every message has a header.
  package static let gptOSS = StreamFamily(
    "gpt-oss",
    [
      (.header, [("<|message|>", 1), ("<|start|>", 0)]),
      (.content, [("<|end|>", 0), ("<|return|>", 0), ("<|start|>", 0), ("<|channel|>", 0)]),
      (.reasoning, [("<|end|>", 0), ("<|return|>", 0), ("<|start|>", 0)]),
      (.arguments, [("<|call|>", 0), ("<|end|>", 0), ("<|start|>", 0)]),
    ],
    calls: .object(
      before: "<|channel|>commentary to=functions.", between: " <|constrain|>json<|message|>", after: "", separator: nil
    ),
    reasoning: ReasoningSyntax(
      opening: "<|channel|>analysis<|message|>", closing: "<|end|><|start|>assistant", separator: ""),
    lead: "<|channel|>final<|message|>")

  /// DeepSeek V3 and R1.
  package static let deepseek = StreamFamily(
    "deepseek",
    [
      (.content, [("<think>", 1), ("<｜tool▁calls▁begin｜>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<｜tool▁sep｜>", 3), ("<｜tool▁calls▁end｜>", 0)]),
      (.name, [("\n```json\n", 4)]),
      (.arguments, [("\n```<｜tool▁call▁end｜>", 2), ("<｜tool▁call▁end｜>", 2)]),
    ],
    calls: .object(
      opening: "<｜tool▁calls▁begin｜>", before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", between: "\n```json\n",
      after: "\n```<｜tool▁call▁end｜>", separator: "\n", closing: "<｜tool▁calls▁end｜>"),
    reasoning: .think)

  /// DeepSeek V3.1 and later.
  package static let deepseek31 = StreamFamily(
    "deepseek-3.1",
    [
      (.content, [("<think>", 1), ("<｜tool▁calls▁begin｜>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<｜tool▁call▁begin｜>", 3), ("<｜tool▁calls▁end｜>", 0)]),
      (.name, [("<｜tool▁sep｜>", 4)]),
      (.arguments, [("<｜tool▁call▁end｜>", 2)]),
    ],
    calls: .object(
      opening: "<｜tool▁calls▁begin｜>", before: "<｜tool▁call▁begin｜>", between: "<｜tool▁sep｜>",
      after: "<｜tool▁call▁end｜>", separator: "", closing: "<｜tool▁calls▁end｜>"),
    reasoning: .think)

  /// Kimi K2; its names are `functions.name:0`.
  package static let kimi = StreamFamily(
    "kimi",
    [
      (.content, [("<think>", 1), ("<|tool_calls_section_begin|>", 2)]),
      (.reasoning, [("</think>", 0)]),
      (.nothing, [("<|tool_call_begin|>", 3), ("<|tool_calls_section_end|>", 0)]),
      (.name, [("<|tool_call_argument_begin|>", 4)]),
      (.arguments, [("<|tool_call_end|>", 2)]),
    ],
    calls: .object(
      opening: "<|tool_calls_section_begin|>", before: "<|tool_call_begin|>functions.", isNumbered: true,
      between: "<|tool_call_argument_begin|>", after: "<|tool_call_end|>", separator: "",
      closing: "<|tool_calls_section_end|>", ids: .functions),
    reasoning: .think)
}
