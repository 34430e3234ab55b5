// The parts of answers, the same whatever the pieces that they come in.

import Inference
import Serving
import Testing

@Suite struct AnswerReaderTests {
  private static let text =
    " <think>\n One  two \n</think>\n\n Hi  there \n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \" b \"}}\n</tool_call>\n"
    + "<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>\n"

  /// What events say, put together, beside the parts.
  private func read(_ pieces: [String], _ family: StreamFamily?) -> (told: [String], parts: [String]) {
    var reader = AnswerReader(family)
    var told: [String] = []
    var last = ""
    func tell(_ kind: String, _ text: String) {
      if kind == last, kind != "call" { told[told.count - 1] += text } else { told.append("\(kind) \(text)") }
      last = kind
    }
    for event in pieces.flatMap({ reader.push($0) }) + reader.finish() {
      switch event {
      case .content(let text): tell("content", text)
      case .reasoning(let text): tell("reasoning", text)
      case .call(_, let name): tell("call", name + " ")
      case .arguments(_, let text): told[told.count - 1] += text
      case .done: break
      }
    }
    let parts = reader.parts.map { part in
      part.kind == .call ? "call \(part.name) \(part.text)" : "\(part.kind) \(part.text)"
    }
    return (told, parts)
  }

  @Test(arguments: [1, 2, 3, 5, 7, 400]) func partsHaveNoSpaceAroundThem(size: Int) {
    let characters = Array(Self.text)
    let pieces = stride(from: 0, to: characters.count, by: size).map { String(characters[$0...].prefix(size)) }
    let (told, parts) = read(pieces, .qwen)
    #expect(parts == ["reasoning One  two", "content Hi  there", "call f {\"a\": \" b \"}", "call g {}"])
    #expect(told == parts)
  }

  @Test func whereNothingIsMarkedNothingIsLost() {
    let pieces = ["  a", "", " <think>", "\n "]
    #expect(read(pieces, nil).parts == ["content   a <think>\n "])
    #expect(read(pieces, nil).told == ["content   a <think>\n "])
    // Of a model that marks parts, an answer of content alone is kept as it is, too.
    #expect(read([" \n", " a ", "\n"], .qwen).parts == ["content  \n a \n"])
  }
}
