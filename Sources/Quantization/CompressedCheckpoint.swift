// Writing integers in groups in the format of compressed-tensors ("pack-quantized").
//
// Invariant: what is not quantised is copied as it is, byte by byte.

internal import Core
package import Formats
internal import FoundationEssentials
package import Models
internal import Networks
internal import Tensors

/// Writes a folder with some of its matrices replaced.
package enum CompressedCheckpoint {
  /// - Parameters:
  ///   - model: a folder with config.json and safetensors of floats.
  ///   - result: a folder, which is made and must not exist yet. It appears whole or not at all.
  ///   - progress: is told the name of each matrix before it is quantised; what it throws ends the work.
  /// - Throws: `FormatsError` or `FileError`.
  package static func write(
    _ model: PretrainedModel, _ files: WeightFiles, _ quantizer: ModelQuantizer, to result: String,
    progress: (String) throws -> Void = { _ in }
  ) throws {
    let matrices = quantizer.matrices(of: model, files)
    let manager = FileManager.default
    let folder = "\(result).\(ProcessInfo.processInfo.processIdentifier).partial"
    try? manager.removeItem(atPath: folder)
    try manager.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? manager.removeItem(atPath: folder) }
    for name in try manager.contentsOfDirectory(atPath: model.path).sorted() where isKept(name) {
      // The file itself: a hub's cache holds links.
      let file = URL(filePath: "\(model.path)/\(name)").resolvingSymlinksInPath()
      try manager.copyItem(at: file, to: URL(filePath: "\(folder)/\(name)"))
    }
    let changed = model.wholes(in: files).compactMapValues { quantizer.changed[$0.name] }
    try writeTensors(files, matrices, quantizer, changed, to: folder, progress)
    let dense = files.names.filter { name in
      name.hasSuffix(".weight") && matrices[name] == nil && files.tensor(name)!.shape.count == 2
    }
    var settings = model.settings
    settings["quantization_config"] = configuration(
      quantizer.scheme, dense: dense.map { String($0.dropLast(".weight".count)) })
    try AtomicFile.write(JSONValue.object(settings).indentedJSON, to: folder + "/config.json")
    try manager.moveItem(atPath: folder, toPath: result)
  }

  private static func writeTensors(
    _ files: WeightFiles, _ matrices: [String: Parameter], _ quantizer: ModelQuantizer, _ changed: [String: [Float]],
    to folder: String, _ progress: (String) throws -> Void
  ) throws {
    var tensors: [SafetensorsTensor] = []
    var parts: [String: (matrix: String, part: Part)] = [:]
    for name in files.names {
      guard let parameter = matrices[name] else {
        var tensor = files.tensor(name)!
        // Scaled values are kept as precisely as they were computed.
        if changed[name] != nil { tensor = .init(name: name, type: .f32, shape: tensor.shape) }
        tensors.append(tensor)
        continue
      }
      for part in Part.allCases {
        guard let tensor = part.tensor(of: parameter, quantizer.scheme, name) else { continue }
        tensors.append(tensor)
        parts[tensor.name] = (name, part)
      }
    }
    // The parts of a matrix follow each other.
    var last: (name: String, matrix: IntegerMatrix)?
    try WeightFiles.write(tensors, metadata: ["format": "pt"], to: folder) { tensor, emit in
      if let (name, part) = parts[tensor.name] {
        if last?.name != name {
          try progress(name)
          last = (name, try quantizer.integers(matrices[name]!, files.floats(of: name)))
        }
        try part.bytes(of: last!.matrix).withUnsafeBytes(emit)
      } else if let values = changed[tensor.name] {
        try values.withUnsafeBytes(emit)
      } else {
        _ = try files.withBytes(of: tensor.name, emit)
      }
    }
  }

  /// Tokenizer and such.
  private static func isKept(_ name: String) -> Bool {
    let kinds = [".json", ".txt", ".model", ".jinja", ".tiktoken"]
    // What a checkpoint of training says of its own files and steps does not hold of the result.
    let others = ["config.json", "manifest.json", "state.json"]
    return kinds.contains(where: name.hasSuffix) && !others.contains(name) && !name.hasSuffix(".index.json")
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
  func tensor(of parameter: Parameter, _ scheme: IntegerMatrix.Scheme, _ name: String) -> SafetensorsTensor? {
    let (rows, columns, each) = (parameter.shape[-2], parameter.shape[-1], 32 / scheme.bits)
    let groups = columns / (scheme.group ?? columns)
    switch self {
    case .packed: return .init(name: name + "_packed", type: .i32, shape: [rows, columns / each])
    case .scale: return .init(name: name + "_scale", type: scheme.scaleType, shape: [rows, groups])
    case .zeroPoint:
      if scheme.isSymmetric { return nil }
      return .init(name: name + "_zero_point", type: .i32, shape: [(rows + each - 1) / each, groups])
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
      switch matrix.scheme.scaleType {
      case .f16: return little(matrix.grids.map { $0.scale.half })
      case .bf16: return little(matrix.grids.map { $0.scale.bfloat16 })
      default: return little(matrix.grids.map { $0.scale.bitPattern })
      }
    }
  }
}

extension IntegerMatrix.Scheme {
  fileprivate var scaleType: SafetensorsType {
    switch scales {
    case .float16: .f16
    case .bfloat16: .bf16
    default: .f32
    }
  }
}

extension WeightFiles {
  /// The elements of a tensor of floats.
  fileprivate func floats(of name: String) -> [Float] {
    let type = tensor(name)!.type
    return withBytes(of: name) { bytes in
      func all<T: BitwiseCopyable>(_: T.Type, _ value: (T) -> Float) -> [Float] {
        (0..<(bytes.count / MemoryLayout<T>.size)).map {
          value(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
        }
      }
      switch type {
      case .f64: return all(Double.self) { Float($0) }
      case .f32: return all(Float.self) { $0 }
      case .f16: return all(UInt16.self) { Float(half: $0) }
      case .bf16: return all(UInt16.self) { Float(bfloat16: $0) }
      default: preconditionFailure("'\(name)' is of the type \(type)")
      }
    }!
  }
}
