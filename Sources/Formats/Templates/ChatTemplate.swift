// How a model wants its conversations written: a Jinja 2 template that turns messages into the text of a prompt, rendered
// as `transformers` does it (`apply_chat_template` without tokenizing).
//
// Invariant: rendering depends on nothing but its arguments, ends within the limits and reads nothing.

public import Core

/// The chat template of a model.
///
///     let template = try ChatTemplate(directory: "models/qwen3")
///     let prompt = try template.render(
///       messages: [["role": "user", "content": "Hello"]], addGenerationPrompt: true)
public struct ChatTemplate: Sendable {
  /// What one rendering may take.
  public struct Limits: Sendable {
    /// Work in bytes copied or looked at; a step counts as 64. It bounds time (seconds) and memory.
    public var work = 512 << 20
    /// The longest prompt, in bytes.
    public var output = 64 << 20

    public init() {}
  }

  /// The templates by name; most models have only "default".
  private let templates: [String: Source]
  /// What the template gets as `bos_token`, `eos_token` and so on.
  public let specialTokens: JSONObject

  private struct Source: Sendable {
    let text: String
    let statements: [TemplateStatement]
  }

  /// The names of the templates, sorted: "default", and for some models "tool_use", "rag".
  public var names: [String] { templates.keys.sorted() }

  /// Reads a template, such as that of a GGUF file's `tokenizer.chat_template`.
  ///
  /// Throws `FormatsError` with the line of what is wrong in it.
  /// - Parameter specialTokens: the variables `bos_token`, `eos_token`, ...
  public init(_ text: String, specialTokens: JSONObject = JSONObject()) throws(FormatsError) {
    try self.init(named: [("default", text)], specialTokens: specialTokens)
  }

  /// Reads templates with names, the standard one of which is "default".
  public init(
    named texts: [(name: String, text: String)], specialTokens: JSONObject = JSONObject()
  ) throws(FormatsError) {
    var templates: [String: Source] = [:]
    for (name, text) in texts {
      templates[name] = Source(text: text, statements: try TemplateParser.parse(text))
    }
    self.templates = templates
    self.specialTokens = specialTokens
  }

  /// The text of a template; nil if there is none of that name.
  public func text(named name: String = "default") -> String? { templates[name]?.text }

  /// The prompt of a conversation.
  ///
  /// Throws `FormatsError`: `.refusedByTemplate` where the template itself refuses the messages (`raise_exception`),
  /// `.templateLimit` where it takes too much, otherwise what is wrong at which line.
  /// - Parameters:
  ///   - messages: objects with "role" and "content", and what else the template knows ("tool_calls", ...).
  ///   - tools: JSON schemas of the functions that the model may call.
  ///   - documents: objects with "title" and "text".
  ///   - addGenerationPrompt: ends with the beginning of the assistant's answer.
  ///   - continueFinalMessage: ends where the content of the last message ends, to be continued by the model.
  ///   - variables: what else the template knows, such as `enable_thinking`.
  ///   - name: which template; by default "tool_use" if there are tools and it exists, otherwise "default".
  ///   - now: the time that `strftime_now` writes, in seconds since 1970; written as UTC (add a zone's offset).
  ///   - limits: what the rendering may take.
  public func render(
    messages: [JSONValue], tools: [JSONValue]? = nil, documents: [JSONValue]? = nil, addGenerationPrompt: Bool = false,
    continueFinalMessage: Bool = false, variables: JSONObject = JSONObject(), template name: String? = nil,
    now: Double = MonotonicClock().unixSeconds, limits: Limits = Limits()
  ) throws(FormatsError) -> String {
    guard !(addGenerationPrompt && continueFinalMessage) else {
      throw FormatsError(
        .setting, "addGenerationPrompt begins a new message and continueFinalMessage the last one; choose one.")
    }
    let source = try source(name, hasTools: tools != nil)
    var messages = try messages.map { (message) throws(FormatsError) in try Self.message(message) }
    var final = ""
    if continueFinalMessage { final = try Self.markEnd(of: &messages) }
    var values: [String: TemplateValue] = [:]
    for (name, value) in specialTokens { values[name] = try TemplateValue(value) }
    for (name, value) in variables { values[name] = try TemplateValue(value) }
    values["messages"] = try TemplateValue(.array(messages))
    values["tools"] = try TemplateValue(tools.map { .array($0) } ?? .null)
    values["documents"] = try TemplateValue(documents.map { .array($0) } ?? .null)
    values["add_generation_prompt"] = .bool(addGenerationPrompt)
    let text = try TemplateRenderer.render(source.statements, variables: values, now: now, limits: limits)
    return continueFinalMessage ? try Self.cut(text, after: final) : text
  }

  private func source(_ name: String?, hasTools: Bool) throws(FormatsError) -> Source {
    let name = name ?? (hasTools && templates["tool_use"] != nil ? "tool_use" : "default")
    guard let source = templates[name] else {
      throw FormatsError(
        .setting, "The model has no chat template named '\(name)', but: \(names.joined(separator: ", ")).")
    }
    return source
  }

  // MARK: Messages

  /// The names under which reasoning is passed; templates read the first, gpt-oss's the second.
  private static let reasoningNames = ["reasoning_content", "thinking", "reasoning"]

  private static func message(_ value: JSONValue) throws(FormatsError) -> JSONValue {
    guard let message = value.object else {
      throw FormatsError(.malformed, "A message is an object with \"role\" and \"content\", but found \(value.kind).")
    }
    let reasoning = reasoningNames.lazy.compactMap { message[$0] }.first { $0 != .null }
    guard let reasoning else { return value }
    var result = JSONObject([("thinking", reasoning)])
    for (name, value) in message { result[name] = value }
    result["reasoning_content"] = reasoning
    return .object(result)
  }

  // MARK: Continuing the last message

  private static let endMark = "CONTINUE_FINAL_MESSAGE_TAG "

  /// Puts a mark behind the content of the last message; returns the content.
  private static func markEnd(of messages: inout [JSONValue]) throws(FormatsError) -> String {
    guard var message = messages.last?.object else {
      throw FormatsError(.setting, "There is no message to continue: the conversation is empty.")
    }
    let content: String
    switch message["content"] {
    case .string(let text):
      content = text
      message["content"] = .string(text + endMark)
    case .array(var parts):
      guard let index = parts.lastIndex(where: { $0["text"]?.string != nil }), var part = parts[index].object,
        let text = part["text"]?.string
      else { throw FormatsError(.setting, "The last message has no text to continue.") }
      content = text
      part["text"] = .string(text + endMark)
      parts[index] = .object(part)
      message["content"] = .array(parts)
    default: throw FormatsError(.setting, "The last message has no content to continue.")
    }
    messages[messages.count - 1] = .object(message)
    return content
  }

  /// What stands before the mark; if the template strips contents, without the space before it.
  private static func cut(_ text: String, after content: String) throws(FormatsError) -> String {
    let bytes = Array(text.utf8)
    let mark = Array(PythonText.strip(endMark).utf8)
    guard PythonText.contains(text, PythonText.strip(content)), let place = PythonText.places(of: mark, in: bytes).last
    else {
      throw FormatsError(
        .setting, "The last message cannot be continued: the chat template does not write its content as it is.")
    }
    let before = String(decoding: bytes[..<place], as: UTF8.self)
    return bytes[place...].starts(with: endMark.utf8) ? before : PythonText.strip(before, left: false)
  }
}
