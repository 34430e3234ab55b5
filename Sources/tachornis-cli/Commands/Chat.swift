import ArgumentParser
import Core
import Formats
import FoundationEssentials
import Models

struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk with a model that has a chat template.",
    discussion: """
      Reads messages from standard input, a line each, and writes the answers. What was said before is not read again.

      Examples:
        tachornis chat --model Qwen3-0.6B
        tachornis chat --model model-Q4_K_M.gguf --system "Answer in one sentence."
        tachornis chat --model Qwen3-0.6B --tools functions.json --variable enable_thinking=false
        tachornis chat --model Qwen3-0.6B --top-p 0.95 --set repetitionPenalty=1.1
        tachornis chat --model Qwen3-0.6B --speculation lookup --timings
        echo "What is a swift?" | tachornis chat --model Qwen3-0.6B --temperature 0

      /clear forgets the conversation, /exit (or the end of input) ends it, Ctrl-C ends an answer.
      """)

  @OptionGroup var options: WritingOptions

  @OptionGroup(title: "Sampling") var sampling: SamplingOptions

  @OptionGroup(title: "Structure") var structure: GrammarOptions

  @Option(help: "What the model is told before the conversation.")
  var system: String?

  @Option(help: "A file with a Jinja template, instead of the model's own.")
  var template: String?

  @Option(
    help: ArgumentHelp(
      "A variable that the template knows, as JSON: --variable enable_thinking=false; may be repeated.",
      valueName: "name=value"))
  var variable: [String] = []

  @Option(
    help: ArgumentHelp(
      "A JSON file with a list of the functions that the model may call, as the template wants them; calls are written as "
        + "the model writes them.", valueName: "file"))
  var tools: String?

  @Option(help: "The most tokens of an answer.")
  var tokens = 1024

  func validate() throws {
    if tokens < 1 { throw ValidationError("--tokens is \(tokens); it must be 1 or more.") }
  }

  func run() throws {
    let (loaded, writer) = try options.load()
    let constraint = try structure.constraint(for: loaded)
    let template = try chatTemplate(loaded.pretrained)
    let variables = try variables()
    let functions = try functions()
    let opening: [JSONValue] = system.map { [["role": "system", "content": .string($0)]] } ?? []
    var messages = opening
    let configuration = try sampling.configuration
    var answers = 0
    let isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1
    while let line = ask(isTerminal) {
      let text = line.trimmed
      if text == "/exit" { break }
      if text == "/clear" { messages = opening }
      if text.isEmpty || text == "/clear" { continue }
      messages.append(["role": "user", "content": .string(text)])
      let prompt = try template.render(
        messages: messages, tools: functions, addGenerationPrompt: true, variables: variables)
      let start = loaded.tokenizer.encode(prompt, specials: .recognized)
      guard start.count < writer.context else {
        let problem = "The conversation has \(start.count) tokens and there is room for \(writer.context)"
        guard isTerminal else { throw CommandError(problem + ".") }
        Failure.writeError(problem + ": say less, or /clear it.\n")
        messages.removeLast()
        continue
      }
      // Another stream of the same seed: a question that is asked again may be answered otherwise.
      let answer = try answer(start, stream: answers, configuration, constraint, loaded, writer)
      answers += 1
      messages.append(["role": "assistant", "content": .string(answer)])
    }
  }

  private func ask(_ isTerminal: Bool) -> String? {
    if isTerminal { Failure.writeError("> ") }
    return readLine()
  }

  private func answer(
    _ start: [Int32], stream: Int, _ configuration: SamplingConfiguration, _ constraint: (any TokenConstraint)?,
    _ loaded: LoadedModel, _ writer: any TextWriter
  ) throws -> String {
    var text = TextStream(loaded.tokenizer, configuration, after: start, skippingSpecials: true)
    var answer = ""
    let clock = MonotonicClock()
    var times = GenerationTimes(prompt: start.count, clock: clock, begin: clock.seconds)
    Interrupt.watch()
    defer { Interrupt.forget() }
    _ = try writer.write(start, count: tokens, configuration, stream: stream, constraint) { choice in
      times.count()
      let piece = text.push(choice.token)
      answer += piece
      writeOutput(piece)
      return text.stopped == nil && !Interrupt.isAsked
    }
    let rest = text.finish()
    writeOutput(rest + "\n")
    if options.timings { Failure.writeError(times.summary(writer) + "\n") }
    return answer + rest
  }

  private func chatTemplate(_ pretrained: PretrainedModel) throws -> ChatTemplate {
    guard let template else { return try pretrained.chatTemplate() }
    let own = try? pretrained.chatTemplate()
    let text = try textFile(template, "--template")
    return try ChatTemplate(text, specialTokens: own?.specialTokens ?? JSONObject())
  }

  private func functions() throws -> [JSONValue]? {
    guard let tools else { return nil }
    let text = try MappedFile(path: tools).withBytes { String(decoding: $0, as: UTF8.self) }
    do throws(JSONError) {
      if let list = try JSONValue(parsing: text).array { return list }
    } catch {
      throw CommandError("'\(tools)' is not JSON: \(error.message).")
    }
    throw CommandError("'\(tools)' must be a JSON list of functions.")
  }

  private func variables() throws -> JSONObject {
    var result = JSONObject()
    for entry in variable {
      let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ValidationError("--variable \(entry): a name, =, and a value are needed.") }
      result[parts[0]] = (try? JSONValue(parsing: parts[1])) ?? .string(parts[1])
    }
    return result
  }
}

extension String {
  /// Without white space at both ends.
  fileprivate var trimmed: String {
    let start = drop { $0.isWhitespace }
    return String(start.reversed().drop { $0.isWhitespace }.reversed())
  }
}
