// What PyTorch computed for two small models (Scripts/make-gpt-fixtures.py).

import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors

/// One of the recorded models.
struct Fixture: Sendable, CustomStringConvertible {
  let name: String
  static let all = [Fixture(name: "gpt2"), Fixture(name: "qwen3")]

  var description: String { name }
  var path: String { Self.folder(of: #filePath) + "/Fixtures/" + name }
  /// What the script made, in our words.
  var configuration: GPTConfiguration {
    name == "gpt2"
      ? .gpt2(layers: 2, width: 48, heads: 3, context: 32, vocabulary: 97)
      : .modern(
        layers: 2, width: 48, heads: 4, kvHeads: 2, headSize: 16, mlpWidth: 96, context: 32, vocabulary: 97,
        tiedHead: false)
  }
  var weights: [String: TensorData] { get throws { try GPTFolder.weights(in: path, of: configuration) } }

  private static func folder(of file: String) -> String { String(file[..<file.lastIndex(of: "/")!]) }

  /// A tensor of one of the fixture's files.
  func tensor(_ name: String, in file: String) throws -> TensorData {
    let weights = try WeightFiles(path: "\(path)/\(file).safetensors")
    guard let tensor = weights.tensor(name), let bytes = weights.bytes(of: name) else {
      preconditionFailure("\(file) of \(self.name) has no \(name)")
    }
    let elements: [SafetensorsType: ElementType] = [.f32: .float32, .f64: .float64, .i32: .int32]
    let result = TensorData(TensorType(elements[tensor.type]!, Shape(tensor.shape)))
    withExtendedLifetime(weights) { result.bytes.copyMemory(from: bytes) }
    return result
  }

  /// The names in a file.
  func names(in file: String) throws -> [String] { try WeightFiles(path: "\(path)/\(file).safetensors").names }
}

/// |a - b| / |b|, in Euclidean norms.
func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count, "\(a.count) and \(b.count) values")
  let difference = zip(a, b).map { ($0 - $1) * ($0 - $1) }.reduce(0, +)
  return (difference / b.map { $0 * $0 }.reduce(0, +)).squareRoot()
}

/// A fresh folder that is removed after `body`.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.path + "/tachornis-models-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}
