// The metadata of a GGUF file as values of config.json while it is read, and as they are put together while it is written.

internal import Core
internal import Formats

/// Metadata of a file, seen from its architecture.
struct GGUFMetadata {
  let file: GGUFFile
  let architecture: String

  /// A number, text, truth value or list of them; nil if the key is missing.
  subscript(key: String) -> JSONValue? { file.metadata["\(architecture).\(key)"].flatMap { GGUFMetadata.json($0) } }

  func has(_ tensor: String) -> Bool { file.tensor(tensor) != nil }

  func hasSuffix(_ suffix: String) -> Bool { file.tensors.contains { $0.name.hasSuffix(suffix) } }

  /// The first axis of a tensor.
  func rows(_ tensor: String) -> Int? { file.tensor(tensor)?.shape.first }

  /// The values of a float32 tensor.
  func floats(_ tensor: String) -> [Float]? {
    guard file.tensor(tensor)?.type == .f32 else { return nil }
    return file.withBytes(of: tensor) { bytes in
      stride(from: 0, to: bytes.count, by: 4).map {
        Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
      }
    }
  }

  /// A list of equal numbers, as files have them with one for each layer, is that number.
  private static func json(_ value: GGUFValue) -> JSONValue? {
    switch value {
    case .bool(let flag): return .bool(flag)
    case .string(let text): return .string(text)
    case .float32(let number): return .float(number)
    case .float64(let number): return .float(Float(number))
    case .array(let list):
      let values: [JSONValue]? =
        switch list.kind {
        case .bool: (try? list.integers())?.map { .bool($0 != 0) }
        case .float32, .float64: (try? list.doubles())?.map { .float(Float($0)) }
        case .string, .array: nil
        default: (try? list.integers())?.map { .integer($0) }
        }
      guard let values, let first = values.first else { return nil }
      return first.bool == nil && values.allSatisfy { $0 == first } ? first : .array(values)
    default: return value.integer.map { .integer($0) }
    }
  }
}

/// Metadata that are being put together.
struct WrittenMetadata {
  let architecture: String
  var values: [(key: String, value: GGUFValue)] = []
  /// Tensors that hold settings.
  var tensors: [(name: String, values: [Float])] = []
  /// What GGUF files have no words for.
  var problems: [String] = []

  /// - Parameter key: without the architecture.
  mutating func add(_ key: String, _ value: GGUFValue) { values.append(("\(architecture).\(key)", value)) }

  func size(_ key: String) -> Int? { values.first { $0.key == "\(architecture).\(key)" }?.value.integer }
}

extension JSONValue {
  /// The shortest decimal that is a float32: 1e-05, not 9.999999747378752e-06. With a point, since `transformers` takes no
  /// integer for a float.
  static func float(_ number: Float) -> JSONValue { (try? JSONValue(parsing: number.description)) ?? .null }
}
