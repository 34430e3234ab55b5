// A model quantised, written and read again holds the numbers that the method gave.

import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Quantization
import Tensors
import Testing

@Suite struct ModelQuantizerTests {
  enum Method: CaseIterable { case nearest, gptq, awq }

  /// A small Qwen3 in float32, the fixture of the models; rows of 48 cannot be quantised, those of 64 and 96 can.
  private static let path = Checkpoint.models + "/qwen3"
  private static let text = (0..<256).map { Int32(($0 * 37 + $0 * $0) % 90) }
  private static let int4 = IntegerMatrix.Scheme(bits: 4, group: 32, isSymmetric: false)
  private static let int8 = IntegerMatrix.Scheme(bits: 8, group: nil, isSymmetric: true)

  @Test(arguments: [int4, int8], Method.allCases)
  func writtenAndReadAgainItIsTheSameModel(scheme: IntegerMatrix.Scheme, method: Method) throws {
    let backend = CPUBackend(threads: 1)
    let pretrained = try PretrainedModel(path: Self.path)
    let files = try WeightFiles(path: Self.path)
    let binding = try pretrained.weights(.float32)
    var quantizer = ModelQuantizer(scheme)
    let matrices = quantizer.matrices(of: pretrained, files)
    #expect(!matrices.isEmpty)
    if method != .nearest {
      let calibration = try Calibration(
        pretrained.model, binding, text: Self.text, window: 16, limit: 4, backend: backend)
      #expect(calibration.names == pretrained.model.parameters.filter { $0.role == .matrix }.map(\.name).sorted())
      if method == .gptq {
        quantizer.method = .gptq(GPTQ(), calibration)
      } else {
        try quantizer.scale(AWQ(), pretrained, files, binding, calibration, backend: backend)
      }
    }
    let tokens = Array(Self.text.prefix(12))
    let original = try binding.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    let values = Dictionary(uniqueKeysWithValues: zip(binding.store.parameters.map(\.name), binding.values))
    try withTemporaryFolder { folder in
      try CompressedCheckpoint.write(pretrained, files, quantizer, to: folder + "/result")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["result"])
      let again = try PretrainedModel(path: folder + "/result")
      let read = try again.weights()
      for (parameter, value) in zip(read.store.parameters, read.values) where matrices[parameter.name] != nil {
        let expected = try quantizer.integers(parameter, values[parameter.name]!.floats).blocks
        #expect(value.integers == expected.integers, "\(parameter.name)")
      }
      let logits = try read.logits(of: tokens, again.model, exact: true, backend: backend)
      #expect(relativeError(logits, original) < (scheme == Self.int4 ? 0.25 : 0.03))
      #expect(logits != original)
    }
  }

  /// Files of models that also see have names of their own for the tensors of the text's model.
  @Test func tensorsOfOtherNamesAreScaled() throws {
    let path = Checkpoint.models + "/families/gemma3"
    let pretrained = try PretrainedModel(path: path)
    let files = try WeightFiles(path: path)
    let binding = try pretrained.weights(.float32)
    let backend = CPUBackend(threads: 1)
    let calibration = try Calibration(
      pretrained.model, binding, text: Self.text, window: 16, limit: 4, backend: backend)
    var quantizer = ModelQuantizer(Self.int4)
    try quantizer.scale(AWQ(), pretrained, files, binding, calibration, backend: backend)
    let changed = quantizer.changed
    #expect(changed.keys.contains { $0.hasSuffix("input_layernorm.weight") }, "\(changed.keys.sorted())")
    let tokens = Array(Self.text.prefix(12))
    let original = try binding.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    try withTemporaryFolder { folder in
      try CompressedCheckpoint.write(pretrained, files, quantizer, to: folder + "/result")
      let again = try PretrainedModel(path: folder + "/result")
      let read = try again.weights()
      for (parameter, value) in zip(read.store.parameters, read.values) where parameter.role == .vector {
        if let expected = changed[parameter.name] { #expect(value.floats == expected, "\(parameter.name)") }
      }
      let logits = try read.logits(of: tokens, again.model, exact: true, backend: backend)
      #expect(relativeError(logits, original) < 0.25)
    }
  }

  @Test func workEndsWhereTheCheckThrows() throws {
    struct Asked: Error {}
    let pretrained = try PretrainedModel(path: Self.path)
    let binding = try pretrained.weights(.float32)
    let backend = CPUBackend(threads: 1)
    let calibration = try Calibration(
      pretrained.model, binding, text: Self.text, window: 16, limit: 4, backend: backend)
    #expect(throws: Asked.self) {
      try Calibration(
        pretrained.model, binding, text: Self.text, window: 16, limit: 4, backend: backend, check: { throw Asked() })
    }
    let (parameter, value) = try #require(
      zip(binding.store.parameters, binding.values).first { $0.0.name.hasSuffix("o_proj.weight") })
    var quantizer = ModelQuantizer(Self.int4)
    for method in [ModelQuantizer.Method.nearest, .gptq(GPTQ(), calibration)] {
      quantizer.method = method
      quantizer.check = {}
      _ = try quantizer.integers(parameter, value.floats)
      quantizer.check = { throw Asked() }
      #expect(throws: Asked.self) { try quantizer.integers(parameter, value.floats) }
    }
    let files = try WeightFiles(path: Self.path)
    #expect(throws: Asked.self) {
      try quantizer.scale(AWQ(), pretrained, files, binding, calibration, backend: backend)
    }
  }

  @Test func whatIsKeptIsNotQuantised() throws {
    let pretrained = try PretrainedModel(path: Self.path)
    var quantizer = ModelQuantizer(Self.int4)
    quantizer.dense.append("down_proj")
    let names = try quantizer.matrices(of: pretrained, WeightFiles(path: Self.path)).keys
    #expect(!names.contains { $0.contains("down_proj") || $0.contains("norm") || $0.contains("embed") })
    #expect(names.contains("model.layers.0.self_attn.o_proj.weight"))
  }

  /// Files whose tensors are transposed, or hold several parameters, have no matrices to be quantised.
  @Test func mergedMatricesAreLeftAlone() throws {
    let path = Checkpoint.models + "/gpt2"
    let found = try PretrainedModel(path: path).matrices(in: WeightFiles(path: path))
    #expect(found.isEmpty)
  }

  /// Each expert's matrix is one of its own.
  @Test func expertsAreQuantised() throws {
    let path = Checkpoint.models + "/families/mixtral"
    let pretrained = try PretrainedModel(path: path)
    let files = try WeightFiles(path: path)
    let quantizer = ModelQuantizer(Self.int8)
    let matrices = quantizer.matrices(of: pretrained, files)
    #expect(matrices.values.contains { $0.shape.rank == 3 })
    #expect(!matrices.keys.contains { $0.contains("gate.weight") })
    let tokens = Array(Self.text.prefix(12))
    let backend = CPUBackend(threads: 1)
    let original = try pretrained.weights(.float32).logits(of: tokens, pretrained.model, exact: true, backend: backend)
    try withTemporaryFolder { folder in
      try CompressedCheckpoint.write(pretrained, files, quantizer, to: folder + "/result")
      let again = try PretrainedModel(path: folder + "/result")
      let logits = try again.weights().logits(of: tokens, again.model, exact: true, backend: backend)
      #expect(relativeError(logits, original) < 0.05)
    }
  }
}
