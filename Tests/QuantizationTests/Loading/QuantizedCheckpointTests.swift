// What other programs have quantised: their formulas bit by bit, and the model's logits.

import CPUBackend
import Core
import FoundationEssentials
import Models
import Networks
import Tensors
import Testing

@Suite struct QuantizedCheckpointTests {
  @Test(arguments: Checkpoint.all) func weightsAreThoseOfTheMethodsFormula(checkpoint: Checkpoint) throws {
    let binding = try PretrainedModel(path: checkpoint.path).weights()
    let expected = try checkpoint.checksums
    #expect(expected.count >= 7)
    #expect(binding.notices.isEmpty == (checkpoint.name != "gptq-4-ordered-moe"))
    for (parameter, value) in zip(binding.store.parameters, binding.values) {
      guard let checksum = expected[parameter.name] else { continue }
      // Experts whose columns are in orders of their own (rows of one group have none) have no form in blocks; that is said.
      let isExpanded = checkpoint.name == "gptq-4-ordered-moe" && parameter.shape.rank == 3 && parameter.shape[-1] > 32
      #expect(value.type.element == (isExpanded ? .float16 : .uint8), "\(parameter.name) is \(value.type)")
      if isExpanded { continue }
      let numbers = try binding.numbers(of: parameter, value)
      let found = withExtendedLifetime(numbers) { crc32(UnsafeRawBufferPointer(numbers.bytes)) }
      #expect(found == checksum, "\(parameter.name)")
    }
  }

  @Test(arguments: Checkpoint.all) func logitsAreThoseOfTheDequantisedModel(checkpoint: Checkpoint) throws {
    let pretrained = try PretrainedModel(path: checkpoint.path)
    // What is not quantised in float32, as the expected logits were computed.
    let binding = try pretrained.weights(.float32)
    let expected = try checkpoint.logits
    // Int8 activations may lead to another expert.
    let isExpanded = !binding.notices.isEmpty
    for (exact, tolerance) in [(true, isExpanded ? 1e-3 : 1e-5), (false, isExpanded ? 0.2 : 0.03)] {
      let logits = try binding.logits(
        of: checkpoint.tokens, pretrained.model, exact: exact, backend: CPUBackend(threads: 1))
      #expect(relativeError(logits, expected) < tolerance, "exact: \(exact)")
    }
  }

  /// A checkpoint with a text of its config.json replaced.
  private func load(_ name: String, replacing old: String, by new: String) throws {
    let original = Checkpoint(name: name)
    try withTemporaryFolder { folder in
      let config = try String(contentsOfFile: original.path + "/config.json", encoding: .utf8)
      precondition(config.contains(old))
      try config.replacing(old, with: new).write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      try FileManager.default.copyItem(
        atPath: original.path + "/model.safetensors", toPath: folder + "/model.safetensors")
      _ = try PretrainedModel(path: folder).weights()
    }
  }

  @Test(arguments: [
    ("gptq-4", "\"quant_method\": \"gptq\"", "\"quant_method\": \"aqlm\"", "'aqlm'"),
    ("gptq-4", "\"bits\": 4", "\"bits\": 3", "only 4 and 8"),
    ("gptq-4", "\"bits\": 4", "\"bits\": 8", "'model.layers.0.mlp.down_proj"),
    ("awq", "\"version\": \"gemm\"", "\"version\": \"gemv\"", "gemv"),
    ("packed-4", "\"format\": \"pack-quantized\"", "\"format\": \"marlin-24\"", "marlin-24"),
    ("packed-4", "\"format\": \"pack-quantized\"", "\"format\": \"nvfp4-pack-quantized\"", "nvfp4-pack-quantized"),
    ("nf4", "\"bnb_4bit_quant_type\": \"nf4\"", "\"bnb_4bit_quant_type\": \"fp4\"", "fp4"),
    ("fp8-blocks", "48", "32", "scales of"),
  ])
  func whatCannotBeReadIsSaid(name: String, old: String, new: String, said: String) throws {
    let error = #expect(throws: ModelError.self) { try load(name, replacing: old, by: new) }
    #expect(error?.message.contains(said) == true, "\(error?.message ?? "")")
  }
}

extension WeightBinding {
  /// What the model computes with where a parameter has this value: float32, and 0 without a sign.
  fileprivate func numbers(of parameter: Parameter, _ value: TensorData) throws -> TensorData {
    let given = store.root.parameter(
      parameter.name, parameter.shape, role: parameter.role, initializer: parameter.initializer, axes: parameter.axes)
    let program = Program(inputs: [store.given(parameter.name)], outputs: [given.cast(.float32) + 0])
    return try CPUBackend(threads: 1).compile(program).run([value])[0]
  }
}
