// From MXFP4 as gpt-oss's files hold it to blocks as products read them: the same bytes in another order.
//
// In the files, `_blocks` [experts, rows, blocks, 16] has two neighbouring elements in a byte, the first in its low half, and
// `_scales` [experts, rows, blocks] the exponents. A block that products read is its exponent and 16 bytes with elements j and
// j + 16 in byte j.

internal import Tensors

/// Some rows of each expert's matrix: uint8 [experts, rows, 17 bytes for each 32 columns].
func packedMXFP4(blocks: MappedTensor, scales: MappedTensor, _ rows: TensorSlices) -> TensorData {
  let (experts, stored, blocksPerRow) = (rows.shape[0], rows.shape[1], rows.shape[2] / 32)
  let chosen = Array(stride(from: rows.range.lowerBound, to: rows.range.upperBound, by: rows.step))
  let result = TensorData(TensorType(.uint8, [experts, chosen.count, 17 * blocksPerRow]))
  var target = result.bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
  for expert in 0..<experts {
    for row in chosen {
      let first = (expert * stored + row) * blocksPerRow
      for block in first..<(first + blocksPerRow) {
        target[0] = scales.bytes[block]
        for i in 0..<8 {
          let (low, high) = (blocks.bytes[16 * block + i], blocks.bytes[16 * block + 8 + i])
          target[1 + 2 * i] = low & 0xF | high << 4
          target[2 + 2 * i] = low >> 4 | high & 0xF0
        }
        target += 17
      }
    }
  }
  return result
}
