import ArgumentParser
import Core
import Formats
import Models

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a text with a model.",
    discussion: """
      Examples:
        tachornis generate --model runs/book --prompt "Once upon a time"
        tachornis generate --model runs/book --prompt "1 + 2 =" --tokens 8 --temperature 0
        tachornis generate --model runs/book --prompt "Once" --count 3 --stop "." --set dry.multiplier=0.8
        tachornis generate --model llama-3.2-1b-Q4_K_M.gguf --prompt "The capital of France is" --timings
        tachornis generate --model llama-8b --draft-model eagle3-llama-8b --prompt "Once" --timings
        tachornis generate --model Qwen3-0.6B --prompt "A cat as JSON: " --json-schema cat.schema.json
        tachornis generate --model Qwen3-0.6B --prompt "Is 91 prime? " --choices yes,no

      The text alone, prompt included, goes to standard output; several texts have a line "---" between them. With --logprobs \
      each token is a line of JSON instead.
      """)

  @OptionGroup var options: WritingOptions

  @OptionGroup(title: "Sampling") var sampling: SamplingOptions

  @OptionGroup(title: "Structure") var structure: GrammarOptions

  @Option(help: "The text to go on from.")
  var prompt: String

  @Option(help: "The most tokens to add.")
  var tokens = 200

  @Option(help: "How many texts to write, each with random numbers of its own.")
  var count = 1

  @Option(help: "Write so many texts, and show those that the model holds to be likeliest: by mean log-probability.")
  var bestOf: Int?

  @Option(help: "Look for the likeliest text with so many beams, instead of sampling.")
  var beams: Int?

  @Option(help: "Print the log-probability of each token, and of so many of the likeliest.")
  var logprobs: Int?

  func validate() throws {
    if tokens < 0 { throw ValidationError("--tokens is \(tokens); it must not be negative.") }
    if count < 1 { throw ValidationError("--count is \(count); it must be 1 or more.") }
    if let bestOf, bestOf < count {
      throw ValidationError("--best-of is \(bestOf); it must be \(count) or more, as many as are shown.")
    }
    if let logprobs, !(0...1000).contains(logprobs) {
      throw ValidationError("--logprobs is \(logprobs); it must be from 0 to 1000.")
    }
    guard let beams else { return }
    if options.drafting.isOn {
      throw ValidationError("--beams and --speculation exclude each other: beams are not drafted for.")
    }
    if beams < count {
      throw ValidationError("--beams is \(beams); it must be \(count) or more, as many as are shown.")
    }
    if bestOf != nil || logprobs != nil || sampling.hasRules || structure.isGiven {
      throw ValidationError(
        "--beams looks for the likeliest text: it goes neither with --best-of and --logprobs nor with rules of sampling "
          + "or structure."
      )
    }
  }

  func run() throws {
    let clock = MonotonicClock()
    let begin = clock.seconds
    let (loaded, writer) = try options.load()
    let constraint = try structure.constraint(for: loaded)
    var start = loaded.tokenizer.encode(prompt, addingSpecials: true)
    if start.isEmpty { start = [loaded.tokenizer.endOfText ?? 0] }
    var stopwatch = GenerationTimes(prompt: start.count, clock: clock, begin: begin)
    if let beams, let plain = writer as? PlainWriter {
      try search(start, beams, loaded, plain.generator) { stopwatch.count() }
    } else if let bestOf {
      try choose(start, among: bestOf, constraint, loaded, writer) { stopwatch.count() }
    } else {
      for index in 0..<count {
        separate(index)
        if logprobs == nil { writeOutput(prompt) }
        _ = try write(start, stream: index, constraint, loaded, writer) { choice, piece in
          if choice != nil { stopwatch.count() }
          if let choice, logprobs != nil {
            writeOutput(line(choice, loaded.tokenizer) + "\n")
          } else if logprobs == nil {
            writeOutput(piece)
          }
        }
        if logprobs == nil { writeOutput("\n") }
      }
    }
    if options.timings { Failure.writeError(stopwatch.summary(writer) + "\n") }
  }

  private func separate(_ index: Int) {
    if index > 0 { writeOutput("---\n") }
  }

  /// Samples one text.
  /// - Parameter emit: takes each token with the text that it completes, and at the end what was held back.
  private func write(
    _ start: [Int32], stream: Int, _ constraint: (any TokenConstraint)?, _ loaded: LoadedModel,
    _ writer: any TextWriter,
    emit: (TokenChoice?, String) -> Void
  ) throws -> ScoredTokens {
    var configuration = try sampling.configuration
    if logprobs != nil || bestOf != nil { configuration.logProbabilities = logprobs ?? 0 }
    var text = TextStream(loaded.tokenizer, configuration, after: start)
    var result = ScoredTokens()
    result.tokens = try writer.write(start, count: tokens, configuration, stream: stream, constraint) { choice in
      emit(choice, text.push(choice.token))
      result.logProbability += Double(choice.logProbability ?? 0)
      result.length += 1
      return text.stopped == nil
    }
    emit(nil, text.finish())
    return result
  }

  /// Samples several texts and shows the best.
  private func choose(
    _ start: [Int32], among several: Int, _ constraint: (any TokenConstraint)?, _ loaded: LoadedModel,
    _ writer: any TextWriter, count counting: () -> Void
  ) throws {
    var texts: [(output: String, mean: Double)] = []
    for stream in 0..<several {
      var output = logprobs == nil ? prompt : ""
      let scored = try write(start, stream: stream, constraint, loaded, writer) { choice, piece in
        if choice != nil { counting() }
        if logprobs == nil {
          output += piece
        } else if let choice {
          output += line(choice, loaded.tokenizer) + "\n"
        }
      }
      texts.append((output + (logprobs == nil ? "\n" : ""), scored.mean))
    }
    texts.sort { $0.mean > $1.mean }
    for (index, text) in texts.prefix(count).enumerated() {
      separate(index)
      writeOutput(text.output)
    }
  }

  /// Looks for the likeliest texts.
  private func search(
    _ start: [Int32], _ beams: Int, _ loaded: LoadedModel, _ generator: Generator, count counting: () -> Void
  ) throws {
    guard tokens <= loaded.model.context - start.count else {
      throw CommandError(
        "The prompt has \(start.count) tokens and the model knows \(loaded.model.context): with --beams, --tokens can be "
          + "\(max(0, loaded.model.context - start.count)) at most.")
    }
    let found = try beamSearch(width: beams, count: tokens, ends: loaded.ends) { texts in
      counting()
      return try texts.map { try generator.logits(after: start + $0, expecting: tokens - $0.count) }
    }
    for (index, text) in found.prefix(count).enumerated() {
      separate(index)
      var stream = StreamingDecoder(loaded.tokenizer, after: start)
      writeOutput(prompt + text.tokens.map { stream.push($0) }.joined() + stream.finish() + "\n")
    }
  }

  /// `{"token":…,"text":…,"logprob":…,"top":[…]}`
  private func line(_ choice: TokenChoice, _ tokenizer: any Tokenizer) -> String {
    func entry(_ token: Int32, _ logProbability: Float) -> JSONObject {
      JSONObject([
        ("token", .number(JSONNumber(Int(token)))), ("text", .string(tokenizer.decode([token]))),
        ("logprob", .number(JSONNumber(Double(logProbability)))),
      ])
    }
    var result = entry(choice.token, choice.logProbability ?? 0)
    result["top"] = .array(choice.likeliest.map { .object(entry($0.token, $0.logProbability)) })
    return JSONValue.object(result).json
  }
}

