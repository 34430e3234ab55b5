// Between MXFP4 as gpt-oss's files hold it and blocks as products and GGUF files have them: the same bytes in another order.
//
// In gpt-oss's files, `_blocks` [experts, rows, blocks, 16] has two neighbouring elements in a byte, the first in its low half,
// and `_scales` [experts, rows, blocks] the exponents. A block that products read is its exponent and 16 bytes with elements j
// and j + 16 in byte j.

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

/// The way back, expert by expert: of each matrix in turns a row of `_blocks`, or of `_scales`.
///
/// - Parameter matrices: of one shape, [experts, rows, columns].
func unpackedMXFP4(
  _ matrices: [MappedTensor], scales: Bool, to emit: (UnsafeRawBufferPointer) throws -> Void
) rethrows {
  let (experts, rows, blocksPerRow) = (
    matrices[0].dimensions[0], matrices[0].dimensions[1], matrices[0].dimensions[2] / 32
  )
  for expert in 0..<experts {
    var result: [UInt8] = []
    result.reserveCapacity(rows * matrices.count * blocksPerRow * (scales ? 1 : 16))
    for row in 0..<rows {
      for matrix in matrices {
        let first = (expert * rows + row) * blocksPerRow
        for block in first..<(first + blocksPerRow) {
          let bytes = matrix.bytes[(17 * block)..<(17 * block + 17)]
          if scales {
            result.append(bytes.first!)
            continue
          }
          let codes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
          for i in 0..<8 { result.append(codes[2 * i] & 0xF | codes[2 * i + 1] << 4) }
          for i in 0..<8 { result.append(codes[2 * i] >> 4 | codes[2 * i + 1] & 0xF0) }
        }
      }
    }
    try result.withUnsafeBytes(emit)
  }
}
