// `tachornis bench`: how close each kernel comes to the limits of this machine.

internal import ArgumentParser
internal import Core
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
        tachornis bench --device gpu --check
        tachornis bench --device gpu --filter "attention bf16"
        tachornis bench --device emulator --filter matmul

      With --device gpu these are the kernels of a GPU, next to the bandwidth of its memory; on the emulator the same at small \
      shapes, with the roofline's estimates instead of times. Benchmarks/gpu runs them in turn with PyTorch.
      """)

  @Option(help: ArgumentHelp("Measure the kernels of this: \(DeviceChoice.forms).", valueName: "device"))
  var device: DeviceChoice = .cpu

  @Flag(help: "With a GPU: compare each kind of kernel with the reference first, and do not time what is wrong.")
  var check = false

  @Flag(help: "With a GPU: take requests from standard input, a JSON object a line, as Benchmarks/gpu makes them.")
  var requests = false

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
    if device == .cpu, check || requests {
      throw ValidationError("--check and --requests need --device gpu or emulator")
    }
    if device != .cpu, model != nil || !vocabulary.isEmpty || threads != nil {
      throw ValidationError("--model, --vocabulary and --threads are for the processor; leave --device out")
    }
    if !(seconds > 0 && seconds <= 3600) {
      throw ValidationError("--seconds must be more than 0 and at most 3600, but is \(seconds)")
    }
  }

  func run() throws {
    if device != .cpu { return try runOnDevice() }
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

  private func runOnDevice() throws {
    let benchmark = try GPUBenchmark(device)
    if requests {
      var answers = GPURequests(benchmark)
      // What asks is a pipe: each line has to leave at once.
      answers.serve(next: { readLine() }) { writeOutput($0 + "\n") }
      return
    }
    let measured = benchmark.run(filter: filter, checks: check, json: json, seconds: seconds) { writeOutput($0 + "\n") }
    if measured == 0 { throw ValidationError("nothing matches '\(filter)'; leave --filter out to see all names") }
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
