// Text from a model, token by token, through a cache of keys and values.
//
// A prompt is read by programs for as many tokens as it has, at most `chunk` at a time; then each token is one run of a program
// for one token. The caches are written in place and grow as a text does. What a new prompt has in common with the tokens in
// the caches is not read again. A text that outgrows the model's context goes on from its last half.

public import Networks
public import Tensors

/// Writes text with a model.
public final class Generator {
  private let model: any LanguageModel
  private let store: WeightStore
  private let weights: [TensorData]
  private let backend: any Backend
  private let storage: CacheStorage
  private let options: Program.Options
  /// What a person should know of how the weights are held.
  package private(set) var notices: [String] = []
  /// By how many tokens they take; that for one token and the last for more.
  private var programs: [Int: any Executable] = [:]
  private var caches: [TensorData] = []
  /// Positions that the caches have room for.
  private var capacity = 0
  /// The tokens whose keys and values stand in the caches.
  private var read: [Int32] = []
  private let start = TensorData(TensorType(.int32, [1]))
  private let workspace = SamplingWorkspace()

  /// The most tokens of a prompt that are read at once.
  static let chunk = 512

  /// - Parameters:
  ///   - store: in which the model's parameters are declared.
  ///   - weights: a value for each of them, in their order.
  ///   - storage: how keys and values are kept; float32 if nil.
  ///   - exactProducts: whether products with quantised weights keep activations as they are.
  package init(
    _ model: any LanguageModel, _ store: WeightStore, weights: [TensorData], storage: CacheStorage = .float(.float32),
    exactProducts: Bool = false, backend: any Backend
  ) {
    self.model = model
    self.store = store
    self.weights = weights
    self.storage = storage
    options = Program.Options(exactBlocks: exactProducts)
    self.backend = backend
  }

  /// Loads a model from weights by name, float32, to be computed with in `precision`.
  public convenience init(
    _ configuration: GPTConfiguration, masters: [String: TensorData], precision: Precision, backend: any Backend
  ) throws {
    let model = GPT(configuration)
    let store = WeightStore(compute: precision.element)
    model.declare(in: store)
    self.init(
      model, store, weights: try store.given(masters), storage: .float(precision.element), backend: backend)
  }

  /// A model on disk, its weights as they are there or in another precision.
  ///
  /// - Parameter adapter: of this model, which all texts pass.
  package convenience init(
    _ pretrained: PretrainedModel, adapter: LowRankAdapter? = nil, precision: WeightPrecision = .stored,
    storage: CacheStorage? = nil, exactProducts: Bool = false, backend: any Backend
  ) throws {
    let binding = try pretrained.weights(precision)
    self.init(
      adapter.map { AdaptedModel(pretrained.model, $0) } ?? pretrained.model, binding.store, weights: binding.values,
      storage: storage ?? binding.usualStorage,
      exactProducts: exactProducts, backend: backend)
    notices = binding.notices
  }

  /// Continues `prompt` by up to `count` tokens, or until the sampler chooses an end.
  ///
  /// - Parameter receive: called with each token as it is chosen; false stops.
  /// - Returns: the new tokens, the end left out.
  /// - Throws: `ModelError` if no token can follow.
  @discardableResult
  public func generate(
    _ prompt: [Int32], count: Int, sampler: inout Sampler, receive: (TokenChoice) -> Bool = { _ in true }
  ) throws -> [Int32] {
    precondition(!prompt.isEmpty, "a prompt has at least one token")
    try sampler.configuration.check(vocabulary: model.vocabulary)
    sampler.begin(after: prompt)
    var text = Array(prompt.suffix(model.context))
    var result: [Int32] = []
    while result.count < count, !sampler.mustEnd {
      let choice = try sampler.next(logits(after: text, expecting: count - result.count), in: workspace)
      if sampler.ends.contains(choice.token) { break }
      result.append(choice.token)
      guard receive(choice) else { break }
      if text.count == model.context { text = Array(text.suffix(max(1, model.context / 2))) }
      text.append(choice.token)
    }
    return result
  }

  /// Drops what is in the caches behind some tokens; all of it for weights that have changed.
  package func forget(beyond kept: Int = 0) { read = Array(read.prefix(kept)) }

  /// The logits of what follows on a text, which is read as far as it is not in the caches.
  ///
  /// - Parameter expecting: how many tokens will follow, so that the caches need not grow soon.
  /// - Parameter inspect: told of each instruction as it ends.
  package func logits(
    after text: [Int32], expecting: Int = 0, inspect: ((Program.Instruction, Program) throws -> Void)? = nil
  ) throws -> [Float] {
    var known = zip(read, text).prefix { $0 == $1 }.count
    if known == text.count { known -= 1 }
    read.removeSubrange(known...)
    reserve(text.count, expecting: expecting)
    var logits: TensorData?
    while read.count < text.count {
      let tokens = Array(text[read.count...].prefix(Generator.chunk))
      start[0] = .integer(Int64(read.count))
      let executable = try program(tokens.count)
      let inputs = [TensorData(tokens, shape: [1, tokens.count]), start] + weights + caches
      logits = try executable.run(
        inputs, extent: nil,
        inspect: inspect.map { inspect in { instruction, _ in try inspect(instruction, executable.program) } })[0]
      read += tokens
    }
    return logits!.floats
  }

  // MARK: Caches and programs

  /// Makes room for so many positions.
  private func reserve(_ positions: Int, expecting: Int) {
    let isShort = model.shortTexts.map { positions <= $0 } ?? false
    if let limit = model.shortTexts, capacity > 0, isShort != (capacity <= limit) {
      (capacity, caches, read) = (0, [], [])
    }
    guard positions > capacity else { return }
    let wanted = max(positions + min(expecting, model.context), 2 * capacity, 256)
    capacity = max(positions, min((wanted + 255) & ~255, model.context))
    if let limit = model.shortTexts, isShort { capacity = min(capacity, limit) }
    programs = [:]
    let types = traced(1).caches.map(\.past.type)
    let grown = types.map { TensorData($0) }
    for (new, old) in zip(grown, caches) {
      new.bytes.copyMemory(from: UnsafeRawBufferPointer(old.bytes))
    }
    caches = grown
  }

  private func program(_ length: Int) throws -> any Executable {
    if let known = programs[length] { return known }
    let traced = traced(length)
    let inputs = [traced.tokens, traced.start] + store.parameters.map { store.given($0.name) }
    let outputs = [traced.logits] + traced.caches.map(\.new)
    let donations = traced.caches.indices.map { (1 + $0, inputs.count + $0) }
    let executable = try backend.compile(
      Program(
        inputs: inputs + traced.caches.map(\.past), outputs: outputs,
        donating: Dictionary(uniqueKeysWithValues: donations), options: options))
    programs = programs.filter { $0.key == 1 }
    programs[length] = executable
    return executable
  }

  private func traced(_ length: Int) -> (tokens: Tensor, start: Tensor, logits: Tensor, caches: [CacheTensor]) {
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, length]))
    let start = Tensor.input("start", TensorType(.int32, [1]))
    let context = ModelContext.cached(start: start, capacity: capacity, storage: storage)
    let last = Tensor([Int32(length - 1)])
    let logits = model.logits(tokens, store.root, context, rows: length == 1 ? nil : last)
    return (tokens, start, logits, context.caches)
  }
}

extension WeightBinding {
  /// How keys and values are kept if nobody says: float32 beside float32 weights, else bfloat16.
  package var usualStorage: CacheStorage {
    store.parameters.contains { store.given($0.name).element == .float32 && $0.role != .vector }
      ? .float(.float32) : .float(.bfloat16)
  }
}
