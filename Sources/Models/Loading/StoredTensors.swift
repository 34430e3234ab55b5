// The tensors of a checkpoint under the names of Hugging Face's layouts, whatever kind of file holds them.
//
// Invariant: nothing is copied; each array keeps its file mapped.

internal import Core
package import Formats
package import Networks
internal import Tensors

/// One tensor in a mapped file.
struct MappedTensor {
  /// nil: a type that no model here computes with; `typeName` says which.
  var form: StoredForm?
  var typeName: String
  /// As a row-major array of the form's elements.
  var dimensions: [Int]
  /// Whether this is the transpose of what Hugging Face's file would hold.
  var isTransposed = false
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

extension MappedTensor {
  /// Some of the rows, in place.
  func rows(_ rows: Range<Int>) -> MappedTensor {
    precondition(rows.upperBound <= dimensions[0], "rows \(rows) of \(dimensions)")
    var result = self
    result.dimensions[0] = rows.count
    let size = bytes.count / dimensions[0]
    result.bytes = UnsafeRawBufferPointer(rebasing: bytes[(rows.lowerBound * size)..<(rows.upperBound * size)])
    return result
  }
}

/// All tensors of a checkpoint.
struct StoredTensors {
  var tensors: [String: MappedTensor] = [:]
  /// What a person should know of how they are held.
  private(set) var notices: [String] = []

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

extension StoredTensors {
  /// Those of a folder's safetensors files.
  ///
  /// - Parameter settings: config.json.
  init(folder path: String, _ settings: JSONObject) throws(ModelError) {
    let files: WeightFiles
    do {
      files = try WeightFiles(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the weights in \(path).", cause: error)
    }
    self = try StoredTensors(files).unpacked(settings)
  }

  /// Those of a GGUF file, under the names of the model's parameters as far as there are such.
  init(_ file: GGUFFile) throws(ModelError) {
    let architecture = try GGUFArchitecture.of(file)
    let stored = GGUFArchitecture.tensors(of: file)
    let sizes = HeadSizes(architecture.config(of: file))
    var joined: (count: Int, held: Int) = (0, 0)
    for (name, tensor) in stored {
      guard let match = architecture.match(gguf: name) else {
        tensors[name] = tensor
        continue
      }
      var tensor = tensor
      switch match.rule.form {
      case .transposed where tensor.dimensions.count == 2: tensor.isTransposed = true
      case .latentKeys, .latentValues:
        // Two tensors here, one in the model.
        let type = tensor.form?.joined ?? .float32
        guard let recipe = architecture.recipes(match, name, stored, type, sizes)?.first else { continue }
        do {
          tensor = try recipe.value { stored[$0]! }
        } catch {
          throw ModelError(.cannotRead, "The tensor '\(name)' of '\(file.path)' could not be converted.", cause: error)
        }
        if stored[name]!.form?.isBlocks == true { joined = (joined.count + 1, joined.held + tensor.bytes.count) }
      default: break
      }
      tensors[match.parameter] = tensor
    }
    if joined.count > 0 {
      notices.append(
        "The maps to keys and values of \(joined.count) layers are quantised as two tensors each (attn_k_b and attn_v_b), one "
          + "of them transposed: joined, they are held as bfloat16, in \(Numerals.bytes(joined.held)).")
    }
  }
}

extension StoredForm {
  /// The type of a tensor that is joined of several of this form.
  fileprivate var joined: ElementType {
    if case .dense(let element) = self { element } else { .bfloat16 }
  }
}

extension TensorRecipe {
  /// The tensor in memory.
  fileprivate func value(_ source: (String) -> MappedTensor) throws -> MappedTensor {
    let result = TensorData(TensorType(type, Shape(shape)))
    var target = result.bytes.baseAddress!
    try write(source) { bytes in
      target.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
      target += bytes.count
    }
    return MappedTensor(
      form: .dense(type), typeName: "\(type)", dimensions: shape, bytes: UnsafeRawBufferPointer(result.bytes),
      owner: result)
  }
}

extension GGUFType {
  /// nil: a type that nothing here computes with.
  package var form: StoredForm? {
    switch self {
    case .f64: .dense(.float64)
    case .f32: .dense(.float32)
    case .f16: .dense(.float16)
    case .bf16: .dense(.bfloat16)
    case .q4_0: .blocks(.q40)
    case .q4_1: .blocks(.q41)
    case .q5_0: .blocks(.q50)
    case .q5_1: .blocks(.q51)
    case .q8_0: .blocks(.q80)
    case .q2_K: .blocks(.q2K)
    case .q3_K: .blocks(.q3K)
    case .q4_K: .blocks(.q4K)
    case .q5_K: .blocks(.q5K)
    case .q6_K: .blocks(.q6K)
    case .iq4_NL: .blocks(.iq4NL)
    case .iq4_XS: .blocks(.iq4XS)
    case .mxfp4: .blocks(.mxfp4)
    default: nil
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
