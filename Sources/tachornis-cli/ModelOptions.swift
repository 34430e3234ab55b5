import ArgumentParser
import Models
import Networks
import Tensors

/// A model that predicts tokens, and how its weights are held and used.
struct ModelOptions: ParsableArguments {
  @Option(help: "A run's folder, a checkpoint, a folder as Hugging Face has them, or a .gguf file.")
  var model: String

  @OptionGroup var computing: ComputingOptions

  @Option(help: "The type of weights: stored (as in the file), float32 or bfloat16.")
  var precision: WeightPrecision = .stored

  @Flag(
    help: """
      Multiply quantised weights with activations as they are, which is slower; else integer formats make those int8.
      """
  )
  var exact = false
}

/// The options that all commands share that write text with a model.
struct WritingOptions: ParsableArguments {
  @OptionGroup var model: ModelOptions

  @Option(help: "An adapter (LoRA) of the model: a folder of PEFT, or a .gguf file.")
  var adapter: String?

  @Option(help: "The type of the cache of keys and values: float32, bfloat16 or int8; by the weights if not given.")
  var cache: CacheType?

  @Flag(help: "Say at the end on standard error how long reading and writing took.")
  var timings = false

  /// The model and what writes with it; its backend is the default one from now on.
  func load() throws -> (model: LoadedModel, generator: Generator) {
    let loaded = try LoadedModel(path: model.model)
    let backend = model.computing.backend()
    let adapter = try adapter.map { try LowRankAdapter(path: $0, for: loaded.pretrained) }
    let generator = try Generator(
      loaded.pretrained, adapter: adapter, precision: model.precision, storage: cache?.storage,
      exactProducts: model.exact, backend: backend)
    for notice in generator.notices { Failure.writeError("note: \(notice)\n") }
    return (loaded, generator)
  }
}

/// How a cache keeps keys and values.
enum CacheType: String, CaseIterable, ExpressibleByArgument {
  case float32, bfloat16, int8

  var storage: CacheStorage {
    switch self {
    case .float32: .float(.float32)
    case .bfloat16: .float(.bfloat16)
    case .int8: .int8
    }
  }
}
