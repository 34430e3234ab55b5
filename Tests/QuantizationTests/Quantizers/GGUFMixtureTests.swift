// Types as llama-quantize chooses them, and files that hold what was encoded.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Quantization
import Tensors
import Testing

@Suite struct GGUFMixtureTests {
  @Test(arguments: GGUFMixture.allCases.filter { $0 != .mxfp4 })
  func typesAreThoseOfLlamaQuantize(mixture: GGUFMixture) throws {
    let file = try MappedFile(path: Checkpoint.fixtures + "/mixtures.json")
    let all = try withExtendedLifetime(file) { try JSONValue(parsing: file.bytes) }
    let types = try #require(all[mixture.rawValue.uppercased()])
    let config = JSONObject([
      ("num_hidden_layers", 12), ("num_attention_heads", 12), ("num_key_value_heads", 4),
    ])
    let model = GGUFMixture.Model(config, hasHead: true)
    let matrices = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    let names = (0..<12).flatMap { layer in matrices.map { "blk.\(layer).\($0).weight" } }
    for name in names + ["token_embd.weight", "output.weight"] {
      let found = mixture.type(of: name, rank: 2, columns: name.contains("down") ? 2048 : 768, in: model)
      #expect(found?.name == (types[name] ?? types[""])?.string, "\(name)")
    }
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "position_embd.weight"] {
      #expect(mixture.type(of: name, rank: name.contains("norm") ? 1 : 2, columns: 768, in: model) == nil, "\(name)")
    }
  }

  @Test func rowsThatAreNotWholeBlocksGetSmallerOnes() {
    let model = GGUFMixture.Model(JSONObject([("num_hidden_layers", 1)]), hasHead: false)
    func type(_ mixture: GGUFMixture, _ columns: Int) -> GGUFType? {
      mixture.type(of: "blk.0.ffn_up.weight", rank: 2, columns: columns, in: model)
    }
    #expect(type(.q2_K, 96) == .q4_0)
    #expect(type(.q4_K_M, 96) == .q5_0)
    #expect(type(.q5_K_S, 96) == .q5_1)
    #expect(type(.q6_K, 96) == .q8_0)
    #expect(type(.q6_K, 48) == nil)
    #expect(type(.q4_0, 48) == nil)
    #expect(GGUFMixture.q4_K_M.type(of: "token_embd.weight", rank: 2, columns: 512, in: model) == .q6_K)
  }

  /// A model with experts, whose rows are of 256 and 32: what is read is what was encoded.
  @Test(arguments: GGUFMixture.allCases) func aFileHoldsWhatWasEncoded(mixture: GGUFMixture) throws {
    try withTemporaryFolder { folder in
      try Self.writeModel(folder)
      let pretrained = try PretrainedModel(path: folder)
      let model = GGUFMixture.Model(pretrained.settings, hasHead: true)
      var types: [String: GGUFType] = [:]
      let blocks = WrittenBlocks(fileType: mixture.fileType) { name, source, shape in
        let type = mixture.type(of: name, rank: shape.count, columns: shape.last!, in: model)
        types[source.replacing(".experts.0.", with: ".experts.")] = type
        return type
      } encode: { _, type, bytes, columns in
        let floats = bytes.assumingMemoryBound(to: Float.self)
        return BlockEncoder.blocks(of: floats, rows: floats.count / columns, columns: columns, type.blocks)
      }
      try CheckpointConversion.writeGGUF(from: folder, to: folder + "/model.gguf", blocks: blocks)
      let file = try GGUFFile(path: folder + "/model.gguf")
      #expect(file.metadata["general.file_type"]?.integer == Int(mixture.fileType))
      #expect(types["model.layers.0.mlp.experts.up_proj.weight"] == mixture.type)
      let read = try PretrainedModel(path: folder + "/model.gguf").weights()
      let original = try pretrained.weights()
      let values = Dictionary(uniqueKeysWithValues: zip(original.store.parameters.map(\.name), original.values))
      var count = 0
      for (parameter, value) in zip(read.store.parameters, read.values) {
        guard let type = types[parameter.name] else { continue }
        let (floats, columns) = (values[parameter.name]!.floats, parameter.shape[-1])
        let expected = floats.withUnsafeBufferPointer {
          BlockEncoder.blocks(of: $0, rows: floats.count / columns, columns: columns, type.blocks)
        }
        #expect(value.bytes.elementsEqual(expected.bytes), "\(parameter.name)")
        count += 1
      }
      #expect(count == 9)
    }
  }

  /// A random Qwen3-MoE with a tokenizer of the fixtures.
  private static func writeModel(_ folder: String) throws {
    let config: JSONValue = [
      "model_type": "qwen3_moe", "hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4, "head_dim": 64,
      "num_key_value_heads": 2, "vocab_size": 304, "num_experts": 2, "num_experts_per_tok": 1,
      "moe_intermediate_size": 32, "intermediate_size": 32, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
      "rope_theta": 10000, "tie_word_embeddings": false, "norm_topk_prob": true, "hidden_act": "silu",
      "eos_token_id": 2, "bos_token_id": 1,
    ]
    try AtomicFile.write(config.json, to: folder + "/config.json")
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        atPath: "\(Checkpoint.models)/conversion/\(name)", toPath: "\(folder)/\(name)")
    }
    var random = RandomSequence(seed: 11)
    let parts = try PretrainedModel(path: folder).model.parameters.flatMap { parameter -> [SafetensorsTensor] in
      let shape = parameter.shape.dimensions
      if shape.count < 3 { return [.init(name: parameter.name, type: .f32, shape: shape)] }
      return (0..<shape[0]).map { expert in
        let name = parameter.name.replacing(".experts.", with: ".experts.\(expert).")
        return .init(name: name, type: .f32, shape: Array(shape.dropFirst()))
      }
    }
    try WeightFiles.write(parts, to: folder) { tensor, emit in
      let values = (0..<tensor.shape.reduce(1, *)).map { _ in Float.random(in: -1..<1, using: &random) }
      try values.withUnsafeBytes(emit)
    }
  }
}

extension GGUFType {
  fileprivate var blocks: BlockFormat {
    guard case .blocks(let format)? = form else { preconditionFailure("\(self) is no format of blocks") }
    return format
  }
}
