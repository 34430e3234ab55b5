// A model quantised, written and read again is the model that was quantised.

import CPUBackend
import Core
import Formats
import Models
import Networks
import Quantization
import Tensors
import Testing

@Suite struct ModelQuantizerTests {
  /// A small Qwen3 in float32, the fixture of the models; rows of 48 cannot be quantised, those of 64 and 96 can.
  private static let path =
    String(#filePath.dropLast("QuantizationTests/Quantizers/ModelQuantizerTests.swift".count))
    + "ModelsTests/Fixtures/qwen3"
  private static let text = (0..<256).map { Int32(($0 * 37 + $0 * $0) % 90) }

  @Test(arguments: [BlockFormat.int4(group: 32), .int8(group: nil)], [false, true])
  func writtenAndReadAgainItIsTheSameModel(format: BlockFormat, gptq: Bool) throws {
    let backend = CPUBackend(threads: 1)
    let pretrained = try PretrainedModel(path: Self.path)
    let binding = try pretrained.weights(.float32)
    var quantizer = ModelQuantizer(format)
    if gptq {
      let calibration = try Calibration(
        pretrained.model, binding, text: Self.text, window: 16, limit: 4, backend: backend)
      let matrices = pretrained.model.parameters.filter { $0.role == .matrix }.map(\.name)
      #expect(calibration.hessians.keys.sorted() == matrices.sorted())
      quantizer.method = .gptq(GPTQ(), calibration)
    }
    let result = quantizer.quantized(pretrained.model, binding)
    #expect(!result.names.isEmpty && result.names == Set(result.integers.keys))
    let tokens = Array(Self.text.prefix(12))
    let expected = try result.binding.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    try withTemporaryFolder { folder in
      try CompressedCheckpoint.write(
        from: Self.path, settings: pretrained.settings, result.integers, scheme: quantizer.scheme!, to: folder)
      let again = try PretrainedModel(path: folder)
      let read = try again.weights(.float32)
      #expect(try read.logits(of: tokens, again.model, exact: true, backend: backend) == expected)
    }
    let original = try binding.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    #expect(relativeError(expected, original) < (format == .int4(group: 32) ? 0.25 : 0.03))
    #expect(expected != original)
  }

  @Test func whatIsKeptIsNotQuantised() throws {
    let pretrained = try PretrainedModel(path: Self.path)
    var quantizer = ModelQuantizer(.int4(group: 32))
    quantizer.dense.append("down_proj")
    let result = try quantizer.quantized(pretrained.model, pretrained.weights(.float32))
    #expect(!result.names.contains { $0.contains("down_proj") || $0.contains("norm") || $0.contains("embed") })
    #expect(result.names.contains("model.layers.0.self_attn.o_proj.weight"))
  }
}