/// How long a text took.
struct GenerationTimes: CustomStringConvertible {
  let prompt: Int
  private let clock: MonotonicClock
  private let begin: Double
  private let read: Double
  private var first: Double?
  private var last = 0.0
  private var tokens = 0

  /// - Parameter begin: when the model began to be loaded, or the prompt to be read.
  init(prompt: Int, clock: MonotonicClock, begin: Double) {
    self.prompt = prompt
    self.clock = clock
    self.begin = begin
    read = clock.seconds
  }

  /// A token was written.
  mutating func count() {
    last = clock.seconds
    if first == nil { first = last }
    tokens += 1
  }

  /// How long it took, and what was drafted of it.
  func summary(_ writer: any TextWriter) -> String { description + (writer.takeDrafts().map { ", " + $0 } ?? "") }

  var description: String {
    guard let first else { return "nothing was written" }
    func rate(_ tokens: Int, _ seconds: Double) -> String { Numerals.fixed(Double(tokens) / max(seconds, 1e-9), 1) }
    var parts = [
      "loaded in \(Numerals.fixed(read - begin, 3)) s",
      "first token after \(Numerals.fixed(first - begin, 3)) s",
      "\(prompt) tokens of the prompt at \(rate(prompt, first - read)) tokens/s",
    ]
    if tokens > 1 { parts.append("\(tokens) tokens written at \(rate(tokens - 1, last - first)) tokens/s") }
    return parts.joined(separator: ", ")
  }
}
