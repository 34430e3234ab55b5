// Directories in the layouts of Hugging Face: what was read is written back, what does not fit is said.

import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

@Suite struct GPTFolderTests {
  @Test(arguments: Fixture.all) func writingBackWhatWasReadGivesTheSameBits(fixture: Fixture) throws {
    let weights = try fixture.weights
    try withTemporaryFolder { folder in
      try GPTFolder.write(fixture.configuration, weights: weights, to: folder)
      let again = try GPTFolder.read(folder)
      #expect(again.configuration == fixture.configuration)
      let (ours, theirs) = try (WeightFiles(path: folder), WeightFiles(path: fixture.path + "/model.safetensors"))
      defer { withExtendedLifetime((ours, theirs)) {} }
      #expect(ours.names == theirs.names)
      for name in theirs.names {
        #expect(ours.tensor(name) == theirs.tensor(name))
        #expect(ours.bytes(of: name)!.elementsEqual(theirs.bytes(of: name)!), "\(name)")
      }
      for (name, values) in again.weights { #expect(values.floats == weights[name]?.floats, "\(name)") }
    }
  }

  /// What we write says all that transformers' own file says, but for its version and what is only for its classes.
  @Test(arguments: Fixture.all) func settingsAreWhatTransformersWrote(fixture: Fixture) throws {
    let theirs = try PretrainedModel(path: fixture.path).settings
    try withTemporaryFolder { folder in
      try GPTFolder.write(fixture.configuration, weights: fixture.weights, to: folder)
      let ours = try PretrainedModel(path: folder).settings
      #expect(ours["architectures"] == theirs["architectures"])
      // Without a tokenizer there is no end of text; GPT-2's inner width is null where it is 4 times the width.
      for key in ours.keys where theirs[key] != nil && ours[key] != .null && key != "n_inner" {
        #expect(Self.same(ours[key]!, theirs[key]!), "\(key)")
      }
    }
  }

  @Test func aModelOfOthersIsNotResumed() throws {
    let error = #expect(throws: ModelError.self) { try GPTFolder.read(Fixture.all[0].path) }
    #expect(error?.message.contains("has no 'tachornis'") == true)
  }

  @Test func bfloat16IsRoundedOnce() throws {
    let configuration = GPTTests.configurations[1]
    let weights = try Self.weights(configuration)
    try withTemporaryFolder { folder in
      try GPTFolder.write(configuration, weights: weights, to: folder, precision: .bfloat16)
      for (name, values) in try GPTFolder.read(folder).weights {
        #expect(values.floats == weights[name]!.floats.map { Float(bfloat16: $0.bfloat16) }, "\(name)")
      }
    }
  }

  @Test func theTokenizerStandsBesideTheModel() throws {
    let tokenizer = CharacterTokenizer(characters: "the quick brown fox".unicodeScalars)
    var configuration = GPTTests.configurations[1]
    configuration.vocabulary = tokenizer.vocabularySize
    try withTemporaryFolder { folder in
      let weights = try Self.weights(configuration)
      try GPTFolder.write(configuration, weights: weights, to: folder, tokenizer: tokenizer)
      let directory = try PretrainedModel(path: folder)
      #expect(directory.settings["eos_token_id"]?.integer == tokenizer.endOfText.map(Int.init))
      #expect(try directory.tokenizer().encode("fox") == tokenizer.encode("fox"))
    }
    let error = #expect(throws: ModelError.self) { try PretrainedModel(path: Fixture.all[0].path).tokenizer() }
    #expect(error?.code == .cannotRead)
  }

  @Test func eachConfigurationIsWrittenAsTheTypeThatMeansIt() throws {
    var llama = GPTTests.configurations[1]
    llama.qkNorm = false
    #expect(llama.exportType == "llama")
    llama.biases = true
    #expect(llama.exportType == "llama")
    #expect(GPTTests.configurations[1].exportType == "qwen3")
    #expect(GPTTests.configurations[0].exportType == "gpt2")
    try withTemporaryFolder { folder in
      for configuration in [llama] + GPTTests.configurations[0...2] {
        let weights = try Self.weights(configuration)
        try GPTFolder.write(configuration, weights: weights, to: folder)
        let again = try GPTFolder.read(folder)
        #expect(again.configuration == configuration)
        for (name, values) in again.weights { #expect(values.floats == weights[name]!.floats, "\(name)") }
      }
    }
    for preset in GPTPreset.all {
      #expect(preset.configuration.exportType == (preset.name.hasPrefix("gpt2") ? "gpt2" : "qwen3"))
    }
    #expect(GPTTests.configurations[2].exportType == "tachornis")
    let notice = ExportLayout.of(GPTTests.configurations[2]).notice ?? ""
    for part in ["'llama'", "set activation to swiGLU", "attentionSoftcap is 3.0", "logitSoftcap is 2.0"] {
      #expect(notice.contains(part), "\(part) in \(notice)")
    }
  }

  @Test func everyMisfitIsReportedAtOnce() throws {
    let fixture = Fixture.all[0]
    try withTemporaryFolder { folder in
      try Self.copyConfiguration(of: fixture, to: folder)
      let original = try WeightFiles(path: fixture.path + "/model.safetensors")
      defer { withExtendedLifetime(original) {} }
      var tensors: [(tensor: SafetensorsTensor, bytes: UnsafeRawBufferPointer)] = []
      for name in original.names where name != "transformer.h.1.mlp.c_fc.bias" {
        var tensor = original.tensor(name)!
        if name == "transformer.wte.weight" {
          tensor = SafetensorsTensor(name: name, type: .f32, shape: tensor.shape.reversed())
        }
        tensors.append((tensor, original.bytes(of: name)!))
      }
      let extra = SafetensorsTensor(name: "extra", type: .f32, shape: [0])
      tensors.append((tensor: extra, bytes: UnsafeRawBufferPointer(start: nil, count: 0)))
      try SafetensorsWriter.write(tensors, to: folder + "/model.safetensors")
      let error = #expect(throws: ModelError.self) { try GPTFolder.weights(in: folder, of: fixture.configuration) }
      #expect(error?.code == .badWeights)
      for part in [
        "'transformer.h.1.mlp.c_fc.bias' is missing",
        "'transformer.wte.weight' has the shape [48, 97], not [97, 48]", "'extra' is not part",
      ] { #expect(error?.message.contains(part) == true, "\(part) in \(error?.message ?? "")") }
    }
  }

  @Test func namesWithoutPrefixAndBuffersAreUnderstood() throws {
    let fixture = Fixture.all[0]
    try withTemporaryFolder { folder in
      try Self.copyConfiguration(of: fixture, to: folder)
      let original = try WeightFiles(path: fixture.path + "/model.safetensors")
      defer { withExtendedLifetime(original) {} }
      var tensors: [(tensor: SafetensorsTensor, bytes: UnsafeRawBufferPointer)] = []
      for name in original.names {
        let tensor = original.tensor(name)!
        let bare = String(name.dropFirst("transformer.".count))
        let renamed = SafetensorsTensor(name: bare, type: tensor.type, shape: tensor.shape)
        tensors.append((tensor: renamed, bytes: original.bytes(of: name)!))
      }
      let mask = [UInt8](repeating: 1, count: 4)
      try mask.withUnsafeBytes { bytes in
        tensors.append((SafetensorsTensor(name: "h.0.attn.bias", type: .u8, shape: [1, 1, 2, 2]), bytes))
        try SafetensorsWriter.write(tensors, to: folder + "/model.safetensors")
      }
      let expected = try fixture.weights
      let weights = try GPTFolder.weights(in: folder, of: fixture.configuration)
      #expect(weights.count == expected.count && weights.allSatisfy { $0.value.floats == expected[$0.key]?.floats })
    }
  }

  @Test(arguments: [
    ("{", "Cannot read"), ("[]", "not a JSON object"), ("{}", "Known are: gpt2, llama, mistral"),
    (#"{"model_type": "mamba"}"#, "'mamba' is not known. Known are: gpt2, llama, mistral"),
    (#"{"model_type": "gpt2"}"#, "'n_embd' is missing"),
    (#"{"model_type": "gpt2"}"#, "'vocab_size' is missing"),
    (#"{"model_type": "gpt2", "n_layer": -1}"#, "'n_layer' must be a positive integer, not -1"),
    (#"{"model_type": "gpt2", "activation_function": "relu"}"#, #""gelu_pytorch_tanh", "gelu" is supported"#),
    (#"{"model_type": "gpt2", "scale_attn_weights": false}"#, "only true is supported"),
    (#"{"model_type": "tachornis"}"#, "has no 'tachornis'"),
    (#"{"model_type": "tachornis", "tachornis": {"heads": 6, "kvHeads": 4}}"#, "must divide heads, 6"),
  ])
  func whatIsNotSupportedIsSaid(settings: String, message: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(settings, to: folder + "/config.json")
      let error = #expect(throws: ModelError.self) { try PretrainedModel(path: folder) }
      #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
  }

  @Test func aMissingDirectoryIsSaid() throws {
    let error = #expect(throws: ModelError.self) { try PretrainedModel(path: "/nonexistent/model") }
    #expect(error?.message.contains("/nonexistent/model/config.json") == true)
  }

  /// Equal, numbers by their values.
  private static func same(_ a: JSONValue, _ b: JSONValue) -> Bool {
    switch (a, b) {
    case (.number, .number): a.double == b.double
    case (.object(let a), .object(let b)):
      a.keys.sorted() == b.keys.sorted() && a.keys.allSatisfy { same(a[$0]!, b[$0]!) }
    default: a == b
    }
  }

  private static func weights(_ configuration: GPTConfiguration) throws -> [String: TensorData] {
    let store = WeightStore()
    _ = GPT(configuration).logits(.input("tokens", TensorType(.int32, [1, 1])), store.root, .training())
    return try store.initialValues(seed: 5)
  }

  private static func copyConfiguration(of fixture: Fixture, to folder: String) throws {
    try FileManager.default.copyItem(atPath: fixture.path + "/config.json", toPath: folder + "/config.json")
  }
}
