// Trains a small GPT on the built-in stories with a loop of its own, and lets it write: what `tachornis train` does,
// without its checkpoints, reports and watchfulness.
//
//     swift run -c release TrainTinyGPT

import Tachornis

@main
enum TrainTinyGPT {
  static let (batch, length, steps) = (16, 64, 500)

  static func main() throws {
    let backend = CPUBackend()
    DefaultBackend.use(backend)

    // Text, a token for each character, and windows of it in a reproducible order.
    let texts = (0..<1000).map { StoriesAndSums(seed: 1).document($0) }
    let tokenizer = try Corpus.texts(texts).trainCharacterTokenizer()
    let tokens = texts.flatMap { tokenizer.encode($0) + [tokenizer.endOfText!] }
    let order = BatchOrder(seed: 1, tokens: tokens.count, length: length)

    // The model: its parameters are declared while its graph is recorded.
    let configuration = GPTConfiguration.modern(
      layers: 3, width: 96, heads: 3, kvHeads: 1, headSize: 32, mlpWidth: 256, context: length,
      vocabulary: tokenizer.vocabularySize)
    let store = WeightStore()
    let (inputs, targets) = (placeholder("tokens"), placeholder("targets"))
    let loss = GPT(configuration).loss(inputs, targets: targets, store.root, .training()).mean()

    let step = try trainingStep(loss, store, data: [inputs, targets], backend)
    let values = try store.initialValues(seed: 1)
    let parameters = store.parameters.map { values[$0.name]! }
    let memory = parameters.flatMap { [TensorData($0.type), TensorData($0.type)] }
    let (inputData, targetData) = (TensorData(inputs.type), TensorData(targets.type))
    let (rate, count) = (TensorData(TensorType(.float32, [])), TensorData(TensorType(.float32, [])))
    let schedule = Schedule(peak: 4e-3, warmup: 20, course: .linear(final: 0.05))

    for number in 1...steps {
      for (row, offset) in order.offsets(step: number - 1, batch: batch).enumerated() {
        for column in 0..<length {
          inputData[row * length + column] = .integer(Int64(tokens[offset + column]))
          targetData[row * length + column] = .integer(Int64(tokens[offset + column + 1]))
        }
      }
      rate[0] = .float(schedule.rate(at: number, of: steps))
      count[0] = .float(Double(number))
      let loss = try step.run([rate, count, inputData, targetData] + parameters + memory)[0].item
      if number == 1 || number % 100 == 0 { print("step \(number)  loss \(Float(loss))") }
    }

    let trained = Dictionary(uniqueKeysWithValues: zip(store.parameters.map(\.name), parameters))
    let generator = try Generator(configuration, masters: trained, precision: .float32, backend: backend)
    var sampler = Sampler(
      SamplingConfiguration(temperature: 0.5, seed: 5), ends: Set([tokenizer.endOfText].compactMap(\.self)))
    let story = try generator.generate(tokenizer.encode("Tom had "), count: 300, sampler: &sampler)
    print("\nTom had " + tokenizer.decode(story))
  }

  static func placeholder(_ name: String) -> Tensor { .input(name, TensorType(.int32, [batch, length])) }

  /// Forward, backward and AdamW as one program whose parameters and optimizer states are updated in place.
  static func trainingStep(
    _ loss: Tensor, _ store: WeightStore, data: [Tensor], _ backend: CPUBackend
  ) throws -> any Executable {
    let parameters = store.parameters.map { store.given($0.name) }
    let slopes = gradients(of: loss, with: parameters)
    let (rate, count) = (Tensor.input("rate", loss.type), Tensor.input("step", loss.type))
    let slots = zip(store.parameters, zip(parameters, slopes)).map { parameter, pair in
      let state = ["mean", "square"].map { ($0, Tensor.input("\(parameter.name) \($0)", pair.0.type)) }
      return OptimizerSlot(
        parameter: parameter, value: pair.0, gradient: pair.1, state: Dictionary(uniqueKeysWithValues: state),
        working: false)
    }
    let controls = OptimizerControls(rate: rate, gradientScale: Tensor(1), step: count, apply: Tensor(1, .bool))
    let updated = AdamWOptimizer().update(slots, controls)

    let inputs = [rate, count] + data + parameters + slots.flatMap { [$0.state["mean"]!, $0.state["square"]!] }
    let state = updated.map(\.value) + updated.flatMap { [$0.state["mean"]!, $0.state["square"]!] }
    let first = inputs.count - state.count
    return try backend.compile(
      Program(
        inputs: inputs, outputs: [loss] + state,
        donating: Dictionary(uniqueKeysWithValues: state.indices.map { ($0 + 1, first + $0) })))
  }
}
