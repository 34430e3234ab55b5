// Weights in bitsandbytes' NF4 (Dettmers et al., 2023, arXiv:2305.14314):
//
//   weight            u8 [outputs · inputs / 2, 1]   two elements in a byte, the first one highest
//   weight.absmax     f32 [blocks], or u8 if the scales are quantised, too
//   weight.quant_map  f32 [16]
//   weight.nested_absmax f32 [blocks / 256], weight.nested_quant_map f32 [256]
//   weight.quant_state.bitsandbytes__nf4   JSON: shape, blocksize, nested_offset, ...
//   weight = quant_map[code] · absmax, where a quantised absmax is nested_quant_map[code] · nested_absmax + nested_offset

internal import Core
internal import Networks
internal import Tensors

extension QuantizedTensors {
  mutating func unpackBitsAndBytes(_ settings: inout ModelSettings) {
    if settings.flag("load_in_8bit", default: false) {
      settings.report("'load_in_8bit' is true, but only NF4 is supported.")
    }
    let type = settings.object["bnb_4bit_quant_type"]?.string
    if let type, type != "nf4" {
      settings.report("'bnb_4bit_quant_type' is \"\(type)\", but only \"nf4\" is supported.")
    }
    guard settings.problems.isEmpty else { return }
    for module in modules(with: "weight.quant_state.bitsandbytes__nf4") { unpackNF4(module + ".weight") }
  }

  private mutating func unpackNF4(_ name: String) {
    guard let text = take(name + ".quant_state.bitsandbytes__nf4", ["U8"]), let codes = take(name, ["U8"]) else {
      return
    }
    let state = try? JSONValue(parsing: text.bytes)
    let shape = state?["shape"]?.array?.compactMap(\.integer) ?? []
    let size = state?["blocksize"]?.integer ?? 0
    guard shape.count == 2, let type = Checked(shape), size >= 64, size % 64 == 0, shape[1] % size == 0,
      type.count == codes.bytes.count * 2
    else {
      return report(
        "'\(name)' is of the shape \(shape) in blocks of \(size): rows must be whole blocks of a multiple of 64.")
    }
    guard let absmax = blockMaxima(name, state, count: type.count / size),
      let map = takeFloats(name + ".quant_map", [16])
    else { return }
    guard zip(map.floats, normalFloats).allSatisfy({ abs($0 - $1) < 1e-6 }) else {
      return report("'\(name).quant_map' is not that of NF4.")
    }
    add(name, .blocks(.nf4), rows: shape[0], columns: shape[1]) { result in
      BlockRepacking.nf4(
        rows: shape[0], columns: shape[1], weight: codes.bytes, absmax: absmax, blockSize: size, to: result)
    }
  }

  private mutating func blockMaxima(_ name: String, _ state: JSONValue?, count: Int) -> [Float]? {
    guard has(name + ".nested_absmax") else { return takeFloats(name + ".absmax", [count])?.floats }
    let size = state?["nested_blocksize"]?.integer ?? 0
    guard size > 0, let offset = state?["nested_offset"]?.double,
      let codes = take(name + ".absmax", ["U8"], [count]),
      let outer = takeFloats(name + ".nested_absmax", [(count + size - 1) / size]),
      let map = takeFloats(name + ".nested_quant_map", [256])
    else {
      report("'\(name)' has scales that are quantised, but not all that they need.")
      return nil
    }
    return BlockRepacking.nestedAbsmax(
      codes: codes.bytes, map: map.floats, scales: outer.floats, blockSize: size, offset: Float(offset))
  }
}

/// The number of elements of a shape that was read, if there is such a number.
private struct Checked {
  let count: Int

  init?(_ shape: [Int]) {
    var count = 1
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if size <= 0 || overflow { return nil }
      count = product
    }
    self.count = count
  }
}

/// The code book of NF4.
private let normalFloats: [Float] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022833252,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]
