// What holds for every GPT, whatever its weights: counts, causality, decoding through caches.

import Models
import Networks
import Tensors
import Testing

@Suite struct GPTTests {
  /// Small models with every choice taken at least once.
  static let configurations: [GPTConfiguration] = {
    var plain = GPTConfiguration.gpt2(layers: 2, width: 12, heads: 3, context: 9, vocabulary: 11)
    plain.tiedHead = false
    plain.activation = .geluErf
    var modern = GPTConfiguration.modern(
      layers: 2, width: 12, heads: 4, kvHeads: 2, headSize: 6, mlpWidth: 20, context: 9, vocabulary: 11)
    modern.initialDeviation = 0.3
    plain.initialDeviation = 0.3
    var squared = modern
    squared.activation = .reluSquared
    squared.attentionSoftcap = 3
    squared.logitSoftcap = 2
    squared.biases = true
    squared.qkNorm = false
    squared.tiedHead = false
    return [plain, modern, squared]
  }()

  static let tokens = TensorData((0..<16).map { (i: Int) in Int32((i * 7 + 3) % 11) }, shape: [2, 8])

  /// The values of `outputs`, for initial weights and the given placeholders.
  private func run(
    _ outputs: [Tensor], _ store: WeightStore, _ given: [(Tensor, TensorData)] = []
  ) throws -> [TensorData] {
    let names = store.parameters.map(\.name)
    let values = try store.initialValues(seed: 7)
    let inputs = given.map(\.0) + names.map(store.given)
    return try ReferenceBackend().compile(Program(inputs: inputs, outputs: outputs))
      .run(given.map(\.1) + names.map { values[$0]! }).map { $0.copy() }
  }

  @Test(arguments: configurations) func countsAreThoseOfTheDeclaredParameters(configuration: GPTConfiguration) {
    let store = WeightStore()
    _ = GPT(configuration).logits(.input("tokens", TensorType(.int32, [2, 8])), store.root, .training())
    #expect(store.parameters.map(\.shape.count).reduce(0, +) == configuration.parameterCount)
    let matrices = store.parameters.filter { $0.role == .matrix }.map(\.shape.count).reduce(0, +)
    let head = configuration.vocabulary * configuration.width
    // One token attends to itself alone: 4 operations for each element of its queries.
    let attention = 4 * configuration.layers * configuration.heads * configuration.headSize
    #expect(configuration.forwardFLOPs(length: 1) == Double(2 * (matrices + head) + attention))
    #expect(configuration.trainingFLOPs(length: 1) == 3 * configuration.forwardFLOPs(length: 1))
  }

