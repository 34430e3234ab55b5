// Checkpoints that other programs have quantised: what their tensors hold is re-packed into the blocks that products here
// read, so that nothing is expanded to floats. config.json's `quantization_config` names the method; one file a method.
//
// Invariant: the numbers that blocks stand for are those of the method's own formula in float32 (float32 scales of integer
// weights are rounded to 15 bits, float16 and bfloat16 ones are exact). Sizes come from the file and are all checked.

internal import Core
internal import Networks
internal import Tensors

extension StoredTensors {
  /// These tensors with every quantised weight as one tensor of blocks, under the name that the weight has in the model.
  ///
  /// - Parameter settings: config.json.
  func unpacked(_ settings: JSONObject) throws(ModelError) -> StoredTensors {
    guard let found = settings["quantization_config"] ?? settings["compression_config"], found != .null else {
      return self
    }
    guard let quantization = found.object else {
      throw ModelError(.badConfiguration, "'quantization_config' of config.json is not an object.")
    }
    var tensors = QuantizedTensors(self.tensors)
    var settings = ModelSettings(quantization)
    switch quantization["quant_method"]?.string {
    case "gptq": tensors.unpackGPTQ(&settings)
    case "awq": tensors.unpackAWQ(&settings)
    case "compressed-tensors": tensors.unpackCompressedTensors(&settings)
    case "bitsandbytes": tensors.unpackBitsAndBytes(&settings)
    case "fp8": tensors.unpackFP8(&settings)
    // Experts in MXFP4 are read by their family, which knows their names.
    case "mxfp4": break
    case let method:
      throw ModelError(
        .unsupported,
        "The weights are quantised by \(method.map { "'\($0)'" } ?? "a method without a name (quant_method)"). Known "
          + "are gptq, awq, compressed-tensors, bitsandbytes (NF4), fp8 and mxfp4. Use a checkpoint of one of these, or "
          + "one that is not quantised.")
    }
    if !settings.problems.isEmpty {
      throw ModelError(
        .unsupported,
        "The 'quantization_config' of config.json asks for what this program does not have:"
          + settings.problems.map { "\n  \($0)" }.joined())
    }
    if !tensors.problems.isEmpty {
      throw ModelError(
        .badWeights,
        "The quantised tensors do not fit together:" + tensors.problems.prefix(40).map { "\n  \($0)" }.joined())
    }
    var result = self
    result.tensors = tensors.all
    return result
  }
}

/// The tensors of a checkpoint while quantised weights are put together.
struct QuantizedTensors {
  private(set) var all: [String: MappedTensor]
  private(set) var problems: [String] = []

  init(_ tensors: [String: MappedTensor]) { all = tensors }

  mutating func report(_ problem: String) { problems.append(problem) }

  /// The names of modules that have a tensor `module.suffix`, sorted.
  func modules(with suffix: String) -> [String] {
    all.keys.filter { $0.hasSuffix("." + suffix) }.map { String($0.dropLast(suffix.count + 1)) }.sorted()
  }

  func has(_ name: String) -> Bool { all[name] != nil }

  /// Removes a tensor that is not needed, if it is there.
  mutating func drop(_ name: String) { all[name] = nil }

  /// Removes a tensor and gives it; nil: a problem was noted.
  ///
  /// - Parameters:
  ///   - types: that it may have.
  ///   - shape: that it must have; nil: any.
  mutating func take(_ name: String, _ types: [String], _ shape: [Int]? = nil) -> MappedTensor? {
    guard let tensor = all.removeValue(forKey: name) else {
      report("'\(name)' is missing.")
      return nil
    }
    guard types.contains(tensor.typeName) else {
      report("'\(name)' is of the type \(tensor.typeName), not \(types.joined(separator: " or ")).")
      return nil
    }
    if let shape, tensor.dimensions != shape {
      report("'\(name)' has the shape \(tensor.dimensions), not \(shape).")
      return nil
    }
    return tensor
  }

  /// Floats of any precision.
  mutating func takeFloats(_ name: String, _ shape: [Int]? = nil) -> MappedTensor? {
    take(name, ["F32", "F16", "BF16"], shape)
  }

  /// Adds a weight of whose bytes `write` writes all.
  mutating func add(
    _ name: String, _ form: StoredForm, rows: Int, columns: Int, write: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    if has(name) { report("'\(name)' is there as it is and quantised.") }
    let data = TensorData(form.type([rows, columns]))
    write(data.bytes)
    all[name] = MappedTensor(
      form: form, typeName: "\(form)", dimensions: [rows, columns], bytes: UnsafeRawBufferPointer(data.bytes),
      owner: data)
  }

  /// In which order columns must be taken so that their groups are contiguous; nil: a problem was noted.
  ///
  /// - Parameter name: of a tensor with the group of each column, which need not be there.
  mutating func order(_ name: String, columns: Int, groups: Int) -> ColumnOrder? {
    guard has(name) else { return ColumnOrder() }
    guard let indices = take(name, ["I32"], [columns]) else { return nil }
    let found = (0..<columns).map { indices.loadUnaligned($0, as: Int32.self) }
    // -1 throughout: not ordered at all.
    if found.allSatisfy({ $0 == -1 }) { return ColumnOrder() }
    var counts = [Int](repeating: 0, count: groups)
    for group in found where group >= 0 && group < groups { counts[Int(group)] += 1 }
    guard counts.allSatisfy({ $0 == columns / groups }) else {
      report("'\(name)' does not put \(columns / groups) of \(columns) columns into each of \(groups) groups.")
      return nil
    }
    return ColumnOrder(columns: BlockRepacking.order(groups: found, group: columns / groups))
  }

  /// Integers in `groups` groups a row; nil: a problem was noted, because blocks cannot have that size.
  mutating func integers(_ name: String, rows: Int, columns: Int, bits: Int, groups: Int) -> BlockRepacking.Shape? {
    guard groups > 0, columns > 0, columns % groups == 0, columns / groups % 32 == 0 else {
      report(
        "'\(name)' has \(groups) scales for rows of \(columns): groups must be equal and multiples of 32 elements.")
      return nil
    }
    return BlockRepacking.Shape(rows: rows, columns: columns, bits: bits, group: columns / groups)
  }
}

/// An order of columns.
struct ColumnOrder {
  /// The column of the file for each column of the blocks; nil: as they are.
  var columns: [Int]?

  func form(_ shape: BlockRepacking.Shape) -> StoredForm {
    columns.map { .orderedBlocks(shape.format, order: $0.map { Int32($0) }) } ?? .blocks(shape.format)
  }
}

extension MappedTensor {
  /// As scales of so many columns.
  ///
  /// - Precondition: they are float32, float16 or bfloat16.
  func scales(columns: Int) -> BlockRepacking.Scales { BlockRepacking.Scales(bytes, form!.element, columns: columns) }

  func loadUnaligned<T: BitwiseCopyable>(_ index: Int, as type: T.Type) -> T {
    bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: type)
  }

  /// Elements of a float type as float32.
  var floats: [Float] {
    let count = dimensions.reduce(1, *)
    return switch typeName {
    case "F16": (0..<count).map { Float(half: loadUnaligned($0, as: UInt16.self)) }
    case "BF16": (0..<count).map { Float(bfloat16: loadUnaligned($0, as: UInt16.self)) }
    default: (0..<count).map { loadUnaligned($0, as: Float.self) }
    }
  }
}
