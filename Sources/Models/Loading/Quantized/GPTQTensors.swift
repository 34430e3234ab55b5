// Weights as AutoGPTQ and GPTQModel write them (Frantar et al., 2022, arXiv:2210.17323):
//
//   qweight i32 [inputs · bits / 32, outputs]   codes along the inputs, the first one lowest
//   qzeros  i32 [groups, outputs · bits / 32]   along the outputs; less one in version 1
//   scales  f16 [groups, outputs]
//   g_idx   i32 [inputs]                        the group of each input
//   weight = scale · (code - zero)
//
// Where inputs were ordered by activation (desc_act), groups are not contiguous: such weights have no form in blocks and
// are expanded to float16, as precise as what other programs compute with.

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
    var order: [Int]?
    let size = (inputs + groups - 1) / groups
    if has(module + ".g_idx") {
      guard let indices = take(module + ".g_idx", ["I32"], [inputs]) else { return }
      let found = (0..<inputs).map { Int(indices.loadUnaligned($0, as: Int32.self)) }
      guard found.allSatisfy({ (0..<groups).contains($0) }) else {
        return report("'\(module).g_idx' names groups that are not there; there are \(groups).")
      }
      if found.indices.contains(where: { found[$0] != $0 / size }) { order = found }
    }
    if let order {
      return expand(module, codes, zeros, scales, order, bits: bits, offset: offset)
    }
    guard let shape = integers(module, rows: outputs, columns: inputs, bits: bits, groups: groups) else { return }
    add(module + ".weight", .blocks(shape.format), rows: outputs, columns: inputs) { result in
      BlockRepacking.gptq(
        shape, qweight: codes.bytes, qzeros: zeros.bytes, scales: scales.scales(columns: outputs), zeroOffset: offset,
        to: result)
    }
  }

  /// Adds a weight in float16.
  ///
  /// - Parameter order: the group of each input.
  private mutating func expand(
    _ module: String, _ codes: MappedTensor, _ zeros: MappedTensor, _ scales: MappedTensor, _ order: [Int], bits: Int,
    offset: Int
  ) {
    let (perWord, inputs, outputs) = (32 / bits, order.count, scales.dimensions[1])
    let mask = UInt32(1 << bits - 1)
    let values = scales.floats
    add(module + ".weight", .dense(.float16), rows: outputs, columns: inputs) { result in
      let result = result.assumingMemoryBound(to: UInt16.self)
      for row in 0..<outputs {
        let shift = UInt32(row % perWord * bits)
        for column in 0..<inputs {
          let group = order[column]
          let word = codes.loadUnaligned(column / perWord * outputs + row, as: UInt32.self)
          let code = Int(word >> UInt32(column % perWord * bits) & mask)
          let zeroWord = zeros.loadUnaligned(group * (outputs / perWord) + row / perWord, as: UInt32.self)
          let zero = Int(zeroWord >> shift & mask) + offset
          result[row * inputs + column] = (values[group * outputs + row] * Float(code - zero)).half
        }
      }
    }
  }
}
