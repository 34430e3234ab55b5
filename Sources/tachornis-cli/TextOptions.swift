import ArgumentParser
import Tensors
import Core
import Networks
import Tensors

/// The options that all commands share that read texts with an encoder.
struct TextOptions: ParsableArguments {
  @Option(help: "A folder as Hugging Face has them: config.json, model.safetensors, tokenizer.json.")
  var model: String

  @Option(help: "A text; may be given more than once.")
  var text: [String] = []

  @Option(help: "A file with one text a line.")
  var data: String?

  @Option(help: "The most tokens of a text; what is behind them is not read.")
  var maxLength: Int?

  @Option(
    help: "The type of weights and hidden states; without it weights are as in the file, and hidden states float32.")
  var precision: Precision?

  @OptionGroup var computing: ComputingOptions

  @Flag(help: "Say at the end on standard error how long loading and computing took.")
  var timings = false

  func validate() throws {
    if text.isEmpty && data == nil { throw ValidationError("There is nothing to read: give --text or --data.") }
    if let maxLength, maxLength < 1 { throw ValidationError("--max-length is \(maxLength); it must be 1 or more.") }
  }

  /// The texts of the options, then those of the file.
  private func texts() throws -> [String] {
    guard let data else { return text }
    let lines = try MappedFile(path: data).withBytes { String(decoding: $0, as: UTF8.self) }
    return text + lines.split(whereSeparator: \.isNewline).map(String.init)
  }

  /// Computes something of the texts with a model that is loaded first, and says how long both took if that is wanted.
  func run<Model, Result>(
    load: (any Backend) throws -> Model, compute: (Model, [String]) throws -> Result
  ) throws -> Result {
    let clock = MonotonicClock()
    let begin = clock.seconds
    let model = try load(try computing.backend())
    let texts = try texts()
    let loaded = clock.seconds
    let result = try compute(model, texts)
    if timings {
      let (loading, computing) = (loaded - begin, clock.seconds - loaded)
      Failure.writeError(
        "loaded in \(Numerals.fixed(loading, 3)) s, \(texts.count) texts in \(Numerals.fixed(computing, 3)) s\n")
    }
    return result
  }
}
