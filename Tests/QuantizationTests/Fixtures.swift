// A small Llama, quantised by the methods of others (Scripts/make-quantized-fixtures.py).

import Core
import FoundationEssentials
import Models
import Networks
import Tensors

/// One recorded checkpoint.
struct Checkpoint: Sendable, CustomStringConvertible {
  let name: String
  static let all = [
    "gptq-4", "gptq-4-asymmetric-v2", "gptq-4-ordered", "gptq-4-ordered-moe", "gptq-8", "awq", "packed-4",
    "packed-4-ordered", "packed-8", "packed-8-asymmetric", "int-8", "int-8-asymmetric", "float-8", "mxfp4-packed",
    "nf4", "nf4-double", "fp8-blocks", "fp8-qwen3-moe", "fp8-deepseek-v3",
  ].map(Checkpoint.init)

  var description: String { name }
  var path: String { Self.fixtures + "/checkpoints/" + name }
  static var fixtures: String { String(#filePath.dropLast(".swift".count)) }
  /// Models that are not quantised.
  static var models: String {
    String(#filePath.dropLast("QuantizationTests/Fixtures.swift".count)) + "ModelsTests/Fixtures"
  }

  /// Of the matrices, by their names: CRC-32 of the float32 that the method's formula gives.
  var checksums: [String: UInt32] {
    get throws {
      let entries = try expected["checksums"]?.object ?? JSONObject()
      return Dictionary(uniqueKeysWithValues: entries.map { ($0.0, UInt32($0.1.integer!)) })
    }
  }
  var tokens: [Int32] { get throws { try expected["tokens"]!.array!.map { Int32($0.integer!) } } }
  /// [tokens · vocabulary]
  var logits: [Double] { get throws { try expected["logits"]!.array!.flatMap { $0.array!.map { $0.double! } } } }

  private var expected: JSONValue {
    get throws {
      let file = try MappedFile(path: path + "/expected.json")
      return try withExtendedLifetime(file) { try JSONValue(parsing: file.bytes) }
    }
  }
}

extension WeightBinding {
  /// The logits of a text, with exact products or with int8 activations: [tokens · vocabulary].
  func logits(of text: [Int32], _ model: any LanguageModel, exact: Bool, backend: any Backend) throws -> [Double] {
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, text.count]))
    let logits = model.logits(tokens, store.root, .training())
    let program = Program(
      inputs: [tokens] + store.parameters.map { store.given($0.name) }, outputs: [logits],
      options: .init(exactBlocks: exact))
    return try backend.compile(program).run([TensorData(text, shape: [1, text.count])] + values)[0].doubles
  }
}

/// |a - b| / |b|, in Euclidean norms.
func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count, "\(a.count) and \(b.count) values")
  let difference = zip(a, b).map { ($0 - $1) * ($0 - $1) }.reduce(0, +)
  return (difference / b.map { $0 * $0 }.reduce(0, +)).squareRoot()
}

/// CRC-32 as zlib has it.
func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
  var crc = ~UInt32(0)
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 0 ? 0 : 0xEDB8_8320) }
  }
  return ~crc
}

/// A fresh folder that is removed after `body`.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.path + "/tachornis-quantization-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}
