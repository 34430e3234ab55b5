// Each family computes what `transformers` computes (Scripts/make-family-fixtures.py): the same logits, and the same tokens
// one after another, however the text is read.

import CPUBackend
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct FamilyParityTests {
  private static let backend = CPUBackend(threads: 2)

  @Test func thereAreFixtures() { #expect(FamilyFixture.all.count >= 10) }

  @Test(arguments: FamilyFixture.all) func logitsAreTransformers(fixture: FamilyFixture) throws {
    for backend in [Self.backend, ReferenceBackend()] as [any Backend] {
      let ours = try fixture.logits(of: fixture.prompt, backend)
      let expected = try fixture.tensor("logits")
      #expect(ours.shape == expected.shape)
      #expect(relativeError(ours.doubles, expected.doubles) < 1e-4)
      let width = expected.shape[1]
      for row in 0..<expected.shape[0] {
        let elements = (row * width)..<((row + 1) * width)
        let (found, wanted) = (ours.doubles[elements], expected.doubles[elements])
        let worst = zip(found, wanted).map { abs($0 - $1) }.max()!
        #expect(worst < 1e-4 * wanted.map(abs).max()!, "position \(row)")
      }
    }
  }

  @Test(arguments: FamilyFixture.all) func cachesGiveTransformersTokens(fixture: FamilyFixture) throws {
    let expected = fixture.greedy
    let prompt = fixture.prompt
    for piece in [prompt.count, 1, 7, 16] {
      let generator = try Generator(fixture.model, precision: .stored, backend: Self.backend)
      for end in stride(from: piece, to: prompt.count, by: piece) {
        _ = try generator.logits(after: Array(prompt[..<end]))
      }
      var sampler = Sampler(SamplingConfiguration(temperature: 0))
      let found = try generator.generate(prompt, count: expected.count, sampler: &sampler)
      #expect(found == expected, "the prompt in pieces of \(piece)")
    }
  }

  @Test(arguments: FamilyFixture.all) func wholeTextsGiveTransformersTokens(fixture: FamilyFixture) throws {
    let text = fixture.prompt + fixture.greedy
    var checked = fixture.prompt.count
    // Where short texts are read in another way, one pass over a short text and one over the long one.
    for length in [fixture.model.model.shortTexts ?? 0, text.count - 1] where length > checked {
      let logits = try fixture.logits(of: Array(text[..<length]), Self.backend)
      let values = logits.floats
      let width = logits.shape[1]
      for position in checked...length {
        let row = values[((position - 1) * width)..<(position * width)]
        #expect(row.firstIndex(of: row.max()!)! - row.startIndex == Int(text[position]), "position \(position)")
      }
      checked = length + 1
    }
    #expect(checked == text.count)
  }

  @Test(arguments: FamilyFixture.all) func everyParameterLearns(fixture: FamilyFixture) throws {
    let binding = try fixture.model.weights(.float32)
    let store = binding.store
    let text = fixture.prompt
    let count = text.count - 1
    let tokens = Tensor(Array(text[..<count]), shape: [1, count])
    let targets = Tensor(Array(text[1...]), shape: [1, count])
    let loss = fixture.model.model.loss(tokens, targets: targets, store.root, .training()).mean()
    let parameters = store.parameters.map { store.given($0.name) }
    let program = Program(inputs: parameters, outputs: [loss] + gradients(of: loss, with: parameters))
    let results = try Self.backend.compile(program).run(binding.values)
    #expect(results[0].item.isFinite)
    // The correction of a router's choice is not trained by gradients.
    for (parameter, gradient) in zip(store.parameters, results.dropFirst())
    where !parameter.name.hasSuffix(".e_score_correction_bias") {
      let values = gradient.doubles
      #expect(values.allSatisfy { $0.isFinite }, "\(parameter.name)")
      #expect(values.contains { $0 != 0 }, "\(parameter.name)")
    }
  }
}

/// A recorded model of a family.
struct FamilyFixture: Sendable, CustomStringConvertible {
  let description: String
  let model: PretrainedModel
  let prompt: [Int32]
  let greedy: [Int32]

  static let all: [FamilyFixture] = {
    let folder = Fixture(name: "families").path
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    // What is quantised is computed with less exactly: ExpertLoadingTests.
    return names.sorted().filter { !$0.hasSuffix("mxfp4") }.map { FamilyFixture($0) }
  }()

  init(_ name: String) {
    description = name
    let fixture = Fixture(name: "families/" + name)
    do {
      model = try PretrainedModel(path: fixture.path)
      prompt = try fixture.tensor("prompt", in: "expected").doubles.map { Int32($0) }
      greedy = try fixture.tensor("greedy", in: "expected").doubles.map { Int32($0) }
    } catch {
      fatalError("the fixture \(name) cannot be read: \(error)")
    }
  }

  func tensor(_ name: String) throws -> TensorData {
    try Fixture(name: "families/" + description).tensor(name, in: "expected")
  }

  /// The logits of a text, read in one pass without caches: [positions, vocabulary].
  ///
  /// - Parameter other: a model to compute them with instead.
  func logits(
    of text: [Int32], _ backend: any Backend, with other: PretrainedModel? = nil, exactBlocks: Bool = false
  ) throws -> TensorData {
    let model = other ?? model
    let binding = try model.weights()
    let store = binding.store
    let logits = model.model.logits(Tensor(text, shape: [1, text.count]), store.root, .training())
    let program = Program(
      inputs: store.parameters.map { store.given($0.name) }, outputs: [logits],
      options: Program.Options(exactBlocks: exactBlocks))
    return try backend.compile(program).run(binding.values)[0].copy()
  }
}
