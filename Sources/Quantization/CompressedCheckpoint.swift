// Writing integers in groups as compressed-tensors does ("pack-quantized"), which vLLM, SGLang and transformers load.
//
// Invariant: what is not quantised is copied as it is, byte by byte.

package import Core
internal import Formats
internal import FoundationEssentials
internal import Tensors

/// Writes a folder with some of its matrices replaced.
package enum CompressedCheckpoint {
  /// - Parameters:
  ///   - folder: with config.json and safetensors of floats.
  ///   - matrices: by the names of tensors in the folder.
  ///   - result: a folder, which is made if need be.
  /// - Throws: `FormatsError` or `FileError`.
  package static func write(
    from folder: String, settings: JSONObject, _ matrices: [String: IntegerMatrix], scheme: IntegerMatrix.Scheme,
    to result: String
  ) throws {
    let files = try WeightFiles(path: folder)
    let manager = FileManager.default
    try manager.createDirectory(atPath: result, withIntermediateDirectories: true)
    for name in try manager.contentsOfDirectory(atPath: folder).sorted() where isKept(name) {
      if manager.fileExists(atPath: "\(result)/\(name)") { try manager.removeItem(atPath: "\(result)/\(name)") }
      try manager.copyItem(atPath: "\(folder)/\(name)", toPath: "\(result)/\(name)")
    }
    var tensors: [SafetensorsTensor] = []
    var parts: [String: (matrix: String, part: Part)] = [:]
    for name in files.names {
      guard let matrix = matrices[name] else {
        tensors.append(files.tensor(name)!)
        continue
      }
      for part in Part.allCases {
        guard let tensor = part.tensor(of: matrix, name) else { continue }
        tensors.append(tensor)
        parts[tensor.name] = (name, part)
      }
    }
    try WeightFiles.write(tensors, metadata: ["format": "pt"], to: result) { tensor, emit in
      if let (name, part) = parts[tensor.name] {
        try part.bytes(of: matrices[name]!).withUnsafeBytes(emit)
      } else {
        _ = try files.withBytes(of: tensor.name, emit)
      }
    }
    var settings = settings
    let dense = files.names.filter { name in
      name.hasSuffix(".weight") && matrices[name] == nil && files.tensor(name)!.shape.count == 2
    }
    settings["quantization_config"] = configuration(scheme, dense: dense.map { String($0.dropLast(".weight".count)) })
    try AtomicFile.write(JSONValue.object(settings).indentedJSON, to: result + "/config.json")
  }

  /// Tokenizer and such.
  private static func isKept(_ name: String) -> Bool {
    let kinds = [".json", ".txt", ".model", ".jinja", ".tiktoken"]
    return kinds.contains(where: name.hasSuffix) && name != "config.json" && !name.hasSuffix(".index.json")
  }

  private static func configuration(_ scheme: IntegerMatrix.Scheme, dense: [String]) -> JSONValue {
    let weights: JSONValue = [
      "num_bits": .number(JSONNumber(scheme.bits)), "type": "int", "symmetric": .bool(scheme.isSymmetric),
      "strategy": scheme.group == nil ? "channel" : "group",
      "group_size": scheme.group.map { .number(JSONNumber($0)) } ?? .null, "dynamic": false, "observer": "minmax",
    ]
    return [
      "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
      // A head that is the embedding has no tensor, but other programs have a module for it.
      "ignore": .array((dense + (dense.contains("lm_head") ? [] : ["lm_head"])).map { .string($0) }),
      "config_groups": [
        "group_0": [
          "targets": ["Linear"], "weights": weights, "input_activations": nil, "output_activations": nil,
        ]
      ],
    ]
  }
}

/// The tensors of a quantised matrix.
private enum Part: CaseIterable {
  case packed, scale, zeroPoint, shape

  /// nil: a symmetric matrix has no zero points.
  func tensor(of matrix: IntegerMatrix, _ name: String) -> SafetensorsTensor? {
    let each = 32 / matrix.scheme.bits
    switch self {
    case .packed: return .init(name: name + "_packed", type: .i32, shape: [matrix.rows, matrix.columns / each])
    case .scale: return .init(name: name + "_scale", type: matrix.scaleType, shape: [matrix.rows, matrix.groups])
    case .zeroPoint:
      if matrix.scheme.isSymmetric { return nil }
      return .init(name: name + "_zero_point", type: .i32, shape: [(matrix.rows + each - 1) / each, matrix.groups])
    case .shape: return .init(name: name + "_shape", type: .i64, shape: [2])
    }
  }

  func bytes(of matrix: IntegerMatrix) -> [UInt8] {
    func little<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
      values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    }
    switch self {
    case .packed: return little(matrix.words)
    case .zeroPoint: return little(matrix.zeroWords)
    case .shape: return little([Int64(matrix.rows), Int64(matrix.columns)])
    case .scale:
      switch matrix.scaleType {
      case .f16: return little(matrix.grids.map { $0.scale.half })
      case .bf16: return little(matrix.grids.map { $0.scale.bfloat16 })
      default: return little(matrix.grids.map { $0.scale.bitPattern })
      }
    }
  }
}

extension IntegerMatrix {
  fileprivate var scaleType: SafetensorsType {
    switch scheme.scales {
    case .float16: .f16
    case .bfloat16: .bf16
    default: .f32
    }
  }
}
