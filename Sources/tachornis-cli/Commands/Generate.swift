import ArgumentParser
import CPUBackend
import Formats
import Models
import Networks
import Tensors
import Training

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a text with a trained model.",
    discussion: """
      Examples:
        tachornis generate --model runs/book --prompt "Once upon a time"
        tachornis generate --model runs/book --prompt "1 + 2 =" --tokens 8 --temperature 0

      The text alone, prompt included, goes to standard output.
      """)

  @Option(help: "A run's folder, a checkpoint, or a folder with config.json, model.safetensors and tokenizer.json.")
  var model: String

  @Option(help: "The text to go on from.")
  var prompt: String

  @Option(help: "The most tokens to add.")
  var tokens = 200

  @Option(help: "0 always takes the likeliest token; 1 samples from the model's own distribution.")
  var temperature = 0.8

  @Option(help: "Sample from the likeliest so many tokens only.")
  var topK: Int?

  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 1

  @Option(help: "Threads to compute with.")
  var threads: Int?

  @Option(help: "The type of weights: stored (as in the file), float32 or bfloat16.")
  var precision: WeightPrecision = .stored

  func validate() throws {
    if tokens < 0 { throw ValidationError("--tokens is \(tokens); it must not be negative.") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature is \(temperature); it must be 0 or more.")
    }
    if let topK, topK < 1 { throw ValidationError("--top-k is \(topK); it must be 1 or more.") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
  }

  func run() throws {
    let loaded = try LoadedModel(path: model)
    let backend = CPUBackend(threads: threads)
    DefaultBackend.use(backend)
    let generator = try Generator(loaded.pretrained, precision: precision, backend: backend)
    var start = loaded.tokenizer.encode(prompt)
    writeOutput(prompt)
    if start.isEmpty { start = [loaded.tokenizer.endOfText ?? 0] }
    var sampler = Sampler(temperature: temperature, topK: topK, seed: seed)
    var decoder = StreamingDecoder(loaded.tokenizer)
    try generator.generate(start, count: tokens, ends: loaded.ends, sampler: &sampler) { token in
      writeOutput(decoder.push(token))
      return true
    }
    writeOutput(decoder.finish() + "\n")
  }
}
