// Which family a model is of, by its template and by name, and what of it applies to a request.

package import Formats

extension StreamFamily {
  /// Where a prompt leaves reasoning.
  package enum ReasoningState { case open, closed, none }

  /// The family that writes what a chat template reads; `plain` if there is none.
  package init(template: ChatTemplate?) {
    let text = template?.text(named: "tool_use") ?? template?.text() ?? ""
    func has(_ part: String) -> Bool { text.contains(part) }
    if has("<|channel|>"), has("<|start|>") {
      self = .gptOSS
    } else if has("<|tool_calls_section_begin|>") {
      self = .kimi
    } else if has("<｜tool▁calls▁begin｜>") {
      self = has("```json") ? .deepseek : .deepseek31
    } else if has("[TOOL_CALLS]") {
      self = has("[ARGS]") ? .mistralNamed : .mistral
    } else if has("<tool_call>") {
      // Some write arguments in XML, which no family here does.
      self = has("<function=") || has("<arg_key>") ? StreamFamily.plain.reasoning(as: .think) : .qwen
    } else if has("<|python_tag|>") || has("<|start_header_id|>") && has("\"parameters\"") {
      self = .llama3
    } else {
      self = has("<think>") ? StreamFamily.plain.reasoning(as: .think) : .plain
    }
  }

  /// The names by which other servers know families.
  private static let aliases = [
    "hermes": "qwen", "qwen3": "qwen", "llama3_json": "llama3", "llama4_json": "llama3", "openai": "gpt-oss",
    "openai_gptoss": "gpt-oss", "deepseek_r1": "deepseek", "deepseek_v3": "deepseek", "deepseek_v31": "deepseek-3.1",
    "kimi_k2": "kimi", "none": "plain",
  ]

  /// A family by its name here or in vLLM.
  package init?(named name: String) {
    guard let family = Self.all[Self.aliases[name] ?? name] else { return nil }
    self = family
  }

  /// Whether nothing is marked.
  package var isPlain: Bool { modes.allSatisfy { $0.kind == .content && $0.markers.isEmpty } }

  /// The same for answers that are compelled to be calls, by a model of whose calls nothing is known: bare objects.
  package var withPlainCalls: StreamFamily { StreamFamily.llama3.reasoning(as: reasoning) }

  /// All that is written around reasoning, calls and answers: the special tokens among it must be allowed in grammars.
  package var markers: String {
    ([calls?.opening, calls?.before, calls?.between, calls?.after, calls?.separator, calls?.closing]
      + [reasoning?.opening, reasoning?.closing, lead]).compactMap(\.self).joined(separator: "\n")
  }

  /// What begins calls in an answer, or leads to where they are written.
  var callMarkers: CallMarkers {
    var result = CallMarkers()
    for marker in modes.filter({ $0.kind == .content }).flatMap(\.markers) {
      if [.reasoning, .content].contains(modes[marker.mode].kind) { continue }
      let text = String(decoding: marker.text, as: UTF8.self)
      if marker.isFirst {
        if !result.first.contains(text) { result.first.append(text) }
      } else if !result.anywhere.contains(text) {
        result.anywhere.append(text)
      }
    }
    return result
  }

  /// How a prompt that ends so leaves reasoning.
  package func state(after prompt: String) -> ReasoningState {
    guard let reasoning else { return .none }
    let end = prompt.utf8.reversed().drop { JSONScan.isSpace($0) }
    if end.starts(with: reasoning.opening.utf8.reversed()) { return .open }
    return end.starts(with: reasoning.closing.utf8.reversed()) ? .closed : .none
  }

  /// The same for an answer to a prompt, which may have opened reasoning already.
  ///
  /// - Parameters:
  ///   - canCall: there are tools.
  ///   - isHeld: the answer itself is held to a grammar and is no call, so that nothing in it is a marker.
  package func answering(_ prompt: String, canCall: Bool, isHeld: Bool) -> StreamFamily {
    var result = canCall ? self : without { [.calls, .name, .arguments, .nothing].contains($0) }
    if isHeld { result = result.held }
    if state(after: prompt) == .open {
      result.start = result.modes.firstIndex { $0.kind == .reasoning } ?? result.start
    }
    return result
  }

  /// The same with reasoning marked as another family has it; nil: not marked.
  package func reasoning(as syntax: ReasoningSyntax?) -> StreamFamily {
    // The channels of gpt-oss are what its messages are made of.
    if modes[start].kind == .header || reasoning == syntax { return self }
    var result = without { $0 == .reasoning }
    result.reasoning = syntax
    guard let syntax else { return result }
    let content = result.modes.firstIndex { $0.kind == .content }!
    let mode = result.modes.count
    for index in result.modes.indices where result.modes[index].kind == .content {
      result.modes[index].markers.append(Marker(text: Array(syntax.opening.utf8), mode: mode))
    }
    result.modes.append(
      Mode(kind: .reasoning, markers: [Marker(text: Array(syntax.closing.utf8), mode: content)]))
    return result
  }

  /// The same without the markers that lead to some modes.
  private func without(_ isLeftOut: (Kind) -> Bool) -> StreamFamily {
    var result = self
    for index in modes.indices {
      result.modes[index].markers.removeAll { isLeftOut(modes[$0.mode].kind) }
    }
    return result
  }

  /// The same where reasoning can only be in front, and no marker counts behind it.
  private var held: StreamFamily {
    guard modes[start].kind == .content else { return self }
    var result = self
    let last = modes.count
    for index in modes.indices {
      for marker in modes[index].markers.indices {
        result.modes[index].markers[marker].isFirst = modes[index].kind == .content
        if modes[index].kind == .reasoning { result.modes[index].markers[marker].mode = last }
      }
    }
    result.modes.append(Mode(kind: .content, markers: []))
    return result
  }
}
