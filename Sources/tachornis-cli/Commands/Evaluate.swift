import ArgumentParser
import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Training

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a model's loss on a text.",
    discussion: """
      Example:
        tachornis evaluate --model runs/book --data other.txt

      Prints one JSON object: loss (nats per token), perplexity, tokens.
      """)

  @OptionGroup var options: ModelOptions

  @Option(help: "A text file, a JSONL file, or a folder of such.")
  var data: String

  @Option(help: "Windows at a time.")
  var batch = 4

  @Option(help: "Read through a cache of keys and values: float32, bfloat16 or int8; without one if not given.")
  var cache: CacheType?

  @Option(help: "Tokens in a window; the model's context if it is not given, but at most 4096.")
  var window: Int?

  @Option(
    help: "Also write the first window's tokens and logits there, as safetensors, to compare with other programs.")
  var logits: String?

  func validate() throws {
    if batch < 1 || batch > 4096 { throw ValidationError("--batch is \(batch); it must be from 1 to 4096.") }
    if let window, window < 2 { throw ValidationError("--window is \(window); it must be 2 or more.") }
  }

  func run() throws {
    let loaded = try LoadedModel(path: options.model)
    let context = loaded.model.context
    if let window, window > context {
      throw CommandError("--window is \(window), but the model knows only \(context) tokens at a time.")
    }
    let text = try loaded.tokens(of: data)
    let backend = try options.computing.backend()
    let length = window ?? min(context, 4096)
    let evaluator = try Evaluator(
      loaded.pretrained, precision: options.precision, batch: batch, length: length, storage: cache?.storage,
      exactProducts: options.exact, backend: backend)
    for notice in evaluator.notices { Failure.writeError("note: \(notice)\n") }
    guard let result = try evaluator.loss(of: text) else {
      throw CommandError("'\(data)' holds \(text.count) tokens; at least two are needed. Give more text.")
    }
    if let logits {
      let first = Array(text.prefix(length))
      let values = try Evaluator.logits(
        of: first, loaded.model, loaded.pretrained.weights(options.precision), storage: cache?.storage,
        exactProducts: options.exact, backend: backend)
      try Evaluate.write(first, values, to: logits)
    }
    let line: JSONValue = [
      "loss": .number(JSONNumber(result.loss)),
      "perplexity": .number(JSONNumber(Evaluator.perplexity(result.loss))),
      "tokens": .number(JSONNumber(result.tokens)),
    ]
    writeOutput(line.json + "\n")
  }

  private static func write(_ tokens: [Int32], _ logits: TensorData, to path: String) throws {
    let numbers = TensorData(tokens, shape: [1, tokens.count])
    try withExtendedLifetime((numbers, logits)) {
      try SafetensorsWriter.write(
        [
          (.init(name: "tokens", type: .i32, shape: numbers.shape.dimensions), UnsafeRawBufferPointer(numbers.bytes)),
          (.init(name: "logits", type: .f32, shape: logits.shape.dimensions), UnsafeRawBufferPointer(logits.bytes)),
        ], to: path)
    }
  }
}
