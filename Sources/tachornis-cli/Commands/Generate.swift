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
        tachornis generate --model llama-3.2-1b-Q4_K_M.gguf --prompt "The capital of France is" --timings

      The text alone, prompt included, goes to standard output.
      """)

  @OptionGroup var options: ModelOptions

  @Option(help: "The text to go on from.")
  var prompt: String

  @Option(help: "The most tokens to add.")
  var tokens = 200

  func validate() throws {
    if tokens < 0 { throw ValidationError("--tokens is \(tokens); it must not be negative.") }
  }

  func run() throws {
    let clock = MonotonicClock()
    let begin = clock.seconds
    let (loaded, generator) = try options.load()
    var start = loaded.tokenizer.encode(prompt, addingSpecials: true)
    writeOutput(prompt)
    if start.isEmpty { start = [loaded.tokenizer.endOfText ?? 0] }
    var sampler = options.sampler
    var decoder = StreamingDecoder(loaded.tokenizer, after: start)
    var stopwatch = GenerationTimes(prompt: start.count, clock: clock, begin: begin)
    try generator.generate(start, count: tokens, ends: loaded.ends, sampler: &sampler) { token in
      stopwatch.count()
      writeOutput(decoder.push(token))
      return true
    }
    writeOutput(decoder.finish() + "\n")
    if options.timings { Failure.writeError(stopwatch.description + "\n") }
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
