// `tachornis bench`: how close each kernel comes to the limits of this machine.

internal import ArgumentParser
internal import FoundationEssentials

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure the machine's peaks and every kernel next to them.",
    discussion: """
      Prints, for each kernel and shape, the median time, GFLOP/s, GB/s, and the fraction of the roofline: of the speed that \
      the measured peaks of this machine allow. Results come from a busy machine as they do from an idle one, so close \
      other programs first.

      Examples:
        tachornis bench
        tachornis bench --filter "matmul bf16"
        tachornis bench --filter decode
        tachornis bench --filter peaks
        tachornis bench --filter sampling
        tachornis bench --filter grammar
        tachornis bench --json --threads 1 > bench.jsonl
        tachornis bench --vocabulary tokenizer.json --vocabulary gpt2.tiktoken --text book.txt
        tachornis bench --model llama-Q4_K_M.gguf --prompt 512 --tokens 64
      """)

  @Flag(help: "Print one JSON object a line instead of a table.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Only what has this in its 'name type shape variant'; 'peaks' for no kernel, 'sampling' for choosing tokens, 'grammar' for masks of grammars, 'tokenizers' for all vocabularies and texts in tokenizers/ and text/ of the folder that TACHORNIS_DATA names.",
      valueName: "text"))
  var filter = ""

  @Option(help: ArgumentHelp("Threads to compute with. (default: the number of processors)", valueName: "n"))
  var threads: Int?

  @Option(help: ArgumentHelp("Seconds of timing per kernel and shape.", valueName: "seconds"))
  var seconds = 0.5

  @Option(
    help: ArgumentHelp(
      "Measure encoding and decoding with this tokenizer instead of kernels; may be repeated.", valueName: "path"))
  var vocabulary: [String] = []

  @Option(help: ArgumentHelp("A text to encode; may be repeated.", valueName: "file"))
  var text: [String] = []

  @Option(help: ArgumentHelp("Measure reading and writing with this model instead of kernels.", valueName: "path"))
  var model: String?

  @Option(help: ArgumentHelp("With --model: tokens of the prompt.", valueName: "n"))
  var prompt = 512

  @Option(help: ArgumentHelp("With --model: tokens that are written behind it.", valueName: "n"))
  var tokens = 64

  func validate() throws {
    if prompt < 1 || tokens < 1 { throw ValidationError("--prompt and --tokens must be 1 or more") }
    if vocabulary.isEmpty != text.isEmpty {
      throw ValidationError("--vocabulary and --text belong together: the one says how to encode, the other what")
    }
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be from 1 to 1024, but is \(threads)")
    }
    if !(seconds > 0 && seconds <= 3600) {
      throw ValidationError("--seconds must be more than 0 and at most 3600, but is \(seconds)")
    }
  }

  func run() throws {
    if let tokenizers = try tokenizers() {
      try tokenizers.run(json: json, seconds: seconds) { print($0) }
      return
    }
    if let model {
      try runModelBenchmark(
        model: model, prompt: prompt, tokens: tokens, threads: threads, json: json, seconds: seconds
      ) { print($0) }
      return
    }
    var measured = runKernelBenchmarks(filter: filter, json: json, threads: threads, seconds: seconds) { print($0) }
    measured += try runSamplingBenchmarks(filter: filter, json: json, seconds: seconds) { print($0) }
    measured += try runGrammarBenchmarks(filter: filter, json: json, seconds: seconds) { print($0) }
    measured += runSchedulerBenchmarks(filter: filter, json: json, seconds: seconds) { print($0) }
    if measured == 0, filter != "peaks" {
      throw ValidationError("nothing matches '\(filter)'; leave --filter out to see all names, or say 'peaks'")
    }
  }

  private func tokenizers() throws -> TokenizerBenchmark? {
    if !vocabulary.isEmpty { return TokenizerBenchmark(vocabularies: vocabulary, texts: text) }
    guard filter == "tokenizers" else { return nil }
    guard let folder = ProcessInfo.processInfo.environment["TACHORNIS_DATA"] else {
      throw ValidationError(
        "set TACHORNIS_DATA to a folder with tokenizers/ and text/, or give --vocabulary and --text")
    }
    return try TokenizerBenchmark(folder: folder)
  }
}
