// Weights as AutoGPTQ and GPTQModel write them (Frantar et al., 2022, arXiv:2210.17323):
//
//   qweight i32 [inputs · bits / 32, outputs]   codes along the inputs, the first one lowest
//   qzeros  i32 [groups, outputs · bits / 32]   along the outputs; less one in version 1
//   scales  f16 [groups, outputs]
//   g_idx   i32 [inputs]                        the group of each input
//   weight = scale · (code - zero)
//
// Where inputs were ordered by activation (desc_act), the groups of a row are scattered over it. The columns are sorted by
// their groups, and products gather activations in that order.

internal import Core
internal import Networks
internal import Tensors

extension QuantizedTensors {
  mutating func unpackGPTQ(_ settings: inout ModelSettings) {
    let bits = settings.size("bits")
    if bits != 4 && bits != 8 { settings.report("'bits' is \(bits), but only 4 and 8 are supported.") }
    if settings.object["dynamic"]?.object?.isEmpty == false {
      settings.report("'dynamic' sets modules apart from each other, which is not supported.")
    }
    let isSecond = settings.object["checkpoint_format"]?.string == "gptq_v2"
    guard settings.problems.isEmpty else { return }
    for module in modules(with: "qweight") { unpackGPTQ(module, bits: bits, offset: isSecond ? 0 : 1) }
  }

  private mutating func unpackGPTQ(_ module: String, bits: Int, offset: Int) {
    let perWord = 32 / bits
    guard let codes = take(module + ".qweight", ["I32"]), let scales = takeFloats(module + ".scales") else { return }
    guard codes.dimensions.count == 2, scales.dimensions.count == 2, scales.dimensions[1] == codes.dimensions[1],
      scales.dimensions[1] % perWord == 0, scales.dimensions[0] > 0, codes.dimensions[0] > 0
    else {
      return report("'\(module)' has codes of the shape \(codes.dimensions) and scales of \(scales.dimensions).")
    }
    let (inputs, outputs, groups) = (codes.dimensions[0] * perWord, scales.dimensions[1], scales.dimensions[0])
    guard let zeros = take(module + ".qzeros", ["I32"], [groups, outputs / perWord]) else { return }
    guard let shape = integers(module, rows: outputs, columns: inputs, bits: bits, groups: groups),
      let order = order(module + ".g_idx", columns: inputs, groups: groups)
    else { return }
    add(module + ".weight", order.form(shape), rows: outputs, columns: inputs) { result in
      BlockRepacking.gptq(
        shape, qweight: codes.bytes, qzeros: zeros.bytes, scales: scales.scales(columns: outputs), zeroOffset: offset,
        order: order.columns, to: result)
    }
  }
}
