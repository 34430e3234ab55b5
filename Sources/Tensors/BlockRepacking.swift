/// From the tensors of quantised checkpoints to rows of blocks: the same codes and scales in another order, never as floats.
///
/// Each function writes all rows of a `[rows, columns]` matrix (`y = x · wᵀ`) to `result`, which has
/// `rows · format.rowBytes(columns:)` bytes. What must hold of shapes is a precondition: readers of files check it first.
/// Scales of float16 and bfloat16 are kept exactly; of a float32 scale of integers the upper 15 bits are.
package enum BlockRepacking {
  /// Scales as they are stored, row-major.
  package struct Scales {
    let bytes: UnsafeRawBufferPointer
    let element: ElementType
    let columns: Int

    /// - Parameter element: float32, float16 or bfloat16.
    package init(_ bytes: UnsafeRawBufferPointer, _ element: ElementType, columns: Int) {
      precondition([.float32, .float16, .bfloat16].contains(element), "scales are floats, not \(element)")
      self.bytes = bytes
      self.element = element
      self.columns = columns
    }

    subscript(row: Int, column: Int) -> Float {
      let index = row * columns + column
      switch element {
      case .float16: return Float(half: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
      case .bfloat16: return Float(bfloat16: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
      default: return bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
      }
    }
  }

  /// The shape of a matrix of grouped integers.
  package struct Shape {
    let rows: Int
    let columns: Int
    let bits: Int
    /// Elements that share a scale; `columns` if a row has one.
    let group: Int

    package init(rows: Int, columns: Int, bits: Int, group: Int) {
      precondition(bits == 4 || bits == 8, "integers of \(bits) bits")
      precondition(group > 0 && group % 32 == 0 && columns % group == 0, "\(columns) columns in groups of \(group)")
      self.rows = rows
      self.columns = columns
      self.bits = bits
      self.group = group
    }

    package var format: BlockFormat {
      let group = group == columns ? nil : group
      return bits == 4 ? .int4(group: group) : .int8(group: group)
    }
  }

  // MARK: Integers

  /// GPTQ: `qweight` int32 [columns · bits / 32, rows] packed along the columns, `qzeros` int32 [groups, rows · bits / 32]
  /// packed along the rows, `scales` [groups, rows]; w = (q - z) scale. Frantar et al. (2022), arXiv:2210.17323.
  ///
  /// - Parameters:
  ///   - zeroOffset: added to stored zero points: 1, but 0 in files of `checkpoint_format: gptq_v2`.
  ///   - order: the column of the file for each column of the result (`desc_act`: columns sorted by their group); x must be
  ///     gathered by it.
  package static func gptq(
    _ shape: Shape, qweight: UnsafeRawBufferPointer, qzeros: UnsafeRawBufferPointer, scales: Scales,
    zeroOffset: Int = 1, order: [Int]? = nil, to result: UnsafeMutableRawBufferPointer
  ) {
    let (each, mask) = (32 / shape.bits, UInt32(1 << shape.bits - 1))
    precondition(qweight.count >= shape.columns / each * shape.rows * 4, "qweight has \(qweight.count) bytes")
    write(shape, to: result) { row, group in
      let packed = word(qzeros, group * (shape.rows / each) + row / each)
      return (scales[group, row], Int(packed >> UInt32(row % each * shape.bits) & mask) + zeroOffset)
    } code: { row, column in
      let source = order.map { $0[column] } ?? column
      let packed = word(qweight, source / each * shape.rows + row)
      return UInt8(truncatingIfNeeded: packed >> UInt32(source % each * shape.bits) & mask)
    }
  }

  /// The columns of a GPTQ file in the order of their groups (`g_idx`); nil if they are in it.
  package static func order(groups: [Int32], group: Int) -> [Int]? {
    let isSorted = groups.indices.allSatisfy { Int(groups[$0]) == $0 / group }
    return isSorted ? nil : groups.indices.sorted { (groups[$0], $0) < (groups[$1], $1) }
  }

  /// AWQ (`gemm`): `qweight` int32 [columns, rows / 8] and `qzeros` int32 [groups, rows / 8], packed along the rows in the
  /// order 0, 2, 4, 6, 1, 3, 5, 7, `scales` [groups, rows]; w = (q - z) scale. Lin et al. (2023), arXiv:2306.00978.
  package static func awq(
    _ shape: Shape, qweight: UnsafeRawBufferPointer, qzeros: UnsafeRawBufferPointer, scales: Scales,
    to result: UnsafeMutableRawBufferPointer
  ) {
    precondition(shape.bits == 4 && shape.rows % 8 == 0, "AWQ has four bits and rows in eights, not \(shape)")
    precondition(qweight.count >= shape.columns * shape.rows / 2, "qweight has \(qweight.count) bytes")
    func nibble(_ tensor: UnsafeRawBufferPointer, _ index: Int, _ row: Int) -> UInt32 {
      // Even rows in the lower half of the word, odd ones in the upper half.
      let place = row % 8 / 2 + row % 2 * 4
      return word(tensor, index * (shape.rows / 8) + row / 8) >> UInt32(4 * place) & 15
    }
    write(shape, to: result) { row, group in
      (scales[group, row], Int(nibble(qzeros, group, row)))
    } code: { row, column in
      UInt8(nibble(qweight, column, row))
    }
  }

  /// compressed-tensors' `pack-quantized`: `packed` int32 [rows, columns · bits / 32] of codes raised by half their range,
  /// `scales` [rows, groups], `zeros` int32 [rows · bits / 32, groups] packed along the rows and raised likewise (nil:
  /// symmetric); w = (q - z) scale.
  ///
  /// - Parameter order: as that of `gptq` (`actorder: group`).
  package static func packed(
    _ shape: Shape, packed: UnsafeRawBufferPointer, scales: Scales, zeros: UnsafeRawBufferPointer? = nil,
    order: [Int]? = nil, to result: UnsafeMutableRawBufferPointer
  ) {
    let (each, mask, half) = (32 / shape.bits, UInt32(1 << shape.bits - 1), 1 << (shape.bits - 1))
    let (words, groups) = (shape.columns / each, shape.columns / shape.group)
    precondition(packed.count >= shape.rows * words * 4, "packed weights have \(packed.count) bytes")
    write(shape, to: result) { row, group in
      let zero = zeros.map { word($0, row / each * groups + group) >> UInt32(row % each * shape.bits) & mask }
      return (scales[row, group], zero.map { Int($0) } ?? half)
    } code: { row, column in
      let source = order.map { $0[column] } ?? column
      let codes = word(packed, row * words + source / each)
      return UInt8(truncatingIfNeeded: codes >> UInt32(source % each * shape.bits) & mask)
    }
  }

  /// compressed-tensors' `int-quantized`: `weight` int8 [rows, columns], `scales` [rows, groups], `zeros` int8 likewise (nil:
  /// symmetric); w = (q - z) scale.
  package static func int8(
    _ shape: Shape, weight: UnsafeRawBufferPointer, scales: Scales, zeros: UnsafeRawBufferPointer? = nil,
    to result: UnsafeMutableRawBufferPointer
  ) {
    precondition(shape.bits == 8 && weight.count >= shape.rows * shape.columns, "weights have \(weight.count) bytes")
    let groups = shape.columns / shape.group
    write(shape, to: result) { row, group in
      (scales[row, group], 128 + (zeros.map { Int(Int8(bitPattern: $0[row * groups + group])) } ?? 0))
    } code: { row, column in
      weight[row * shape.columns + column] ^ 0x80
    }
  }

  /// Writes all groups; a few rows side by side, because some files keep rows side by side.
  @inline(__always)
  private static func write(
    _ shape: Shape, to result: UnsafeMutableRawBufferPointer, header: (_ row: Int, _ group: Int) -> (Float, Int),
    code: (_ row: Int, _ column: Int) -> UInt8
  ) {
    let rowBytes = shape.format.rowBytes(columns: shape.columns)!
    precondition(result.count == shape.rows * rowBytes, "\(result.count) bytes for \(shape)")
    let groupBytes = 4 + shape.group * shape.bits / 8
    for first in stride(from: 0, to: shape.rows, by: 16) {
      for group in 0..<(shape.columns / shape.group) {
        for row in first..<min(first + 16, shape.rows) {
          let (scale, zero) = header(row, group)
          precondition((0...511).contains(zero), "a zero point of \(zero)")
          let bits = (scale.bitPattern &+ 0x100) & ~0x1FF | UInt32(zero)
          result.storeBytes(of: bits.littleEndian, toByteOffset: row * rowBytes + group * groupBytes, as: UInt32.self)
        }
        for chunk in stride(from: 0, to: shape.group, by: 32) {
          let column = group * shape.group + chunk
          for row in first..<min(first + 16, shape.rows) {
            let start = row * rowBytes + group * groupBytes + 4
            if shape.bits == 8 {
              for j in 0..<32 { result[start + chunk + j] = code(row, column + j) }
            } else {
              for j in 0..<16 {
                result[start + chunk / 2 + j] = code(row, column + j) | code(row, column + j + 16) << 4
              }
            }
          }
        }
      }
    }
  }

  private static func word(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> UInt32 {
    UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
  }

  // MARK: Small floats

  /// bitsandbytes' NF4: two indices a byte, the first in the high half, over the matrix as one row of numbers.
  ///
  /// - Parameter absmax: of each `blockSize` (a multiple of 64) elements.
  package static func nf4(
    rows: Int, columns: Int, weight: UnsafeRawBufferPointer, absmax: [Float], blockSize: Int,
    to result: UnsafeMutableRawBufferPointer
  ) {
    precondition(blockSize % 64 == 0 && columns % 64 == 0, "\(columns) columns in blocks of \(blockSize)")
    precondition(weight.count * 2 >= rows * columns && result.count == rows * columns / 64 * 36, "sizes of NF4")
    for block in 0..<(rows * columns / 64) {
      let bits = absmax[block * 64 / blockSize].bitPattern.littleEndian
      result.storeBytes(of: bits, toByteOffset: 36 * block, as: UInt32.self)
      interleave(weight, 32 * block, firstIsLow: false, to: result, 36 * block + 4)
      interleave(weight, 32 * block + 16, firstIsLow: false, to: result, 36 * block + 20)
    }
  }

  /// The `absmax` of double-quantised NF4: `map[code] · scale + offset`, a scale for each `blockSize` codes.
  package static func nestedAbsmax(
    codes: UnsafeRawBufferPointer, map: [Float], scales: [Float], blockSize: Int, offset: Float
  ) -> [Float] {
    codes.indices.map { map[Int(codes[$0])] * scales[$0 / blockSize] + offset }
  }

  /// MXFP4 as gpt-oss has it: `blocks` of 16 bytes, the first of two neighbours in the low half, and a `scale` each.
  package static func mxfp4(
    rows: Int, columns: Int, blocks: UnsafeRawBufferPointer, scales: UnsafeRawBufferPointer,
    to result: UnsafeMutableRawBufferPointer
  ) {
    let count = rows * columns / 32
    precondition(columns % 32 == 0 && blocks.count >= 16 * count && scales.count >= count, "sizes of MXFP4")
    precondition(result.count == 17 * count, "\(result.count) bytes for \(count) blocks")
    for block in 0..<count {
      result[17 * block] = scales[block]
      interleave(blocks, 16 * block, firstIsLow: true, to: result, 17 * block + 1)
    }
  }

  /// 16 bytes of neighbours become 16 bytes of which the low halves come first.
  private static func interleave(
    _ source: UnsafeRawBufferPointer, _ from: Int, firstIsLow: Bool, to result: UnsafeMutableRawBufferPointer, _ to: Int
  ) {
    func element(_ i: Int) -> UInt8 {
      (i % 2 == 0) == firstIsLow ? source[from + i / 2] & 15 : source[from + i / 2] >> 4
    }
    for j in 0..<16 { result[to + j] = element(j) | element(j + 16) << 4 }
  }

  /// E4M3 weights [rows, columns] with a scale for each block of `rowsPerScale` x `columnsPerScale` (of DeepSeek 128 x 128;
  /// one scale for all, or one a row: as many as there are). Blocks of columns that do not divide a row are not possible.
  package static func fp8(
    rows: Int, columns: Int, weight: UnsafeRawBufferPointer, scales: Scales, rowsPerScale: Int, columnsPerScale: Int,
    to result: UnsafeMutableRawBufferPointer
  ) {
    let group = min(columns, columnsPerScale)
    precondition(columns % group == 0 && group % 32 == 0, "\(columns) columns in blocks of \(columnsPerScale)")
    precondition(
      weight.count >= rows * columns && result.count == rows * (columns / group) * (4 + group), "sizes of FP8")
    for row in 0..<rows {
      for block in 0..<(columns / group) {
        let place = (row * (columns / group) + block) * (4 + group)
        let bits = scales[row / rowsPerScale, block].bitPattern.littleEndian
        result.storeBytes(of: bits, toByteOffset: place, as: UInt32.self)
        result.baseAddress!.advanced(by: place + 4).copyMemory(
          from: weight.baseAddress! + row * columns + block * group, byteCount: group)
      }
    }
  }
}
