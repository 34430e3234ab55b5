/// What weights in blocks mean, element by element: the definition of every `BlockFormat`.
extension ReferenceInterpreter {
  /// `blocks` of uint8 as numbers, rounded to float32 and then to the type of the result.
  static func dequantize(_ format: BlockFormat, _ blocks: ReferenceValue, _ result: TensorType) -> ReferenceValue {
    let values = dequantized(format, blocks, columns: result.shape[-1])
    return ReferenceValue(result, floats: values.map(result.element.rounded))
  }

  /// `x · wᵀ` for each matrix of blocks.
  static func blockMatmul(_ matmul: BlockMatmul, _ x: ReferenceValue, _ blocks: ReferenceValue, _ result: TensorType)
    -> ReferenceValue
  {
    let (k, n) = (x.shape[-1], result.shape[-1])
    let weights = dequantized(matmul.format, blocks, columns: k)
    let activations = matmul.exact || !matmul.format.isInteger ? x.floats : asInt8(x.floats, columns: k)
    // Rows of x that meet one matrix of blocks.
    let matrices = blocks.shape.dimensions.dropLast(2).reduce(1, *)
    let rows = result.shape.dimensions.dropLast().reduce(1, *)
    let rowsPerMatrix = matrices == 0 ? 0 : rows / matrices
    var sums: [Double] = []
    for row in 0..<rows {
      let matrix = row / max(1, rowsPerMatrix)
      for column in 0..<n {
        let start = (matrix * n + column) * k
        sums.append((0..<k).reduce(0.0) { $0 + activations[row * k + $1] * weights[start + $1] })
      }
    }
    return ReferenceValue(result, floats: sums)
  }

  /// Each 32 elements of a row as the nearest multiples of their largest magnitude / 127.
  static func asInt8(_ values: [Double], columns: Int) -> [Double] {
    var result = values
    for start in stride(from: 0, to: values.count, by: 32) {
      let range = start..<min(start + 32, values.count)
      let largest = Float(values[range].map(abs).max()!)
      let scale = largest > 0x1p-100 ? largest / 127 : 0
      let inverse = largest > 0x1p-100 ? 127 / largest : 0
      for index in range {
        result[index] = Double((Float(values[index]) * inverse).rounded(.toNearestOrEven)) * Double(scale)
      }
    }
    return result
  }

  /// The elements of rows of blocks.
  static func dequantized(_ format: BlockFormat, _ blocks: ReferenceValue, columns: Int) -> [Double] {
    let rowBytes = blocks.shape[-1]
    let rows = rowBytes == 0 ? 0 : blocks.count / rowBytes
    var values: [Double] = []
    for row in 0..<rows {
      let reader = BlockRow(
        format: format, columns: columns,
        bytes: blocks.integers[(row * rowBytes)..<((row + 1) * rowBytes)].map { Int($0) })
      values += (0..<columns).map { Double(Float(reader[$0])) }
    }
    return values
  }
}

/// One row of blocks, read an element at a time.
private struct BlockRow {
  let format: BlockFormat
  let columns: Int
  let bytes: [Int]

  subscript(column: Int) -> Double {
    let group = format.group(columns: columns)
    let start = column / group * (bytes.count / (columns / group))
    return element(column % group, start)
  }

  /// Element `i` of the block that begins at byte `p`.
  private func element(_ i: Int, _ p: Int) -> Double {
    switch format {
    case .q40: half(p) * Double(nibble(i, p + 2) - 8)
    case .q41: half(p) * Double(nibble(i, p + 4)) + half(p + 2)
    case .q50: half(p) * Double((nibble(i, p + 6) | bit(i, p + 2) << 4) - 16)
    case .q51: half(p) * Double(nibble(i, p + 8) | bit(i, p + 4) << 4) + half(p + 2)
    case .q80: half(p) * Double(signed(p + 2 + i))
    case .q2K: q2K(i, p)
    case .q3K: q3K(i, p)
    case .q4K: k4(i, p, nibble64(i, p + 16))
    case .q5K: k4(i, p, nibble64(i, p + 48) | (bytes[p + 16 + i % 32] >> (i / 32) & 1) << 4)
    case .q6K: q6K(i, p)
    case .iq4NL: half(p) * Double(Self.iq4[nibble(i, p + 2)])
    case .iq4XS: iq4XS(i, p)
    case .mxfp4: exponential(bytes[p]) * Self.e2m1[nibble(i, p + 1)]
    case .int4: header(p).scale * Double(nibble(i % 32, p + 4 + i / 32 * 16) - header(p).zero)
    case .int8: header(p).scale * Double(bytes[p + 4 + i] - header(p).zero)
    case .nf4: single(p) * Self.nf4[nibble(i % 32, p + 4 + i / 32 * 16)]
    case .fp8E4M3: single(p) * Self.e4m3(bytes[p + 4 + i])
    }
  }

