// The tensors of a checkpoint under the names of Hugging Face's layouts, whatever kind of file holds them.
//
// Invariant: nothing is copied; each array keeps its file mapped.

internal import Formats
internal import Networks
internal import Tensors

/// One tensor in a mapped file.
struct MappedTensor {
  /// nil: a type that no model here computes with; `typeName` says which.
  var form: StoredForm?
  var typeName: String
  /// As a row-major array of the form's elements.
  var dimensions: [Int]
  var bytes: UnsafeRawBufferPointer
  /// Keeps the file mapped.
  var owner: AnyObject

  /// The tensor as it is, of the placeholder's type; a copy only where the file does not align it to its elements.
  func data(_ type: TensorType) -> TensorData {
    precondition(type.bytes == bytes.count, "\(bytes.count) bytes for \(type)")
    let pointer = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
    if Int(bitPattern: pointer) % type.element.size == 0 { return TensorData(type, pointer: pointer, owner: owner) }
    let result = TensorData(type)
    result.bytes.copyMemory(from: bytes)
    return result
  }
}

/// All tensors of a checkpoint.
struct StoredTensors {
  var tensors: [String: MappedTensor] = [:]

  /// Those of safetensors files.
  init(_ files: WeightFiles) {
    for file in files.files {
      for tensor in file.tensors {
        tensors[tensor.name] = MappedTensor(
          form: tensor.type.element.map { .dense($0) }, typeName: tensor.type.rawValue, dimensions: tensor.shape,
          bytes: file.bytes(of: tensor.name)!, owner: file)
      }
    }
  }
}

extension SafetensorsType {
  /// nil: a type that tensors here do not have.
  var element: ElementType? {
    switch self {
    case .f64: .float64
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    case .i64: .int64
    case .i32: .int32
    case .i8: .int8
    case .u8: .uint8
    case .bool: .bool
    default: nil
    }
  }
}
