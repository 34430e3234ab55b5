// Weights as compressed-tensors writes them (vLLM's llm-compressor). What a module is, its tensors say:
//
//   pack-quantized    weight_packed i32 [outputs, inputs · bits / 32], weight_shape i64 [2], weight_scale [outputs, groups],
//                     weight_zero_point i32 [outputs · bits / 32, groups] if asymmetric, packed along the outputs;
//                     codes and zero points are stored plus half their range
//   int-quantized     weight i8 [outputs, inputs], weight_scale, weight_zero_point i8 if asymmetric
//   float-quantized   weight f8, weight_scale
//   mxfp4-pack-quantized  weight_packed u8 [outputs, inputs / 2], the first of two elements lowest, weight_scale u8, an
//                     exponent for each 32

internal import Core
internal import Networks
internal import Tensors

extension QuantizedTensors {
  mutating func unpackCompressedTensors(_ settings: inout ModelSettings) {
    let known = [
      "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mxfp4-pack-quantized",
      "mixed-precision", "dense",
    ]
    let groups = settings.object["config_groups"]?.object.map { $0.map(\.1) } ?? []
    for format in [settings.object["format"]] + groups.map({ $0["format"] }) {
      guard let format = format?.string, !known.contains(format) else { continue }
      settings.report("the format \"\(format)\" is not known, only \(known.joined(separator: ", ")).")
    }
    guard settings.problems.isEmpty else { return }
    let block =
      groups.lazy.compactMap { $0["weights"]?["block_structure"]?.array?.compactMap(\.integer) }.first ?? []
    for module in modules(with: "weight_packed") {
      if all[module + ".weight_packed"]?.typeName == "U8" { unpackMXFP4(module) } else { unpackPacked(module) }
    }
    for module in modules(with: "weight_scale") {
      switch all[module + ".weight"]?.typeName {
      case "I8": unpackInt8(module)
      default: unpackFP8(module, scales: "weight_scale", block: block)
      }
    }
    for suffix in ["k_scale", "v_scale", "q_scale", "input_scale", "input_zero_point", "output_scale"] {
      for module in modules(with: suffix) { drop("\(module).\(suffix)") }
    }
  }

  private mutating func unpackPacked(_ module: String) {
    guard let codes = take(module + ".weight_packed", ["I32"]), let scales = takeFloats(module + ".weight_scale"),
      let shape = take(module + ".weight_shape", ["I64", "I32"], [2])
    else { return }
    let sizes = (0..<2).map { index in
      shape.typeName == "I64"
        ? Int(shape.loadUnaligned(index, as: Int64.self)) : Int(shape.loadUnaligned(index, as: Int32.self))
    }
    let (rows, columns) = (sizes[0], sizes[1])
    guard codes.dimensions.count == 2, codes.dimensions[0] == rows, rows > 0, columns > 0, columns % 32 == 0,
      let bits = [4, 8].first(where: { columns / (32 / $0) == codes.dimensions[1] }),
      scales.dimensions.count == 2, scales.dimensions[0] == rows
    else {
      return report(
        "'\(module)' is of the shape \(sizes) with codes of \(codes.dimensions) and scales of \(scales.dimensions): only 4 and "
          + "8 bits and rows of multiples of 32 are supported.")
    }
    let groups = scales.dimensions[1]
    guard let form = integers(module, rows: rows, columns: columns, bits: bits, groups: groups),
      let order = order(module + ".weight_g_idx", columns: columns, groups: groups)
    else { return }
    let perWord = 32 / bits
    var zeros: MappedTensor?
    if has(module + ".weight_zero_point") {
      zeros = take(module + ".weight_zero_point", ["I32"], [(rows + perWord - 1) / perWord, groups])
      if zeros == nil { return }
    }
    add(module + ".weight", order.form(form), rows: rows, columns: columns) { result in
      BlockRepacking.packed(
        form, packed: codes.bytes, scales: scales.scales(columns: groups), zeros: zeros?.bytes, order: order.columns,
        to: result)
    }
  }

  private mutating func unpackInt8(_ module: String) {
    guard let codes = take(module + ".weight", ["I8"]), let scales = takeFloats(module + ".weight_scale") else {
      return
    }
    let (matrix, grid) = (codes.dimensions, scales.dimensions)
    guard matrix.count == 2, matrix.allSatisfy({ $0 > 0 }), grid.first == matrix[0], grid.count <= 2,
      let shape = integers(module, rows: matrix[0], columns: matrix[1], bits: 8, groups: grid.count == 2 ? grid[1] : 1)
    else { return report("'\(module)' is a matrix of the shape \(matrix) with scales of \(grid).") }
    var zeros: MappedTensor?
    if has(module + ".weight_zero_point") {
      zeros = take(module + ".weight_zero_point", ["I8"], grid)
      if zeros == nil { return }
    }
    add(module + ".weight", .blocks(shape.format), rows: matrix[0], columns: matrix[1]) { result in
      BlockRepacking.int8(
        shape, weight: codes.bytes, scales: scales.scales(columns: grid.count == 2 ? grid[1] : 1), zeros: zeros?.bytes,
        to: result)
    }
  }

  private mutating func unpackMXFP4(_ module: String) {
    guard let codes = take(module + ".weight_packed", ["U8"]) else { return }
    guard !has(module + ".weight_global_scale") else {
      return report("'\(module)' is in NVFP4, which this program does not compute with.")
    }
    guard codes.dimensions.count == 2, codes.dimensions[1] % 16 == 0,
      let scales = take(
        module + ".weight_scale", ["U8", "F8_E8M0"], [codes.dimensions[0], codes.dimensions[1] / 16])
    else { return report("'\(module).weight_packed' has the shape \(codes.dimensions): rows must be multiples of 32.") }
    let (rows, columns) = (codes.dimensions[0], codes.dimensions[1] * 2)
    add(module + ".weight", .blocks(.mxfp4), rows: rows, columns: columns) { result in
      BlockRepacking.mxfp4(rows: rows, columns: columns, blocks: codes.bytes, scales: scales.bytes, to: result)
    }
  }
}