  // MARK: Fields

  private func half(_ p: Int) -> Double { Double(Float(half: UInt16(bytes[p] | bytes[p + 1] << 8))) }
  private func word(_ p: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[p + $1]) << UInt32(8 * $1) } }
  private func single(_ p: Int) -> Double { Double(Float(bitPattern: word(p))) }
  private func signed(_ p: Int) -> Int { bytes[p] - (bytes[p] > 127 ? 256 : 0) }
  private func bit(_ i: Int, _ p: Int) -> Int { bytes[p + i / 8] >> (i % 8) & 1 }

  /// Of 32: the low halves of 16 bytes, then the high ones.
  private func nibble(_ i: Int, _ p: Int) -> Int { i < 16 ? bytes[p + i] & 15 : bytes[p + i - 16] >> 4 }

  /// Of 64s: the low halves of 32 bytes, then the high ones.
  private func nibble64(_ i: Int, _ p: Int) -> Int {
    bytes[p + i / 64 * 32 + i % 32] >> (i % 64 < 32 ? 0 : 4) & 15
  }

  private func header(_ p: Int) -> (scale: Double, zero: Int) {
    let word = word(p)
    return (Double(Float(bitPattern: word & ~0x1FF)), Int(word & 0x1FF))
  }

  // MARK: Blocks of 256

  private func q2K(_ i: Int, _ p: Int) -> Double {
    let scales = bytes[p + i / 16]
    let code = bytes[p + 16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
    return half(p + 80) * Double(scales & 15) * Double(code) - half(p + 82) * Double(scales >> 4)
  }

  private func q3K(_ i: Int, _ p: Int) -> Double {
    let sub = i / 16
    let low = sub < 8 ? bytes[p + 96 + sub] & 15 : bytes[p + 88 + sub] >> 4
    let high = bytes[p + 104 + sub % 4] >> (sub / 4 * 2) & 3
    let code = bytes[p + 32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
    let fourth = bytes[p + i % 32] >> (i / 32) & 1
    return half(p + 108) * Double((low | high << 4) - 32) * Double((code | fourth << 2) - 4)
  }

  /// Q4_K and Q5_K: scales and minimums of 6 bits in 12 bytes.
  private func k4(_ i: Int, _ p: Int, _ code: Int) -> Double {
    let (sub, s) = (i / 32, p + 4)
    let scale = sub < 4 ? bytes[s + sub] & 63 : (bytes[s + sub + 4] & 15) | (bytes[s + sub - 4] >> 6) << 4
    let least = sub < 4 ? bytes[s + sub + 4] & 63 : bytes[s + sub + 4] >> 4 | (bytes[s + sub] >> 6) << 4
    return half(p) * Double(scale) * Double(code) - half(p + 2) * Double(least)
  }

  private func q6K(_ i: Int, _ p: Int) -> Double {
    let (part, quarter, l) = (i / 128, i % 128 / 32, i % 32)
    let low = bytes[p + 64 * part + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15
    let high = bytes[p + 128 + 32 * part + l] >> (2 * quarter) & 3
    return half(p + 208) * Double(signed(p + 192 + i / 16)) * Double((low | high << 4) - 32)
  }

  private func iq4XS(_ i: Int, _ p: Int) -> Double {
    let sub = i / 32
    let low = bytes[p + 4 + sub / 2] >> (sub % 2 * 4) & 15
    let high = (bytes[p + 2] | bytes[p + 3] << 8) >> (2 * sub) & 3
    let value = Self.iq4[nibble(i % 32, p + 8 + 16 * sub)]
    return half(p) * Double((low | high << 4) - 32) * Double(value)
  }

  // MARK: Small floats

  /// 2^(e - 127), the scale of the OCP formats.
  private func exponential(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent - 127, significand: 1) }

  private static let e2m1: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]
  private static let iq4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
  private static let nf4: [Double] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ].map { (value: Float) in Double(value) }

  private static func e4m3(_ byte: Int) -> Double {
    let (exponent, fraction) = (byte >> 3 & 15, Double(byte & 7) / 8)
    if byte & 0x7F == 0x7F { return .nan }
    let magnitude =
      exponent == 0
      ? Double(sign: .plus, exponent: -6, significand: 1) * fraction
      : Double(sign: .plus, exponent: exponent - 7, significand: 1 + fraction)
    return byte & 0x80 == 0 ? magnitude : -magnitude
  }
}
