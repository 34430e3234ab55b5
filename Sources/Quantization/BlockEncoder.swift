// Rounding to nearest into every format of blocks: the scale of a block is chosen from its numbers alone.
//
// Q4_0 to Q8_0 and MXFP4 have one rule, that of llama.cpp, and give its bits; formats with room for choice (IQ4_NL, the
// blocks of 256) search the scales whose squared error is least.

package import Tensors

/// Encodes rows of numbers.
package enum BlockEncoder {
  /// The blocks of `[rows, columns]` values: uint8 [rows, row bytes].
  ///
  /// - Precondition: rows are whole blocks, and the format is any but IQ4_XS.
  package static func blocks(
    of values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, _ format: BlockFormat
  ) -> TensorData {
    precondition(values.count == rows * columns, "\(values.count) values for [\(rows), \(columns)]")
    switch format {
    case .int4(let group), .int8(let group):
      let isInt4 = if case .int4 = format { true } else { false }
      let scheme = IntegerMatrix.Scheme(bits: isInt4 ? 4 : 8, group: group, isSymmetric: !isInt4)
      return IntegerMatrix(rounding: values, rows: rows, columns: columns, scheme).blocks
    default: break
    }
    guard let rowBytes = format.rowBytes(columns: columns) else {
      preconditionFailure("\(columns) columns are not whole blocks of \(format.name)")
    }
    let result = TensorData(TensorType(.uint8, [rows, rowBytes]))
    let elements = format.block?.elements ?? columns
    let bytes = rowBytes / (columns / elements)
    for block in 0..<(values.count / elements) {
      let x = UnsafeBufferPointer(rebasing: values[(block * elements)..<((block + 1) * elements)])
      encode(x, format, UnsafeMutableRawBufferPointer(rebasing: result.bytes[(block * bytes)..<((block + 1) * bytes)]))
    }
    return result
  }

  private static func encode(
    _ x: UnsafeBufferPointer<Float>, _ format: BlockFormat, _ out: UnsafeMutableRawBufferPointer
  ) {
    switch format {
    case .q40: signed(x, half: 8, out)
    case .q50: signed(x, half: 16, out)
    case .q41: affine(x, most: 15, out)
    case .q51: affine(x, most: 31, out)
    case .q80: q80(x, out)
    case .iq4NL: iq4(x, out)
    case .mxfp4: mxfp4(x, out)
    case .nf4: nf4(x, out)
    case .fp8E4M3: fp8(x, out)
    case .q2K: KBlocks.q2(x, out)
    case .q3K: KBlocks.q3(x, out)
    case .q4K: KBlocks.q45(x, fifthBit: false, out)
    case .q5K: KBlocks.q45(x, fifthBit: true, out)
    case .q6K: KBlocks.q6(x, out)
    default: preconditionFailure("nothing is rounded to \(format.name)")
    }
  }

  // MARK: Integers

  /// Q4_0 and Q5_0: the number of the largest magnitude becomes the lowest code.
  private static func signed(_ x: UnsafeBufferPointer<Float>, half: Int, _ out: UnsafeMutableRawBufferPointer) {
    let d = x.largest / Float(-half)
    let inverse = d == 0 ? 0 : 1 / d
    let codes = x.map { UInt8(min(max($0 * inverse + (Float(half) + 0.5), 0), Float(2 * half - 1))) }
    out.storeBytes(of: d.half.littleEndian, as: UInt16.self)
    nibbles(codes, out, at: half == 16 ? 6 : 2)
    if half == 16 { fifthBits(codes, out, at: 2) }
  }

  /// Q4_1 and Q5_1: a minimum and steps above it.
  private static func affine(_ x: UnsafeBufferPointer<Float>, most: Int, _ out: UnsafeMutableRawBufferPointer) {
    let (low, high) = (x.min()!, x.max()!)
    let d = (high - low) / Float(most)
    let inverse = d == 0 ? 0 : 1 / d
    let codes = x.map { UInt8(min(($0 - low) * inverse + 0.5, Float(most))) }
    out.storeBytes(of: d.half.littleEndian, as: UInt16.self)
    out.storeBytes(of: low.half.littleEndian, toByteOffset: 2, as: UInt16.self)
    nibbles(codes, out, at: most == 31 ? 8 : 4)
    if most == 31 { fifthBits(codes, out, at: 4) }
  }

  private static func q80(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let d = abs(x.largest) / 127
    let inverse = d == 0 ? 0 : 1 / d
    out.storeBytes(of: d.half.littleEndian, as: UInt16.self)
    for j in x.indices {
      let code = Int8((x[j] * inverse).rounded(.toNearestOrAwayFromZero))
      out.storeBytes(of: code, toByteOffset: 2 + j, as: Int8.self)
    }
  }

  /// Of each 32 codes the first 16 in low halves, the others in high ones.
  private static func nibbles(_ codes: [UInt8], _ out: UnsafeMutableRawBufferPointer, at start: Int) {
    for j in 0..<(codes.count / 2) {
      let first = j / 16 * 32 + j % 16
      out[start + j] = codes[first] & 15 | codes[first + 16] << 4
    }
  }

  private static func fifthBits(_ codes: [UInt8], _ out: UnsafeMutableRawBufferPointer, at start: Int) {
    for byte in 0..<4 { out[start + byte] = (0..<8).reduce(0) { $0 | (codes[byte * 8 + $1] >> 4 & 1) << UInt8($1) } }
  }

  // MARK: Code books

  private static let iq4Levels: [Float] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
  ]
  private static let e2m1Levels: [Float] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]
  private static let nf4Levels: [Float] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022833252,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ]

  /// The index of the nearest level, of equally near ones the first.
  private static func nearest(_ value: Float, in levels: [Float]) -> UInt8 {
    var best = 0
    var distance = abs(levels[0] - value)
    for index in 1..<levels.count where abs(levels[index] - value) < distance {
      (best, distance) = (index, abs(levels[index] - value))
    }
    return UInt8(best)
  }

  /// Tries the scales around that by which the largest number meets an end of the code book, and of each the best factor
  /// in the sense of least squares, weighted by the numbers' squares.
  private static func iq4(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    var best: (score: Float, d: Float) = (0, 0)
    let largest = x.largest
    if largest != 0 {
      for step in -7...7 {
        for end in [iq4Levels[0], iq4Levels[15]] {
          let inverse = (end + Float(step)) / largest
          var (product, square): (Float, Float) = (0, 0)
          for value in x {
            let level = iq4Levels[Int(nearest(value * inverse, in: iq4Levels))]
            product += value * value * level * value
            square += value * value * level * level
          }
          if square > 0, product * product > best.score * square {
            best = (product * product / square, product / square)
          }
        }
      }
    }
    let d = Float(half: best.d.half)
    out.storeBytes(of: best.d.half.littleEndian, as: UInt16.self)
    nibbles(x.map { nearest(d == 0 ? 0 : $0 / d, in: iq4Levels) }, out, at: 2)
  }

  private static func mxfp4(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let largest = abs(x.largest)
    let exponent = largest > 0 ? min(max(Int(largest.exponent) - 2 + 127, 0), 254) : 0
    let d = Float(sign: .plus, exponent: exponent - 128, significand: 1)
    out[0] = UInt8(exponent)
    let levels = e2m1Levels.map { $0 * d }
    nibbles(x.map { nearest($0, in: levels) }, out, at: 1)
  }

  private static func nf4(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let d = abs(x.largest)
    out.storeBytes(of: d.bitPattern.littleEndian, as: UInt32.self)
    nibbles(x.map { nearest(d == 0 ? 0 : $0 / d, in: nf4Levels) }, out, at: 4)
  }

  private static func fp8(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let d = abs(x.largest) / 448
    out.storeBytes(of: d.bitPattern.littleEndian, as: UInt32.self)
    for j in x.indices { out[4 + j] = d == 0 ? 0 : (x[j] / d).e4m3 }
  }
}

extension UnsafeBufferPointer<Float> {
  /// The first of the numbers of the largest magnitude.
  var largest: Float {
    var result: Float = 0
    for value in self where abs(value) > abs(result) { result = value }
    return result
  }
}

extension Float {
  /// The nearest E4M3 float, ties to even, at most 448.
  fileprivate var e4m3: UInt8 {
    let sign: UInt8 = self < 0 ? 0x80 : 0
    let magnitude = min(abs(self), 448)
    // Steps of the binade, of which there are 8 from 2^-6 on.
    let exponent = Swift.max(magnitude == 0 ? -6 : Int(magnitude.exponent), -6)
    let steps = Int((magnitude / Float(sign: .plus, exponent: exponent - 3, significand: 1)).rounded(.toNearestOrEven))
    return sign | UInt8((exponent + 6) * 8 + steps)
  }
}