  @Test func presetsHaveTheSizesOfTheirNames() throws {
    #expect(try GPTPreset.named("gpt2").configuration.parameterCount == 124_439_808)
    #expect(try GPTPreset.named("gpt2-350m").configuration.parameterCount == 354_823_168)
    #expect(try GPTPreset.named("gpt2-774m").configuration.parameterCount == 774_030_080)
    #expect(try GPTPreset.named("GPT2-1.5b").configuration.parameterCount == 1_557_611_200)
    // Of the small models the embedding depends on the tokenizer.
    for (name, size) in [("124m", 124e6), ("350m", 350e6), ("774m", 774e6), ("1.5b", 1.55e9)] {
      let count = Double(try GPTPreset.named(name).configuration.parameterCount)
      #expect(abs(count / size - 1) < 0.02, "\(name) has \(count)")
    }
    for preset in GPTPreset.all { #expect(preset.configuration.problems().isEmpty, "\(preset.name)") }
    let error = #expect(throws: ModelError.self) { try GPTPreset.named("gpt5") }
    #expect(error?.message.contains("'gpt5'") == true && error?.message.contains("gpt2-1.5b") == true)
  }

  @Test(arguments: configurations) func theFutureIsNotSeen(configuration: GPTConfiguration) throws {
    let store = WeightStore()
    let tokens = Tensor.input("tokens", TensorType(.int32, [2, 8]))
    let logits = GPT(configuration).logits(tokens, store.root, .training())
    let changed = Self.tokens.copy()
    changed[5] = .integer(0)
    #expect(Self.tokens[5] != changed[5])
    let v = configuration.vocabulary
    let before = try run([logits], store, [(tokens, Self.tokens)])[0].doubles
    let after = try run([logits], store, [(tokens, changed)])[0].doubles
    #expect(before[..<(5 * v)] == after[..<(5 * v)] && before[(8 * v)...] == after[(8 * v)...])
    #expect(before[(5 * v)..<(6 * v)] != after[(5 * v)..<(6 * v)])
    #expect(before[(7 * v)..<(8 * v)] != after[(7 * v)..<(8 * v)])
  }

  @Test(arguments: configurations) func cachedPassesGiveTheLogitsOfOnePass(configuration: GPTConfiguration) throws {
    let store = WeightStore()
    let gpt = GPT(configuration)
    let whole = gpt.logits(Tensor(Self.tokens), store.root, .training())
    let expected = try run([whole], store)[0]
    let v = configuration.vocabulary
    var caches: [TensorData] = []
    // The first sequence goes on after 4 tokens of the first pass's 5, the second after all.
    for (starts, length) in [([0, 0], 5), ([4, 5], 1), ([5, 6], 2)] {
      let tokens = starts.enumerated().flatMap { row, start in
        (start..<(start + length)).map { Int32(Self.tokens[8 * row + $0].integer) }
      }
      let start = Tensor(starts.map(Int32.init))
      let context = ModelContext.cached(start: start, capacity: 9, storage: .float(.float32))
      let logits = gpt.logits(Tensor(tokens, shape: [2, length]), store.root, context)
      if caches.isEmpty { caches = context.caches.map { TensorData($0.past.type) } }
      let results = try run(
        [logits] + context.caches.map(\.new), store, Array(zip(context.caches.map(\.past), caches)))
      caches = results.dropFirst().map { $0.copy() }
      for (row, first) in starts.enumerated() {
        for offset in 0..<length {
          let found = results[0].doubles[((row * length + offset) * v)..<((row * length + offset + 1) * v)]
          let place = 8 * row + first + offset
          let right = expected.doubles[(place * v)..<((place + 1) * v)]
          #expect(zip(found, right).allSatisfy { abs($0 - $1) < 1e-5 })
        }
      }
    }
    #expect(expected.doubles.max()! - expected.doubles.min()! > 0.5, "the logits say something")
  }

  @Test(arguments: configurations) func lossIsTheCrossEntropyOfTheLogits(configuration: GPTConfiguration) throws {
    let store = WeightStore()
    let gpt = GPT(configuration)
    let targets = (0..<16).map { (i: Int) -> Int32 in i == 4 ? -1 : Int32((i * 5) % 11) }
    let loss = gpt.loss(Tensor(Self.tokens), targets: Tensor(targets, shape: [2, 8]), store.root, .training())
    let logits = gpt.logits(Tensor(Self.tokens), store.root, .training()).logSoftmax()
    let values = try run([loss, logits], store)
    let expected = targets.enumerated().map { row, target -> Double in
      if target < 0 { return 0 }
      return -values[1][row * configuration.vocabulary + Int(target)].double
    }
    #expect(values[0].count == 16 && zip(values[0].doubles, expected).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func aRematerialisedModelHasTheSameGradients() throws {
    let configuration = Self.configurations[1]
    func gradientValues(rematerialise: Bool) throws -> [[Double]] {
      let store = WeightStore()
      let context = ModelContext.training(
        dropoutKey: .full(Int64(1), .scalar), rematerialise: rematerialise)
      var configuration = configuration
      configuration.dropout = 0.2
      let targets = Tensor((0..<16).map { Int32($0 % 11) })
      let loss = GPT(configuration).loss(Tensor(Self.tokens), targets: targets, store.root, context).mean()
      let gradients = gradients(of: loss, with: store.parameters.map { store.given($0.name) })
      return try run([loss] + gradients, store).map(\.doubles)
    }
    #expect(try gradientValues(rematerialise: true) == gradientValues(rematerialise: false))
  }
}
