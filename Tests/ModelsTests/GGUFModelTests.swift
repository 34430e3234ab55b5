// GGUF files of llama.cpp's own converter (Scripts/make-gguf-model-fixtures.py) give what the checkpoints give from which
// they were made.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct GGUFModelTests {
  private static let backend = CPUBackend(threads: 2)

  private static let files: [String] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: Fixture(name: "gguf").path)
    return (names ?? []).filter { $0.hasSuffix(".gguf") }.map { String($0.dropLast(5)) }.sorted()
  }()

  @Test func thereAreFiles() { #expect(Self.files.count >= 2) }

  @Test(arguments: files) func filesOfLlamaCppGiveTheSameLogits(name: String) throws {
    let fixture = try #require(FamilyFixture.all.first { $0.description == name })
    let expected = try fixture.tensor("logits")
    let model = try PretrainedModel(path: Fixture(name: "gguf/\(name).gguf").path)
    let binding = try model.weights()
    let tokens = Tensor(fixture.prompt, shape: [1, fixture.prompt.count])
    let logits = model.model.logits(tokens, binding.store.root, .training())
    let program = Program(inputs: binding.store.parameters.map { binding.store.given($0.name) }, outputs: [logits])
    let found = try Self.backend.compile(program).run(binding.values)[0]
    #expect(relativeError(found.doubles, expected.doubles) < 1e-4)

    let generator = try Generator(model, backend: Self.backend)
    var sampler = Sampler(SamplingConfiguration(temperature: 0))
    let tokensAfter = try generator.generate(fixture.prompt, count: 64, sampler: &sampler)
    #expect(tokensAfter == fixture.greedy)
    #expect(model.endTokens == [2])
  }

  @Test func chatTemplatesAreRead() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.gguf"
      let metadata: [(key: String, value: GGUFValue)] = [
        ("tokenizer.chat_template", .string("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")),
        ("tokenizer.ggml.tokens", .array(GGUFArray(strings: ["<a>", "<s>", "</s>"]))),
        ("tokenizer.ggml.bos_token_id", .uint32(1)), ("tokenizer.ggml.eos_token_id", .uint32(2)),
      ]
      try GGUFWriter.write([], metadata: metadata, to: path) { _, _ in }
      let template = try ChatTemplate(GGUFFile(path: path))
      let messages: [JSONValue] = [.object(JSONObject([("role", "user"), ("content", "Hi")]))]
      #expect(try template.render(messages: messages) == "<s>Hi</s>")
    }
  }

  @Test func unknownArchitecturesAreNamed() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.gguf"
      try GGUFWriter.write([], metadata: [("general.architecture", .string("mamba"))], to: path) { _, _ in }
      let error = #expect(throws: ModelError.self) { try PretrainedModel(path: path) }
      #expect(error?.code == .unknownType)
      #expect(error?.message.contains("'mamba'") == true && error?.message.contains("gemma3") == true)
    }
  }
}
