import CPUBackend
import Models
import Networks
import Tensors
import Testing

struct GeneratorTests {
  private static let backend = CPUBackend(threads: 2)
  private static let shape: GPTConfiguration = .modern(
    layers: 2, width: 32, heads: 4, kvHeads: 2, headSize: 8, mlpWidth: 48, context: 24, vocabulary: 40)

  /// Greedy tokens by running the whole text again for each.
  private static func slowly(_ prompt: [Int32], _ count: Int, _ masters: [String: TensorData]) throws -> [Int32] {
    var text = prompt
    for _ in 0..<count {
      let store = WeightStore()
      let tokens = Tensor(text, shape: [1, text.count])
      let logits = GPT(shape).logits(tokens, store.root, .training(), rows: Tensor([Int32(text.count - 1)]))
      let program = Program(inputs: store.parameters.map { store.master($0.name) }, outputs: [logits])
      let values = try ReferenceBackend().compile(program).run(store.parameters.map { masters[$0.name]! })
      let row = values[0].floats
      text.append(Int32(row.firstIndex(of: row.max()!)!))
    }
    return Array(text.dropFirst(prompt.count))
  }

  private static func masters() throws -> [String: TensorData] {
    let store = WeightStore()
    GPT(shape).declare(in: store)
    var larger = try DefaultBackend.with(Self.backend) { try store.initialValues(seed: 5) }
    // Larger weights, so that the likeliest tokens are clear of each other.
    for (name, data) in larger where data.shape.rank == 2 {
      larger[name] = TensorData(data.doubles.map { $0 * 8 }, shape: data.shape)
    }
    return larger
  }

  @Test func cachesGiveWhatTheWholeTextGives() throws {
    let masters = try Self.masters()
    try DefaultBackend.with(Self.backend) {
      let generator = try Generator(
        Self.shape, masters: masters, precision: .float32, backend: Self.backend)
      for length in [1, 5, 16] {
        let prompt = (0..<length).map { Int32($0 * 7 % 40) }
        var sampler = Sampler(SamplingConfiguration(temperature: 0))
        let found = try generator.generate(prompt, count: 8, sampler: &sampler)
        #expect(found == (try Self.slowly(prompt, 8, masters)), "a prompt of \(length)")
      }
    }
  }

  @Test func textsOutgrowTheContext() throws {
    let masters = try Self.masters()
    try DefaultBackend.with(Self.backend) {
      let generator = try Generator(
        Self.shape, masters: masters, precision: .bfloat16, backend: Self.backend)
      var sampler = Sampler(SamplingConfiguration(temperature: 1, topK: 5, seed: 3))
      let long = (0..<60).map { Int32($0 % 40) }
      let found = try generator.generate(long, count: 50, sampler: &sampler)
      #expect(found.count == 50)
      #expect(found.allSatisfy { $0 >= 0 && $0 < 40 })
    }
  }
}
