// Reasoning and calls of tools out of streams: what families write, and the same however it is cut.

import Core
import Inference
import Support
import Testing

@Suite struct StreamParserTests {
  static let cases: [(family: String, text: String, events: [StreamEvent])] = [
    ("plain", "a <think>b", [.content("a <think>b"), .done]),
    (
      "qwen", "<think>\nhm <b>\n</think>\n\nHi <thin",
      [.reasoning("\nhm <b>\n"), .content("\n\nHi <thin"), .done]
    ),
    (
      "qwen",
      "I look.<tool_call>\n{\"name\": \"get\", \"arguments\": {\"q\": \"</tool_call> \\\" {ä\", \"n\": [1, {}]}}\n</tool_call>\n<tool_call>{\"arguments\":{}, \"name\":\"now\"}</tool_call>",
      [
        .content("I look."), .call(index: 0, name: "get"),
        .arguments(index: 0, #"{"q": "</tool_call> \" {ä", "n": [1, {}]}"#), .content("\n"),
        .call(index: 1, name: "now"),
        .arguments(index: 1, "{}"), .done,
      ]
    ),
    ("qwen", "<tool_call>oops, no</tool_call>x", [.content("oops, nox"), .done]),
    ("qwen", "<tool_call>{\"nome\": 1}</tool_call>", [.content("{\"nome\": 1}"), .done]),
    (
      "mistral", "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
      [
        .call(index: 0, name: "f"), .arguments(index: 0, "{\"a\": 1}"), .call(index: 1, name: "g"),
        .arguments(index: 1, "{}"),
        .done,
      ]
    ),
    (
      "mistral-named", "ok[TOOL_CALLS]f[ARGS]{\"a\": \"[TOOL_CALLS]\"}[TOOL_CALLS]g[ARGS]{}",
      [
        .content("ok"), .call(index: 0, name: "f"), .arguments(index: 0, "{\"a\": \"[TOOL_CALLS]\"}"),
        .call(index: 1, name: "g"),
        .arguments(index: 1, "{}"), .done,
      ]
    ),
    (
      "llama3", "{\"name\": \"f\", \"parameters\": {\"a\": 1}}; {\"name\": \"g\", \"parameters\": {}}",
      [
        .call(index: 0, name: "f"), .arguments(index: 0, "{\"a\": 1}"), .call(index: 1, name: "g"),
        .arguments(index: 1, "{}"),
        .done,
      ]
    ),
    ("llama3", "{\"no\": 1} {\"name\": 2}", [.content("{\"no\": 1} {\"name\": 2}"), .done]),
    (
      "llama3", "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}",
      [.call(index: 0, name: "f"), .arguments(index: 0, "{}"), .done]
    ),
    (
      "gpt-oss",
      "<|channel|>analysis<|message|>Let me <see>.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Köln\"}<|call|>",
      [
        .reasoning("Let me <see>."), .call(index: 0, name: "get_weather"), .arguments(index: 0, "{\"city\": \"Köln\"}"),
        .done,
      ]
    ),
    (
      "gpt-oss", "<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
      [.reasoning("A."), .content("Hi"), .done]
    ),
    (
      "deepseek",
      "<think>a</think>b<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": \"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      [
        .reasoning("a"), .content("b"), .call(index: 0, name: "f"), .arguments(index: 0, "{\"x\": \"```\"}"),
        .call(index: 1, name: "g"), .arguments(index: 1, "{}"), .done,
      ]
    ),
    (
      "deepseek-3.1",
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      [.call(index: 0, name: "f"), .arguments(index: 0, "{\"x\": 1}"), .done]
    ),
    (
      "kimi",
      "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"x\": 1}<|tool_call_end|><|tool_calls_section_end|>",
      [.call(index: 0, name: "f"), .arguments(index: 0, "{\"x\": 1}"), .done]
    ),
  ]

  /// Parses pieces, and joins events of one kind that follow each other.
  static func parse(_ family: StreamFamily, _ pieces: [String]) -> [StreamEvent] {
    var parser = StreamParser(family)
    var result: [StreamEvent] = []
    for event in pieces.flatMap({ parser.push($0) }) + parser.finish() {
      switch (result.last, event) {
      case (.content(let old)?, .content(let new)): result[result.count - 1] = .content(old + new)
      case (.reasoning(let old)?, .reasoning(let new)): result[result.count - 1] = .reasoning(old + new)
      case (.arguments(let index, let old)?, .arguments(let same, let new)) where index == same:
        result[result.count - 1] = .arguments(index: index, old + new)
      default: result.append(event)
      }
    }
    return result
  }

  static func cut(_ text: String, at cuts: [Int]) -> [String] {
    let scalars = Array(text.unicodeScalars)
    return zip([0] + cuts, cuts + [scalars.count]).map { String(String.UnicodeScalarView(scalars[$0..<$1])) }
  }

  @Test(arguments: 0..<cases.count)
  func whatFamiliesWrite(index: Int) {
    let (name, text, events) = Self.cases[index]
    let family = StreamFamily.all[name]!
    #expect(Self.parse(family, [text]) == events)
    let count = text.unicodeScalars.count
    #expect(Self.parse(family, Self.cut(text, at: Array(1..<count))) == events, "one character at a time")
    for place in 1..<count { #expect(Self.parse(family, Self.cut(text, at: [place])) == events, "cut at \(place)") }
  }

  @Test func cutsDoNotMatter() {
    let seed = RandomCase.seed
    var random = RandomSequence(seed: seed)
    let pieces =
      Self.cases.map(\.text) + [
        "<", "<th", "</think>", "<tool_call>", "{", "}", "\"", "[TOOL_CALLS]", "name", "<|channel|>", "<|message|>",
        "<|end|>", "\n```", "｜", "{\"name\": ", "\\", ",", "a", " ",
      ]
    for _ in 0..<400 {
      let text = (0..<Int.random(in: 1...6, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
      let count = text.unicodeScalars.count
      for (name, family) in StreamFamily.all {
        let whole = Self.parse(family, [text])
        let cuts = (0..<count).filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
        #expect(
          Self.parse(family, Self.cut(text, at: cuts)) == whole,
          "\(name), seed \(seed): \(text.debugDescription) cut at \(cuts)")
      }
    }
  }

  @Test func nothingIsHeldBackThatCanBeGivenOut() {
    var parser = StreamParser(.qwen)
    #expect(parser.push("a <") == [.content("a ")])
    #expect(parser.push("b") == [.content("<b")])
    #expect(parser.push("<think>x</") == [.reasoning("x")])
    #expect(parser.push("think>") == [])
    #expect(parser.push("<tool_call>{\"name\":\"f\",") == [.call(index: 0, name: "f")])
    #expect(parser.push("\"arguments\":{\"a") == [.arguments(index: 0, "{\"a")])
    #expect(parser.finish() == [.done])
    var inside = StreamParser(StreamFamily.qwen.answering("<think>\n", canCall: true, isHeld: false))
    #expect(inside.push("hm</think>ok") == [.reasoning("hm"), .content("ok")])
  }
}
