// Models with adapters compute what `peft` computes (Scripts/make-adapter-fixtures.py), whichever files model and adapter are
// in, and what cannot be done with an adapter is refused by name.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct AdapterParityTests {
  private static let backend = CPUBackend(threads: 2)

  /// Names of adapters, each with the family that it is for.
  private static let adapters = [
    ("llama", "llama"), ("llama-plain", "llama"), ("qwen2", "qwen2"), ("gpt2", "gpt2"), ("phi3", "phi3"),
    ("deepseek-v2", "deepseek-v2"),
  ]

  /// The logits of a text, and the likeliest tokens after it, against what was recorded.
  private func check(_ model: PretrainedModel, _ adapter: LowRankAdapter, _ name: String) throws {
    let fixture = Fixture(name: "adapters/" + name)
    let expected = try fixture.tensor("logits", in: "expected")
    let prompt = try fixture.tensor("prompt", in: "expected").doubles.map { Int32($0) }
    let binding = try model.weights()
    let logits = AdaptedModel(model.model, adapter).logits(
      Tensor(prompt, shape: [1, prompt.count]), binding.store.root, .training())
    let program = Program(inputs: binding.store.parameters.map { binding.store.given($0.name) }, outputs: [logits])
    for backend in [Self.backend, ReferenceBackend()] as [any Backend] {
      let found = try backend.compile(program).run(binding.values)[0]
      #expect(relativeError(found.doubles, expected.doubles) < 1e-4)
    }
    let generator = try Generator(model, adapter: adapter, backend: Self.backend)
    var sampler = Sampler(SamplingConfiguration(temperature: 0))
    let greedy = try fixture.tensor("greedy", in: "expected").doubles.map { Int32($0) }
    #expect(try generator.generate(prompt, count: greedy.count, sampler: &sampler) == greedy)
  }

  @Test(arguments: adapters) func logitsAndTokensArePEFTs(name: String, family: String) throws {
    let model = try PretrainedModel(path: Fixture(name: "families/" + family).path)
    let adapter = try LowRankAdapter(path: Fixture(name: "adapters/" + name).path, for: model)
    try check(model, adapter, name)
  }

  @Test(arguments: ["families/llama", "gguf/llama.gguf"], ["adapters/llama-plain", "adapters/llama-plain.gguf"])
  func filesOfBothKindsGoTogether(base: String, adapter: String) throws {
    let model = try PretrainedModel(path: Fixture(name: base).path)
    try check(model, LowRankAdapter(path: Fixture(name: adapter).path, for: model), "llama-plain")
  }

  // MARK: What is refused

  /// The error of an adapter of llama's fixture with other settings and tensors.
  private func refusal(
    _ settings: [String: JSONValue], _ change: (inout [String: TensorData]) -> Void = { _ in }
  ) throws -> String {
    try withTemporaryFolder { folder in
      let path = Fixture(name: "adapters/llama-plain").path
      var config = try #require(
        JSONValue(parsing: String(contentsOfFile: path + "/adapter_config.json", encoding: .utf8)).object)
      for (key, value) in settings { config[key] = value }
      try JSONValue.object(config).json.write(
        toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      let fixture = Fixture(name: "adapters/llama-plain")
      var tensors: [String: TensorData] = [:]
      for name in try fixture.names(in: "adapter_model") {
        tensors[name] = try fixture.tensor(name, in: "adapter_model")
      }
      change(&tensors)
      let list = tensors.sorted { $0.key < $1.key }
      try SafetensorsWriter.write(
        list.map { SafetensorsTensor(name: $0.key, type: .f32, shape: $0.value.shape.dimensions) },
        to: folder + "/adapter_model.safetensors"
      ) { tensor, emit in try emit(UnsafeRawBufferPointer(tensors[tensor.name]!.bytes)) }
      let model = try PretrainedModel(path: Fixture(name: "families/llama").path)
      let error = #expect(throws: ModelError.self) { try LowRankAdapter(path: folder, for: model) }
      return error?.message ?? ""
    }
  }

  @Test(
    arguments: [
      ("use_dora", .bool(true)), ("modules_to_save", ["lm_head"]), ("bias", "all"), ("peft_type", "LOHA"),
      ("lora_bias", .bool(true)), ("target_parameters", ["mlp.experts.down_proj"]), ("init_lora_weights", "pissa"),
      ("layer_replication", [[0, 1]]), ("trainable_token_indices", [1]), ("lora_alpha", "four"),
      ("rank_pattern", ["(": 3]), ("alpha_pattern", ["q_proj": "x"]), ("use_qalora", .bool(true)),
    ] as [(String, JSONValue)])
  func settingsThatAreNotSupportedAreNamed(key: String, value: JSONValue) throws {
    #expect(try refusal([key: value]).contains("'\(key)'"))
  }

  @Test func tensorsThatDoNotFitAreNamed() throws {
    let place = "base_model.model.model.layers.1.self_attn.q_proj"
    func expect(_ words: String..., change: (inout [String: TensorData]) -> Void) throws {
      let message = try refusal([:], change)
      for word in words { #expect(message.contains(word), "\(message)") }
    }
    try expect("layers.1.self_attn.q_proj", "only one of its two") { $0[place + ".lora_A.weight"] = nil }
    try expect("layers.1.self_attn.q_proj", "[2, 32]", "[48, 3]") {
      $0[place + ".lora_B.weight"] = TensorData(TensorType(.float32, [48, 3]))
    }
    try expect("layers.1.self_attn.q_proj", "of rank 4") {
      $0[place + ".lora_A.weight"] = TensorData(TensorType(.float32, [4, 32]))
      $0[place + ".lora_B.weight"] = TensorData(TensorType(.float32, [48, 4]))
    }
    try expect("31 to 48", "32 to 48") { $0[place + ".lora_A.weight"] = TensorData(TensorType(.float32, [2, 31])) }
    try expect("layers.7.self_attn.q_proj", "no linear map") {
      for matrix in [".lora_A.weight", ".lora_B.weight"] {
        $0[place.replacing("layers.1", with: "layers.7") + matrix] = $0[place + matrix]
      }
    }
    try expect("lora_embedding_A", "not supported") {
      $0["base_model.model.model.embed_tokens.lora_embedding_A"] = TensorData(TensorType(.float32, [2, 96]))
    }
    try expect("holds no matrices") { $0 = [:] }
  }

  @Test func whatIsNoAdapterIsSaid() throws {
    let model = try PretrainedModel(path: Fixture(name: "families/qwen2").path)
    for (path, words) in [
      ("families/llama", "There is no adapter"), ("gguf/llama.gguf", "is no adapter but a model"),
      ("adapters/llama-plain.gguf", "architecture 'llama'"), ("adapters/none", "There is no adapter"),
    ] {
      let error = #expect(throws: ModelError.self) {
        try LowRankAdapter(path: Fixture(name: path).path, for: model)
      }
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
  }
}
