// Folders into GGUF files and back: what llama.cpp's converter makes of the same model, and the same bits after a round trip.

import Core
import Formats
import FoundationEssentials
import Models
import Tensors
import Testing

@Suite struct CheckpointConversionTests {
  /// A random Llama with a tokenizer, and its GGUF file by llama.cpp (Scripts/make-conversion-fixtures.py).
  private static let fixture = Fixture(name: "conversion").path

  @Test func writesWhatLlamaCppWrites() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/ours.gguf"
      try CheckpointConversion.writeGGUF(from: Self.fixture, to: path)
      let (ours, theirs) = try (GGUFFile(path: path), GGUFFile(path: Self.fixture + "/llama-cpp.gguf"))
      #expect(Set(ours.tensors.map(\.name)) == Set(theirs.tensors.map(\.name)))
      for tensor in theirs.tensors {
        #expect(ours.tensor(tensor.name) == tensor)
        // Computed, not copied: theirs in float32.
        if tensor.name == "rope_freqs.weight" {
          let (a, b) = (floats(ours, tensor.name), floats(theirs, tensor.name))
          #expect(a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) })
        } else {
          #expect(ours.withBytes(of: tensor.name, Array.init) == theirs.withBytes(of: tensor.name, Array.init))
        }
      }
      for (key, value) in theirs.metadata where key.hasPrefix("llama.") || key.hasPrefix("tokenizer.ggml.") {
        // Theirs knows no scores, no unknown token, and other names for rows without a token.
        if key.hasSuffix(".scores") || key.hasSuffix(".token_type") || key.hasSuffix(".tokens") { continue }
        #expect(ours.metadata[key] == value, "\(key)")
      }
      #expect(ours.metadata["general.file_type"] == theirs.metadata["general.file_type"])
      #expect(ours.metadata["tokenizer.chat_template"] == theirs.metadata["tokenizer.chat_template"])
      let tokens = try ours.metadata["tokenizer.ggml.tokens"]?.array?.strings() ?? []
      #expect(try tokens.prefix(290) == theirs.metadata["tokenizer.ggml.tokens"]!.array!.strings().prefix(290))
    }
  }

  private func floats(_ file: GGUFFile, _ name: String) -> [Float] {
    file.withBytes(of: name) { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    } ?? []
  }

  @Test func theFixtureComesBackWithItsSettings() throws {
    try withTemporaryFolder { folder in
      try CheckpointConversion.writeFolder(from: Self.fixture + "/llama-cpp.gguf", to: folder + "/back")
      try expectSame(Self.fixture, folder + "/back")
      let (before, after) = try (config(Self.fixture), config(folder + "/back"))
      for key in [
        "model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "max_position_embeddings", "vocab_size", "tie_word_embeddings",
        "attention_bias", "mlp_bias", "bos_token_id", "eos_token_id", "dtype", "hidden_act",
      ] {
        #expect(after[key] == before[key], "\(key)")
      }
      #expect(after["rms_norm_eps"]?.double == before["rms_norm_eps"]?.double)
      let scaling = after["rope_scaling"]
      for key in ["rope_type", "original_max_position_embeddings"] {
        #expect(scaling?[key] == before["rope_parameters"]?[key], "\(key)")
      }
      #expect(scaling?["factor"]?.double == 8)
      #expect(after["rope_theta"]?.double == 500_000)
    }
  }

  @Test func theTokenizerComesBackWithItsMerges() throws {
    try withTemporaryFolder { folder in
      try CheckpointConversion.writeGGUF(from: Self.fixture, to: folder + "/a.gguf")
      try CheckpointConversion.writeFolder(from: folder + "/a.gguf", to: folder + "/back")
      let (before, after) = try (json(Self.fixture + "/tokenizer.json"), json(folder + "/back/tokenizer.json"))
      #expect(after["model"]?["vocab"] == before["model"]?["vocab"])
      #expect(after["added_tokens"] == before["added_tokens"])
      #expect(after["normalizer"] == before["normalizer"])
      // Where two merges make one token, SentencePiece has both.
      let merges = try #require(before["model"]?["merges"]?.array)
      let again = try #require(after["model"]?["merges"]?.array)
      #expect(merges.allSatisfy { again.contains($0) })
      #expect(again.filter { merges.contains($0) } == merges)
    }
  }

  /// `model_type`s with settings beyond the common ones, and with the tensors of a layer beyond the common ones.
  static let families: [(type: String, settings: String, tensors: [String: [Int]])] = [
    ("llama", #""attention_bias": true, "mlp_bias": true"#, attentionBiases.merging(gated) { a, _ in a }),
    ("mistral", #""sliding_window": 8"#, gated), ("qwen2", "", attentionBiases.merging(gated) { a, _ in a }),
    ("qwen3", "", headNorms.merging(gated) { a, _ in a }),
    (
      "mixtral", #""num_local_experts": 2, "num_experts_per_tok": 1"#,
      experts("block_sparse_moe", "w1", "w3", "w2")
    ),
    (
      "qwen3_moe",
      #""num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 12, "norm_topk_prob": true"#,
      headNorms.merging(experts("mlp", "gate_proj", "up_proj", "down_proj")) { a, _ in a }
    ),
  ]
  static let gated: [String: [Int]] = [
    "mlp.gate_proj.weight": [12, 16], "mlp.up_proj.weight": [12, 16], "mlp.down_proj.weight": [16, 12],
  ]
  static let attentionBiases: [String: [Int]] = [
    "self_attn.q_proj.bias": [32], "self_attn.k_proj.bias": [16], "self_attn.v_proj.bias": [16],
  ]
  static let headNorms: [String: [Int]] = ["self_attn.q_norm.weight": [8], "self_attn.k_norm.weight": [8]]

  static func experts(_ place: String, _ gate: String, _ up: String, _ down: String) -> [String: [Int]] {
    var result = ["\(place).gate.weight": [2, 16]]
    for expert in 0..<2 {
      result["\(place).experts.\(expert).\(gate).weight"] = [12, 16]
      result["\(place).experts.\(expert).\(up).weight"] = [12, 16]
      result["\(place).experts.\(expert).\(down).weight"] = [16, 12]
    }
    return result
  }

  @Test(arguments: families.indices, [SafetensorsType.f32, .f16, .bf16])
  func everyFamilyComesBackBitForBit(family: Int, type: SafetensorsType) throws {
    let (modelType, settings, extra) = Self.families[family]
    var shapes: [String: [Int]] = [
      "model.embed_tokens.weight": [304, 16], "model.norm.weight": [16], "lm_head.weight": [304, 16],
    ]
    let layer: [String: [Int]] = [
      "input_layernorm.weight": [16], "post_attention_layernorm.weight": [16], "self_attn.q_proj.weight": [32, 16],
      "self_attn.k_proj.weight": [16, 16], "self_attn.v_proj.weight": [16, 16], "self_attn.o_proj.weight": [16, 32],
    ]
    for index in 0..<2 {
      for (name, shape) in layer.merging(extra, uniquingKeysWith: { a, _ in a }) {
        shapes["model.layers.\(index).\(name)"] = shape
      }
    }
    try withTemporaryFolder { folder in
      let source = folder + "/source"
      try writeModel(modelType, settings, shapes, type, to: source)
      try CheckpointConversion.writeGGUF(from: source, to: folder + "/model.gguf")
      let file = try GGUFFile(path: folder + "/model.gguf")
      #expect(file.tensors.allSatisfy { $0.shape.count > 1 || $0.type == .f32 })
      // Small shards, so that there are several.
      try CheckpointConversion.writeFolder(from: folder + "/model.gguf", to: folder + "/back", shardLimit: 10_000)
      #expect(try WeightFiles(path: folder + "/back").files.count > 1)
      try expectSame(source, folder + "/back")
      #expect(try config(folder + "/back")["model_type"] == .string(modelType))
    }
  }

  @Test func matricesTakeTheTypeThatIsAskedFor() throws {
    try withTemporaryFolder { folder in
      try CheckpointConversion.writeGGUF(from: Self.fixture, to: folder + "/f32.gguf", type: .float32)
      let file = try GGUFFile(path: folder + "/f32.gguf")
      #expect(file.tensors.allSatisfy { $0.type == .f32 })
      #expect(file.metadata["general.file_type"] == .uint32(0))
      // bfloat16 in float32 and back.
      try CheckpointConversion.writeFolder(from: folder + "/f32.gguf", to: folder + "/back", type: .bfloat16)
      try expectSame(Self.fixture, folder + "/back")
    }
  }

  @Test func matricesOfGPT2AreTransposed() throws {
    try withTemporaryFolder { folder in
      let source = folder + "/source"
      let shapes = ["wte.weight": [304, 16], "h.0.attn.c_attn.weight": [16, 48], "h.0.attn.c_attn.bias": [48]]
      try writeModel("gpt2", #""n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8"#, shapes, .f32, to: source)
      try CheckpointConversion.writeGGUF(from: source, to: folder + "/model.gguf")
      let (file, weights) = try (GGUFFile(path: folder + "/model.gguf"), WeightFiles(path: source))
      #expect(file.tensor("blk.0.attn_qkv.weight")?.shape == [48, 16])
      let before = weights.withBytes(of: "h.0.attn.c_attn.weight") {
        $0.loadUnaligned(fromByteOffset: 4 * (3 * 48 + 7), as: Float.self)
      }
      #expect(floats(file, "blk.0.attn_qkv.weight")[7 * 16 + 3] == before)
    }
  }

  /// Changes of the fixture's config.json that cannot be said in GGUF, and what the message mentions.
  @Test(arguments: [
    ("\"llama\"", "\"nothing\"", "nothing"), ("\"silu\"", "\"relu\"", "hidden_act"),
    ("\"llama3\"", "\"dynamic\"", "dynamic"), ("\"num_attention_heads\": 4", "\"num_attention_heads\": 3", "heads"),
  ])
  func whatCannotBeSaidIsRefused(old: String, new: String, mentions: String) throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        try files.copyItem(atPath: "\(Self.fixture)/\(name)", toPath: "\(folder)/\(name)")
      }
      let text = try String(decoding: Data(contentsOf: URL(filePath: folder + "/config.json")), as: UTF8.self)
      try Data(text.replacing(old, with: new).utf8).write(to: URL(filePath: folder + "/config.json"))
      let error = try #require(throws: ModelError.self) {
        try CheckpointConversion.writeGGUF(from: folder, to: folder + "/model.gguf")
      }
      #expect(error.message.contains(mentions), "\(error.message)")
      #expect(!files.fileExists(atPath: folder + "/model.gguf"))
    }
  }

  // MARK: Parts

  private func json(_ path: String) throws -> JSONValue {
    try JSONValue(parsing: String(decoding: Data(contentsOf: URL(filePath: path)), as: UTF8.self))
  }

  private func config(_ folder: String) throws -> JSONValue { try json(folder + "/config.json") }

  private func expectSame(_ before: String, _ after: String) throws {
    let (before, after) = try (WeightFiles(path: before), WeightFiles(path: after))
    #expect(before.names == after.names)
    for name in before.names {
      #expect(before.tensor(name) == after.tensor(name))
      #expect(before.withBytes(of: name, Array.init) == after.withBytes(of: name, Array.init), "\(name)")
    }
  }

  /// A folder with the fixture's tokenizer and numbers that differ from place to place.
  private func writeModel(
    _ type: String, _ settings: String, _ shapes: [String: [Int]], _ element: SafetensorsType, to folder: String
  ) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(atPath: "\(Self.fixture)/\(name)", toPath: "\(folder)/\(name)")
    }
    let core = """
      "model_type": "\(type)", "vocab_size": 304, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
      "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": \(type == "gpt2")
      """
    let text = "{\(core)\(settings.isEmpty ? "" : ", ")\(settings)}"
    try Data(text.utf8).write(to: URL(filePath: folder + "/config.json"))
    let tensors = shapes.map { SafetensorsTensor(name: $0.key, type: element, shape: $0.value) }
    try SafetensorsWriter.write(tensors, to: folder + "/model.safetensors") { tensor, emit in
      let numbers = (0..<tensor.count).map { Float($0 % 97) / 8 + Float(tensor.name.utf8.count) }
      switch element {
      case .f32: try numbers.withUnsafeBytes(emit)
      case .f16: try numbers.map(\.half).withUnsafeBytes(emit)
      default: try numbers.map(\.bfloat16).withUnsafeBytes(emit)
      }
    }
  }
}
