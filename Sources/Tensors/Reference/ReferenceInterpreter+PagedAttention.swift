internal import Core

/// Attention to pages in the reference: one row and head after another, each key looked up in the row's table.
extension ReferenceInterpreter {
  static func pagedAttention(_ paged: PagedAttention, _ inputs: [ReferenceValue], _ type: TensorType) -> ReferenceValue
  {
    let (q, k) = (inputs[0], inputs[1])
    let (heads, size, keyHeads) = (q.shape[1], q.shape[2], k.shape[1])
    let keys = stored(k, paged.scalesIndex.map { inputs[$0] })
    let values = stored(inputs[2], paged.scalesIndex.map { inputs[$0 + 1] })
    let sinks = paged.sinksIndex.map { inputs[$0].floats }
    let tables = inputs[5]
    let (sequences, width, blocks) = (tables.shape[0], tables.shape[1], k.shape[0] / paged.blockSize)

    /// Where a position of a sequence lies; nil: nowhere, which is read as zeros.
    func slot(_ sequence: Int, _ position: Int) -> Int? {
      let block = Int(tables.integers[sequence * width + position / paged.blockSize])
      return (0..<blocks).contains(block) ? block * paged.blockSize + position % paged.blockSize : nil
    }

    var output = [Double](repeating: 0, count: type.shape.count)
    for row in 0..<q.shape[0] {
      let (sequence, position) = (Int(inputs[4].integers[row]), Int(inputs[3].integers[row]))
      let isKnown = (0..<sequences).contains(sequence)
      let seen = isKnown ? paged.visible(from: position, of: width * paged.blockSize) : 0..<0
      let slots = seen.map { slot(sequence, $0) }
      for h in 0..<heads {
        let first = (row * heads + h) * size
        func start(_ slot: Int) -> Int { (slot * keyHeads + h / (heads / keyHeads)) * size }
        let logits = slots.map { slot in
          let product = slot.map { s in (0..<size).reduce(0.0) { $0 + q.floats[first + $1] * keys[start(s) + $1] } }
          return capped(paged.scale * (product ?? 0), paged.softcap).0
        }
        let total = logSumExp(logits + (sinks.map { [$0[h]] } ?? []))
        for (slot, logit) in zip(slots, logits) {
          guard let slot else { continue }
          for i in 0..<size { output[first + i] += exp(logit - total) * values[start(slot) + i] }
        }
      }
    }
    return ReferenceValue(type, floats: output)
  }

  /// Keys or values, with the factors of those that are int8.
  private static func stored(_ values: ReferenceValue, _ scales: ReferenceValue?) -> [Double] {
    guard let scales else { return values.floats }
    return values.integers.enumerated().map { Double($1) * scales.floats[$0 / values.shape[2]] }
  }
}
