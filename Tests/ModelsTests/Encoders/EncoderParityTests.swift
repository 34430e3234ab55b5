// Encoders compute what `transformers` computes (Scripts/make-encoder-fixtures.py), for texts one by one and packed together.

import CPUBackend
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct EncoderParityTests {
  private static let backend = CPUBackend(threads: 2)

  @Test func thereAreFixtures() { #expect(EncoderFixture.all.count == 8) }

  @Test(arguments: EncoderFixture.all) func statesAreTransformers(fixture: EncoderFixture) throws {
    for backend in [Self.backend, ReferenceBackend()] as [any Backend] {
      let runner = try EncoderRunner(fixture.model, task: fixture.model.task, backend: backend)
      var packed = [[Float]](repeating: [], count: fixture.texts.count)
      try runner.states(of: fixture.texts) { packed[$0] = Array($1) }
      let expected = try fixture.tensor("states").doubles
      #expect(relativeError(packed.joined().map(Double.init), expected) < 1e-4)
      var start = 0
      for (index, text) in fixture.texts.enumerated() {
        var alone: [Float] = []
        try runner.states(of: [text]) { alone = Array($1) }
        let wanted = expected[start..<(start + alone.count)]
        let worst = zip(alone, wanted).map { abs(Double($0) - $1) }.max()!
        #expect(worst < 1e-4 * wanted.map(abs).max()!, "text \(index)")
        #expect(relativeError(alone.map(Double.init), packed[index].map(Double.init)) < 1e-5, "text \(index)")
        start += alone.count
      }
    }
  }

  @Test(arguments: EncoderFixture.all.filter { $0.model.task != .states })
  func logitsAreTransformers(fixture: EncoderFixture) throws {
    let runner = try EncoderRunner(fixture.model, task: fixture.model.task, backend: Self.backend)
    let logits = try runner.logits(fixture.texts).joined().map(Double.init)
    #expect(relativeError(logits, try fixture.tensor("logits").doubles) < 1e-4)
  }

  @Test(arguments: EncoderFixture.all) func headsThatAreNotAskedForAreLeftAlone(fixture: EncoderFixture) throws {
    let runner = try EncoderRunner(fixture.model, task: .states, backend: Self.backend)
    var states = [[Float]](repeating: [], count: fixture.texts.count)
    try runner.states(of: fixture.texts) { states[$0] = Array($1) }
    #expect(relativeError(states.joined().map(Double.init), try fixture.tensor("states").doubles) < 1e-4)
  }

  @Test(arguments: EncoderFixture.all) func everyParameterLearns(fixture: EncoderFixture) throws {
    let task = fixture.model.task
    let binding = try fixture.model.weights(for: task, .float32)
    let store = binding.store
    let text = fixture.texts.max { $0.tokens.count < $1.tokens.count }!
    let shape: Shape = [1, text.tokens.count]
    let encoder = fixture.model.encoder
    var states = encoder.hidden(
      Tensor(text.tokens, shape: shape), types: Tensor(text.types, shape: shape), store.root, .training()
    ).reshaped(-1, encoder.width)
    if case .classification = task { states = states.sliced(0..<1, axis: 0) }
    let loss = (encoder.head(task, states, store.root) * 0.1).exp().mean()
    let parameters = store.parameters.map { store.given($0.name) }
    let program = Program(inputs: parameters, outputs: [loss] + gradients(of: loss, with: parameters))
    let results = try Self.backend.compile(program).run(binding.values)
    #expect(results[0].item.isFinite)
    for (parameter, gradient) in zip(store.parameters, results.dropFirst()) {
      let values = gradient.doubles
      #expect(values.allSatisfy { $0.isFinite }, "\(parameter.name)")
      #expect(values.contains { $0 != 0 }, "\(parameter.name)")
    }
  }

  @Test func textsAreLaidInRowsOfLikeLength() {
    var lengths = (0..<300).map { 1 + $0 * 37 % 128 }
    lengths.append(5000)
    let rows = EncoderRunner.rows(of: lengths)
    #expect(rows.joined().sorted() == Array(lengths.indices))
    #expect(rows.allSatisfy { $0.map { lengths[$0] }.reduce(0, +) <= 5000 })
    let ordered = rows.joined().map { lengths[$0] }
    #expect(ordered == ordered.sorted(by: >))
    #expect(EncoderRunner.rows(of: []) == [])
  }

  @Test func settingsThatAreNotThereAreReported() throws {
    let settings = try String(
      decoding: #require(FileManager.default.contents(atPath: EncoderFixture.all[0].model.path + "/config.json")),
      as: UTF8.self)
    let changes = [
      ("\"is_decoder\": false", "\"is_decoder\": true"),
      ("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"),
      ("\"hidden_act\": \"gelu_new\"", "\"hidden_act\": \"mish\""),
      ("\"type_vocab_size\": 2", "\"position_embedding_type\": \"relative_key\""),
      ("\"model_type\": \"bert\"", "\"model_type\": \"unheard-of\""),
    ]
    for (old, new) in changes {
      try withTemporaryFolder { folder in
        let changed = settings.split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
        #expect(changed != settings, "\(old) is not in the settings")
        FileManager.default.createFile(atPath: folder + "/config.json", contents: Data(changed.utf8))
        #expect(throws: ModelError.self, "\(new)") { try PretrainedEncoder(path: folder) }
      }
    }
  }
}

/// A recorded encoder.
struct EncoderFixture: Sendable, CustomStringConvertible {
  let description: String
  let model: PretrainedEncoder
  let texts: [TokenizedText]

  static let all: [EncoderFixture] = {
    let folder = Fixture(name: "encoders").path
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.sorted().map { EncoderFixture($0) }
  }()

  private init(_ name: String) {
    description = name
    let fixture = Fixture(name: "encoders/" + name)
    do {
      model = try PretrainedEncoder(path: fixture.path)
      let tokens = try fixture.tensor("tokens", in: "expected").integers.map { Int32($0) }
      let types = try fixture.tensor("types", in: "expected").integers.map { Int32($0) }
      var start = 0
      texts = try fixture.tensor("lengths", in: "expected").integers.map { length in
        let range = start..<(start + Int(length))
        start = range.upperBound
        return TokenizedText(tokens: Array(tokens[range]), types: Array(types[range]))
      }
    } catch {
      fatalError("the fixture \(name) cannot be read: \(error)")
    }
  }

  func tensor(_ name: String) throws -> TensorData {
    try Fixture(name: "encoders/" + description).tensor(name, in: "expected")
  }
}
