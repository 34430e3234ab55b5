import ArgumentParser
import Inference
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

  @OptionGroup var drafting: DraftingOptions

  @Option(help: "The type of the cache of keys and values: float32, bfloat16 or int8; by the weights if not given.")
  var cache: CacheType?

  @Flag(
    help:
      "Say at the end on standard error how long reading and writing took, and how many drafted tokens were accepted.")
  var timings = false

  func validate() throws {
    if (drafting.draftModel != nil) != (drafting.method == .draft) {
      throw ValidationError("--draft-model PATH and --speculation draft belong together.")
    }
    if drafting.isOn, model.exact {
      throw ValidationError("--exact and --speculation exclude each other: drafts are judged with products as usual.")
    }
  }

  /// The model and what writes with it; its backend is the default one from now on.
  func load() throws -> (model: LoadedModel, writer: any TextWriter) {
    let loaded = try LoadedModel(path: model.model)
    if drafting.isOn { return (loaded, try draftingWriter(loaded)) }
    let backend = try model.computing.backend()
    let adapter = try adapter.map { try LowRankAdapter(path: $0, for: loaded.pretrained) }
    let generator = try Generator(
      loaded.pretrained, adapter: adapter, precision: model.precision, storage: cache?.storage,
      exactProducts: model.exact, backend: backend)
    for notice in generator.notices { Failure.writeError("note: \(notice)\n") }
    return (loaded, PlainWriter(model: loaded, generator: generator))
  }

  private func draftingWriter(_ loaded: LoadedModel) throws -> DraftingWriter {
    // A text must not depend on how many of its tokens are judged at a time.
    let backend = try model.computing.backend(rowInvariant: true)
    let weights = try loaded.pretrained.weights(model.precision)
    for notice in weights.notices { Failure.writeError("note: \(notice)\n") }
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.speculation) = (1, 512, drafting.method)
    let adapter = try adapter.map { try LowRankAdapter(path: $0, for: loaded.pretrained) }
    if let adapter { (configuration.adapterRank, configuration.adapterSlots) = (adapter.rank, 1) }
    let engine = try InferenceEngine(
      loaded.pretrained, weights, draft: try drafting.source(for: loaded.pretrained), tokenizer: loaded.tokenizer,
      ends: loaded.ends, configuration, storage: cache?.storage, backend: backend)
    let name = "adapter"
    if let adapter { try engine.load(adapter, as: name) }
    return DraftingWriter(engine, adapter: adapter.map { _ in name })
  }
}

/// From where tokens are drafted.
struct DraftingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Draft tokens that the model then judges several at a time, which makes few texts faster and changes none, but that "
        + "they end where the context does: from the text itself (lookup), from other texts, too (suffix), by a smaller model or a head (draft), or by the model's own "
        + "layer for the token after the next (mtp).",
      valueName: "lookup|suffix|draft|mtp"))
  var speculation: SpeculationMethod?

  @Option(
    help:
      "What drafts: a smaller model of the same vocabulary, or a folder with an EAGLE head (1, 2 or 3) for the model.")
  var draftModel: String?

  /// Whether anything is.
  var isOn: Bool { method != .none }

  var method: SpeculationMethod { speculation ?? (draftModel == nil ? .none : .draft) }

  /// What drafts, beside the texts themselves.
  func source(for model: PretrainedModel) throws -> DraftSource? {
    try draftModel.map { try DraftSource(path: LoadedModel.resolve($0), for: model) }
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
