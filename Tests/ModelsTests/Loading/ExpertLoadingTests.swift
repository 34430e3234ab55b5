// Experts are read from all layouts that files have: one tensor an expert, one for all, and MXFP4.

import CPUBackend
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

struct ExpertLoadingTests {
  /// The fixtures have one tensor an expert; here they become what `transformers` holds in memory.
  @Test(arguments: ["mixtral", "qwen3-moe", "deepseek-v3"]) func oneTensorForAllExpertsIsRead(name: String) throws {
    let maps = name == "mixtral" ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"]
    try expectSameLogits(name) { tensors in
      let marker = ".experts.0.\(maps[0]).weight"
      for gate in tensors.keys.filter({ $0.hasSuffix(marker) }) {
        let block = String(gate.dropLast(marker.utf8.count))
        var (gateUp, down): ([Tensor], [Tensor]) = ([], [])
        var expert = 0
        while let first = tensors.removeValue(forKey: "\(block).experts.\(expert).\(maps[0]).weight") {
          let rest = maps[1...].map { tensors.removeValue(forKey: "\(block).experts.\(expert).\($0).weight")! }
          gateUp.append(.concatenate([Tensor(first), Tensor(rest[0])]))
          down.append(Tensor(rest[1]))
          expert += 1
        }
        let path = block.split(separator: ".").dropLast().joined(separator: ".") + ".mlp"
        tensors[path + ".experts.gate_up_proj"] = try evaluate([.stack(gateUp)])[0]
        tensors[path + ".experts.down_proj"] = try evaluate([.stack(down)])[0]
        if path != block { tensors[path + ".gate.weight"] = tensors.removeValue(forKey: block + ".gate.weight") }
      }
    }
  }

  @Test func layersThatPredictFurtherTokensAreLeftOut() throws {
    try expectSameLogits("deepseek-v3") { tensors in
      tensors["model.layers.2.shared_head.norm.weight"] = TensorData(TensorType(.float32, [32]))
    }
  }

  @Test func missingExpertsAreNamed() throws {
    try withTemporaryFolder { folder in
      try rewrite("mixtral", in: folder) { $0["model.layers.1.block_sparse_moe.experts.3.w2.weight"] = nil }
      let error = try #require(throws: ModelError.self) { _ = try PretrainedModel(path: folder).weights() }
      #expect(error.message.contains("'model.layers.1.block_sparse_moe.experts.3.w2.weight' is missing"))
    }
  }

  /// MXFP4 stays MXFP4 in memory and stands for what `transformers` makes of it.
  @Test func mxfp4IsComputedWithAsItIs() throws {
    let fixture = FamilyFixture("gpt-oss-mxfp4")
    let binding = try fixture.model.weights()
    let held = binding.store.given("model.layers.1.mlp.experts.up_proj.weight").type
    #expect(held == TensorType(.uint8, [4, 32, 17]))
    let expected = try fixture.tensor("logits").doubles
    let exact = try fixture.logits(of: fixture.prompt, CPUBackend(threads: 2), exactBlocks: true)
    #expect(relativeError(exact.doubles, expected) < 1e-4)
    // With activations of 8 bits, which is how it is run.
    let usual = try fixture.logits(of: fixture.prompt, CPUBackend(threads: 2))
    #expect(relativeError(usual.doubles, expected) < 0.1)
  }

  private func expectSameLogits(_ name: String, _ change: (inout [String: TensorData]) throws -> Void) throws {
    try withTemporaryFolder { folder in
      try rewrite(name, in: folder, change)
      let fixture = FamilyFixture(name)
      let expected = try fixture.logits(of: fixture.prompt, CPUBackend(threads: 2))
      let changed = try PretrainedModel(path: folder)
      let found = try fixture.logits(of: fixture.prompt, CPUBackend(threads: 2), with: changed)
      #expect(found.floats == expected.floats)
    }
  }

  /// Writes a fixture's model with other tensors.
  private func rewrite(
    _ name: String, in folder: String, _ change: (inout [String: TensorData]) throws -> Void
  ) throws {
    let fixture = Fixture(name: "families/" + name)
    try FileManager.default.copyItem(atPath: fixture.path + "/config.json", toPath: folder + "/config.json")
    let names = try fixture.names(in: "model")
    var tensors = Dictionary(uniqueKeysWithValues: try names.map { ($0, try fixture.tensor($0, in: "model")) })
    try change(&tensors)
    let entries = tensors.map { name, data in
      (
        tensor: SafetensorsTensor(name: name, type: .f32, shape: data.shape.dimensions),
        bytes: UnsafeRawBufferPointer(data.bytes)
      )
    }
    try withExtendedLifetime(tensors) {
      try SafetensorsWriter.write(entries, to: folder + "/model.safetensors")
    }
  }
}
