// Every family goes into a GGUF file, runs from it as from its folder, and comes back as it was.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

@Suite struct GGUFFamilyTests {
  private static let backend = CPUBackend(threads: 2)

  /// A fixture, changed where GGUF has no words for it.
  struct Case: CustomTestStringConvertible {
    var name: String
    /// Settings of config.json, or of its `text_config`.
    var settings: [String: JSONValue] = [:]
    /// Whether biases are left out.
    var withoutBiases = false
    /// The one layer that is kept.
    var layer: Int?

    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "llama"), Case(name: "llama-yarn"), Case(name: "mistral"), Case(name: "mixtral"),
    Case(name: "qwen2", settings: ["use_sliding_window": false]),
    Case(name: "qwen3", settings: ["use_sliding_window": false, "attention_bias": false], withoutBiases: true),
    Case(
      name: "qwen3-moe",
      settings: [
        "use_sliding_window": false, "attention_bias": false, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "layer_types": .null, "num_hidden_layers": 1,
      ], withoutBiases: true, layer: 1),
    Case(name: "gemma2", settings: ["query_pre_attn_scalar": 12]),
    Case(name: "gemma3", settings: ["query_pre_attn_scalar": 12]), Case(name: "gemma3-text"), Case(name: "phi3"),
    Case(name: "deepseek-v2"),
    Case(
      name: "deepseek-v3",
      settings: [
        "rope_parameters": [
          "rope_type": "yarn", "rope_theta": 5000, "factor": 4, "beta_fast": 16, "mscale": 0.7, "mscale_all_dim": 0.7,
          "original_max_position_embeddings": 32,
        ]
      ]),
    Case(name: "gpt-oss", settings: ["swiglu_limit": 7]), Case(name: "gpt-oss-mxfp4", settings: ["swiglu_limit": 7]),
    Case(name: "gpt2"),
  ]

  @Test(arguments: cases) func familiesGoThereAndBack(of family: Case) throws {
    try withTemporaryFolder { folder in
      let source = folder + "/source"
      try write(family, to: source)
      let prompt = try Fixture(name: "families/" + family.name).tensor("prompt", in: "expected").doubles
      let wanted = try logits(source, prompt)
      // A wrong reading of the settings that were changed would not show.
      #expect(wanted.allSatisfy(\.isFinite) && Set(wanted).count > 80)

      try CheckpointConversion.writeGGUF(from: source, to: folder + "/model.gguf")
      #expect(relativeError(try logits(folder + "/model.gguf", prompt), wanted) < 1e-4)
      try CheckpointConversion.writeFolder(from: folder + "/model.gguf", to: folder + "/back")
      #expect(relativeError(try logits(folder + "/back", prompt), wanted) < 1e-4)
      // Of models that also see, the text part comes back, and what GGUF holds as 1 + w may be rounded.
      if family.name == "gemma3" { return }
      let (before, after) = try (WeightFiles(path: source), WeightFiles(path: folder + "/back"))
      #expect(before.names == after.names)
      for name in before.names {
        #expect(before.tensor(name) == after.tensor(name))
        if family.name.hasPrefix("gemma"), name.hasSuffix("norm.weight") {
          #expect(relativeError(floats(after, name), floats(before, name)) < 1e-6)
        } else {
          #expect(before.bytes(of: name)!.elementsEqual(after.bytes(of: name)!), "\(name)")
        }
      }
    }
  }

  @Test(arguments: [
    ("llama", "llama"), ("llama-plain", "llama"), ("llama-plain.gguf", "llama"), ("gpt2", "gpt2"), ("phi3", "phi3"),
    ("deepseek-v2", "deepseek-v2"),
  ]) func adaptersAreAddedToWeights(adapter: String, family: String) throws {
    try withTemporaryFolder { folder in
      let source = folder + "/source"
      try write(Case(name: family), to: source)
      let fixture = Fixture(name: "adapters/" + adapter.replacing(".gguf", with: ""))
      let prompt = try fixture.tensor("prompt", in: "expected").doubles
      let wanted = try fixture.tensor("logits", in: "expected").doubles
      try CheckpointConversion.writeGGUF(
        from: source, to: folder + "/model.gguf", adapter: Fixture(name: "adapters/" + adapter).path)
      #expect(relativeError(try logits(folder + "/model.gguf", prompt), wanted) < 1e-4)
      #expect(throws: ModelError.self) {
        try CheckpointConversion.writeGGUF(from: source, to: folder + "/none.gguf", adapter: source)
      }
    }
  }

  @Test func quantisedMapsOfLatentsAreJoined() throws {
    try withTemporaryFolder { folder in
      // Sizes of whole blocks, and a matrix that Q8_0 holds exactly: multiples of 1 with the largest 127.
      let (heads, plain, value, latent) = (2, 32, 32, 32)
      let name = "model.layers.0.self_attn.kv_b_proj.weight"
      func element(_ row: Int, _ column: Int) -> Float {
        let isLargest = row % 32 == 0 || column == 0
        return isLargest ? 127 : Float((row * 7 + column * 3) % 200 - 100)
      }
      var (numbers, keys, values): ([Float], [Float], [Float]) = ([], [], [])
      for head in 0..<heads {
        let first = head * (plain + value)
        for row in first..<(first + plain + value) { numbers += (0..<latent).map { element(row, $0) } }
        for column in 0..<latent { keys += (0..<plain).map { element(first + $0, column) } }
        for row in (first + plain)..<(first + plain + value) { values += (0..<latent).map { element(row, $0) } }
      }
      let tensors: [(String, [Int], [Float])] = [
        ("blk.0.attn_k_b.weight", [heads, latent, plain], keys),
        ("blk.0.attn_v_b.weight", [heads, value, latent], values),
        ("token_embd.weight", [1, 64], [Float](repeating: 1, count: 64)),
      ]
      let metadata: [(key: String, value: GGUFValue)] = [
        ("general.architecture", .string("deepseek2")), ("deepseek2.attention.head_count", .uint32(2)),
        ("deepseek2.block_count", .uint32(1)), ("deepseek2.embedding_length", .uint32(64)),
        ("deepseek2.context_length", .uint32(64)), ("deepseek2.feed_forward_length", .uint32(64)),
        ("deepseek2.expert_count", .uint32(2)), ("deepseek2.expert_used_count", .uint32(1)),
        ("deepseek2.expert_feed_forward_length", .uint32(64)), ("deepseek2.expert_shared_count", .uint32(1)),
        ("deepseek2.leading_dense_block_count", .uint32(1)), ("deepseek2.attention.kv_lora_rank", .uint32(32)),
        ("deepseek2.rope.dimension_count", .uint32(8)), ("deepseek2.attention.key_length_mla", .uint32(40)),
        ("deepseek2.attention.value_length_mla", .uint32(32)), ("deepseek2.vocab_size", .uint32(1)),
        ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("gpt-2")),
        ("tokenizer.ggml.tokens", .array(GGUFArray(strings: ["a"]))),
        ("tokenizer.ggml.merges", .array(GGUFArray(strings: []))),
      ]
      func write(_ tensors: [(String, [Int], [Float])], to path: String) throws {
        try GGUFWriter.write(
          tensors.map { GGUFTensor(name: $0.0, type: $0.0.hasSuffix("_b.weight") ? .q8_0 : .f32, shape: $0.1) },
          metadata: metadata, to: path
        ) { tensor, emit in
          let numbers = tensors.first { $0.0 == tensor.name }!.2
          if tensor.type == .f32 { return try numbers.withUnsafeBytes(emit) }
          // Blocks of 32 with the scale 1.
          for start in stride(from: 0, to: numbers.count, by: 32) {
            try [Float(1).half].withUnsafeBytes(emit)
            try numbers[start..<(start + 32)].map { Int8($0) }.withUnsafeBytes(emit)
          }
        }
      }
      try write(tensors, to: folder + "/model.gguf")
      let error = #expect(throws: ModelError.self) {
        try CheckpointConversion.writeFolder(from: folder + "/model.gguf", to: folder + "/none", type: nil)
      }
      #expect(error?.message.contains("--type") == true, "\(error?.message ?? "")")
      try CheckpointConversion.writeFolder(from: folder + "/model.gguf", to: folder + "/back", type: .float32)
      let back = try WeightFiles(path: folder + "/back")
      #expect(back.tensor(name)?.shape == [128, 32])
      #expect(floats(back, name) == numbers.map(Double.init))

      // Used from the file they are joined, too, and that is said.
      let others = [
        ("blk.0.attn_norm", [64]), ("blk.0.attn_q", [80, 64]), ("blk.0.attn_kv_a_mqa", [40, 64]),
        ("blk.0.attn_kv_a_norm", [32]), ("blk.0.attn_output", [64, 64]), ("blk.0.ffn_norm", [64]),
        ("blk.0.ffn_gate", [64, 64]), ("blk.0.ffn_up", [64, 64]), ("blk.0.ffn_down", [64, 64]), ("output_norm", [64]),
        ("output", [1, 64]),
      ].map { ($0 + ".weight", $1, [Float](repeating: 0, count: $1.reduce(1, *))) }
      try write(tensors + others, to: folder + "/whole.gguf")
      let notices = try PretrainedModel(path: folder + "/whole.gguf").weights().notices
      #expect(notices.contains { $0.contains("attn_k_b") && $0.contains("bfloat16") }, "\(notices)")
    }
  }

  @Test func whatLatentModelsCannotSayIsRefused() throws {
    try withTemporaryFolder { folder in
      try write(Case(name: "deepseek-v3"), to: folder)
      let error = #expect(throws: ModelError.self) {
        try CheckpointConversion.writeGGUF(from: folder, to: folder + "/model.gguf")
      }
      #expect(error?.message.contains("mscale_all_dim") == true)
    }
  }

  // MARK: Encoders

  @Test(arguments: ["bert", "modernbert"]) func encodersGoThereAndBack(family: String) throws {
    try withTemporaryFolder { folder in
      let source = folder + "/source"
      try writeEncoder(family, to: source)
      let texts = ["A cat sleeps on the mat.", "the market fell", "cat", ""]
      let wanted = try TextEncoder(path: source, backend: Self.backend).embed(texts)
      try CheckpointConversion.writeGGUF(from: source, to: folder + "/model.gguf")
      let found = try TextEncoder(path: folder + "/model.gguf", backend: Self.backend).embed(texts)
      try CheckpointConversion.writeFolder(from: folder + "/model.gguf", to: folder + "/back")
      let back = try TextEncoder(path: folder + "/back", backend: Self.backend).embed(texts)
      for index in texts.indices {
        let wanted = wanted[index].map(Double.init)
        #expect(relativeError(found[index].map(Double.init), wanted) < 1e-5, "\(texts[index])")
        #expect(relativeError(back[index].map(Double.init), wanted) < 1e-5, "\(texts[index])")
      }
      let (before, after) = try (WeightFiles(path: source), WeightFiles(path: folder + "/back"))
      for name in after.names { #expect(before.bytes(of: name)!.elementsEqual(after.bytes(of: name)!), "\(name)") }
      #expect(before.names.filter { !$0.hasPrefix("pooler.") } == after.names)
    }
  }

  @Test func vectorsThatGGUFCannotSayAreRefused() throws {
    try withTemporaryFolder { folder in
      let error = #expect(throws: ModelError.self) {
        try CheckpointConversion.writeGGUF(from: Fixture(name: "embedder").path, to: folder + "/model.gguf")
      }
      #expect(error?.message.contains("Dense") == true)
    }
  }

  // MARK: Parts

  private func logits(_ path: String, _ prompt: [Double]) throws -> [Double] {
    let model = try PretrainedModel(path: path)
    let store = try model.weights()
    let tokens = Tensor(prompt.map { Int32($0) }, shape: [1, prompt.count])
    let logits = model.model.logits(tokens, store.store.root, .training())
    let inputs = store.store.parameters.map { store.store.given($0.name) }
    let program = Program(inputs: inputs, outputs: [logits], options: Program.Options(exactBlocks: true))
    return try Self.backend.compile(program).run(store.values)[0].doubles
  }

  private func floats(_ files: WeightFiles, _ name: String) -> [Double] {
    files.withBytes(of: name) { bytes in
      (0..<bytes.count / 4).map { Double(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) }
    } ?? []
  }

  private func config(_ folder: String, changing settings: [String: JSONValue]) throws -> JSONObject {
    let data = try Data(contentsOf: URL(filePath: folder + "/config.json"))
    var config = try JSONValue(parsing: String(decoding: data, as: UTF8.self)).object!
    if var inner = config["text_config"]?.object {
      for (key, value) in settings { inner[key] = value }
      config["text_config"] = .object(inner)
    } else {
      for (key, value) in settings { config[key] = value }
    }
    return config
  }

  /// A folder with the tensors of another one that `name` names anew.
  private func copy(
    _ source: String, _ config: JSONObject, to folder: String, name: (String) -> String?
  ) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(JSONValue.object(config).json.utf8).write(to: URL(filePath: folder + "/config.json"))
    let files = try WeightFiles(path: source)
    let tensors = files.names.compactMap { old -> (SafetensorsTensor, UnsafeRawBufferPointer)? in
      guard let new = name(old), let tensor = files.tensor(old) else { return nil }
      return (SafetensorsTensor(name: new, type: tensor.type, shape: tensor.shape), files.bytes(of: old)!)
    }
    try withExtendedLifetime(files) { try SafetensorsWriter.write(tensors, to: folder + "/model.safetensors") }
  }

  private func write(_ family: Case, to folder: String) throws {
    let source = Fixture(name: "families/" + family.name).path
    try copy(source, config(source, changing: family.settings), to: folder) { name in
      if family.withoutBiases, name.hasSuffix(".bias") { return nil }
      guard let layer = family.layer, name.hasPrefix("model.layers.") else { return name }
      return name.hasPrefix("model.layers.\(layer).") ? name.replacing("layers.\(layer).", with: "layers.0.") : nil
    }
    let tokenizer = #"""
      {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []},
       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
       "decoder": {"type": "ByteLevel"}}
      """#
    try Data(tokenizer.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
  }

  /// One that makes vectors in a way that GGUF has words for.
  private func writeEncoder(_ family: String, to folder: String) throws {
    let embedder = Fixture(name: "embedder").path
    let source = family == "bert" ? embedder : Fixture(name: "encoders/modernbert").path
    let plain: [String: JSONValue] =
      family == "bert" ? [:] : ["norm_bias": false, "attention_bias": false, "mlp_bias": false]
    let tokens = try TokenizerFile.read(path: embedder).vocabularySize
    try copy(source, config(source, changing: plain), to: folder) {
      family == "modernbert" && $0.hasSuffix(".bias") ? nil : $0
    }
    // The fixture's encoder knows fewer tokens than its tokenizer.
    if family == "modernbert" {
      let files = try WeightFiles(path: folder)
      #expect(files.tensor("embeddings.tok_embeddings.weight")!.shape[0] < tokens)
      let text = #"""
        {"added_tokens": [{"id": 0, "content": "[CLS]", "special": true}, {"id": 1, "content": "[SEP]", "special": true}],
         "model": {"type": "BPE", "vocab": {"[CLS]": 0, "[SEP]": 1, "a": 2, "t": 3, "c": 4, "e": 5, "m": 6, "at": 7,
                   "Ġ": 8, "s": 9, "l": 10, "p": 11, "h": 12, "A": 13, ".": 14, "o": 15, "n": 16, "r": 17, "k": 18,
                   "f": 19}, "merges": [["a", "t"]]},
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
         "post_processor": {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                      {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
           "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]},
                              "[SEP]": {"id": "[SEP]", "ids": [1], "tokens": ["[SEP]"]}}},
         "decoder": {"type": "ByteLevel"}}
        """#
      try Data(text.utf8).write(to: URL(filePath: folder + "/tokenizer.json"))
      let options = #"{"cls_token": "[CLS]", "sep_token": "[SEP]"}"#
      try Data(options.utf8).write(to: URL(filePath: folder + "/tokenizer_config.json"))
    } else {
      for name in ["tokenizer.json", "tokenizer_config.json"] {
        try FileManager.default.copyItem(atPath: "\(embedder)/\(name)", toPath: "\(folder)/\(name)")
      }
    }
    let modules =
      #"[{"path": "", "type": "x.Transformer"}, {"path": "1", "type": "x.Pooling"}, {"path": "2", "type": "x.Normalize"}]"#
    try Data(modules.utf8).write(to: URL(filePath: folder + "/modules.json"))
    try FileManager.default.createDirectory(atPath: folder + "/1", withIntermediateDirectories: true)
    let pooling = family == "bert" ? #"{"pooling_mode": "mean"}"# : #"{"pooling_mode_cls_token": true}"#
    try Data(pooling.utf8).write(to: URL(filePath: folder + "/1/config.json"))
  }
}
