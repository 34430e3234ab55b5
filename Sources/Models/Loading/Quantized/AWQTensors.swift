// Weights as AutoAWQ writes them in its "gemm" layout (Lin et al., 2023, arXiv:2306.00978):
//
//   qweight i32 [inputs, outputs / 8]   8 outputs in a word, in the order 0 2 4 6 1 3 5 7 from the lowest four bits
//   qzeros  i32 [groups, outputs / 8]   in the same order
//   scales  f16 [groups, outputs]
//   weight = scale · (code - zero)

internal import Core
internal import Networks
internal import Tensors

extension QuantizedTensors {
  mutating func unpackAWQ(_ settings: inout ModelSettings) {
    let bits = settings.size("bits", default: settings.size("w_bit", default: 4))
    if bits != 4 { settings.report("'bits' is \(bits), but only 4 is supported.") }
    if let version = settings.object["version"]?.string, version.lowercased() != "gemm" {
      settings.report("'version' is \"\(version)\", but only \"gemm\" is supported.")
    }
    guard settings.problems.isEmpty else { return }
    for module in modules(with: "qweight") { unpackAWQ(module) }
  }

  private mutating func unpackAWQ(_ module: String) {
    guard let codes = take(module + ".qweight", ["I32"]), let scales = takeFloats(module + ".scales") else { return }
    guard codes.dimensions.count == 2, scales.dimensions.count == 2, scales.dimensions[1] == codes.dimensions[1] * 8
    else {
      return report("'\(module)' has codes of the shape \(codes.dimensions) and scales of \(scales.dimensions).")
    }
    let (inputs, outputs, groups) = (codes.dimensions[0], scales.dimensions[1], scales.dimensions[0])
    guard let zeros = take(module + ".qzeros", ["I32"], [groups, outputs / 8]),
      let shape = integers(module, rows: outputs, columns: inputs, bits: 4, groups: groups)
    else { return }
    add(module + ".weight", .blocks(shape.format), rows: outputs, columns: inputs) { result in
      BlockRepacking.awq(
        shape, qweight: codes.bytes, qzeros: zeros.bytes, scales: scales.scales(columns: outputs), to: result)
    }
  }
}
