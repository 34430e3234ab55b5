// How tensor cores add: the numerics of one product with accumulation, as measured on chips. PTX leaves them open.
//
// The model. The products of one group of elements along k are exact. Each product, and the accumulator, has an exponent: for
// products the sum of its factors' exponents (their significands' product, in 1..<4, is not normalised first). All are aligned
// to the largest of these exponents, cut off towards zero below 2^-fractionBits of it, and added without error. The sum is cut
// off towards zero to the result's precision (f16 results are rounded to nearest, ties to even), and is the accumulator of the
// next group. Sums that are 0 are +0.
//
// What is certain: for f16, bf16 and tf32 on A100, H100, H200 and B200, and for fp8 with f32 results in wgmma on H100 and H200
// (where the accumulator was 0), this model gives every bit of the dumps of these chips that are published with [1], 5000 sums
// each. (Those of tf32 have 4 products only, so that a group of 8 on Hopper is what [1] says.) What is not: fp8 with f16 results
// on Hopper; everything on Blackwell with 8 bits or less, where the published dumps of fp8 are the correctly rounded sums, and not
// those of the model published with them, which is used here; and the order in which the groups of a longer product follow each
// other, here ascending.
//
// [1] M. Fasi, N. Higham, M. Mikaitis, S. Pranesh: Numerical behavior of NVIDIA tensor cores, PeerJ CS 7:e330, 2021;
//     F. Khattak, M. Mikaitis: MATLAB-tensor-core, 2026.

/// The rule by which a chip adds products of one type.
package struct TensorCoreSum: Hashable {
  /// What the sum of a group becomes.
  package enum Result: Hashable {
    /// An f32 with so many bits behind the point: 23, or fewer.
    case single(fractionBits: Int)
    case half
  }

  /// Elements along k that are added at once.
  package var group: Int
  /// Bits that aligned addends keep below the largest exponent.
  package var fractionBits: Int
  /// What the largest exponent is at least.
  package var leastExponent: Int
  package var result: Result

  /// - Parameter toHalf: results are f16.
  package init(_ element: MatrixElement, toHalf: Bool, on chip: Chip.Generation) {
    precondition(!element.isInteger, "sums of integers are exact and have no rule")
    result = toHalf ? .half : .single(fractionBits: 23)
    // A group is 32 bytes of each operand, 16 on Ampere.
    group = (chip == .ampere ? 128 : 256) / element.bits
    fractionBits = chip == .ampere ? 24 : 25
    leastExponent = toHalf ? (chip == .ampere ? -20 : -21) : (chip == .ampere ? -132 : -133)
    if element.bits == 8, chip == .hopper {
      fractionBits = 13
      if !toHalf { result = .single(fractionBits: 13) }
    }
  }

  /// The NaN that tensor cores give.
  package static let notANumber = Float(bitPattern: 0x7FFF_FFFF)

  // MARK: One sum

  /// The accumulator after one group, element for element.
  package func callAsFunction(
    _ a: MatrixOperand, row: Int, _ b: MatrixOperand, column: Int, from first: Int, _ c: Float
  ) -> Float {
    let indices = first..<min(first + group, a.depth)
    if a.isSpecial[row] || b.isSpecial[column] || !c.isFinite {
      let products = indices.map { a.value(row, $0) * b.value(column, $0) } + [Double(c)]
      let specials = products.filter { !$0.isFinite }
      if let first = specials.first {
        return specials.allSatisfy { $0 == first } ? Float(first) : TensorCoreSum.notANumber
      }
    }
    var exponent = c == 0 ? leastExponent : max(leastExponent, max(Int(c.exponent), -126))
    for k in indices { exponent = max(exponent, a.exponent(row, k) + b.exponent(column, k)) }
    let scale = Double(sign: .plus, exponent: fractionBits - exponent, significand: 1)
    var sum = Int64(Double(c) * scale)
    for k in indices { sum += Int64(a.value(row, k) * b.value(column, k) * scale) }
    return round(Double(sum) * Double(sign: .plus, exponent: exponent - fractionBits, significand: 1))
  }

  /// A sum as a result.
  @inline(__always)
  private func round(_ sum: Double) -> Float {
    if sum == 0 { return 0 }
    switch result {
    case .half: return Float(Float16(sum))
    case .single(let bits):
      if sum.magnitude < 0x1p-126 {
        let unit = Double(sign: .plus, exponent: -126 - bits, significand: 1)
        return Float(Double(Int64(sum / unit)) * unit)
      }
      return Float(Double(bitPattern: sum.bitPattern & (~0 << UInt64(52 - bits))))
    }
  }

  // MARK: Matrices

  /// `d += a * b`, by rows of `d`: as many as A has, each of as many floats as B has columns.
  package func accumulate(_ a: MatrixOperand, _ b: MatrixOperand, into d: inout [Float]) {
    precondition(a.depth == b.depth && d.count == a.lines * b.lines, "operands of one product agree in their sizes")
    let columns = b.lines
    let whole = columns / 8 * 8
    // Ties of the truncation, with the signs of the products: see `addGroup`.
    let ties = b.values.map { $0.sign == .minus ? -TensorCoreSum.tie : TensorCoreSum.tie }
    for row in 0..<a.lines {
      for first in stride(from: 0, to: a.depth, by: group) {
        let before = (b.hasSpecials || a.isSpecial[row]) ? Array(d[(row * columns)..<((row + 1) * columns)]) : []
        d.withUnsafeMutableBufferPointer { d in
          let d = d.baseAddress! + row * columns
          if !a.isSpecial[row] {
            addGroup(a, row: row, b, ties, from: first, d, columns: whole)
          }
          for column in 0..<columns where column >= whole || a.isSpecial[row] || b.isSpecial[column] {
            let c = before.isEmpty ? d[column] : before[column]
            d[column] = self(a, row: row, b, column: column, from: first, c)
          }
        }
      }
    }
  }

  /// Half, less than it by a bit that no truncated product reaches.
  private static let tie = 0.5 - 0x1p-26

  /// One group of one row, eight columns at a time.
  ///
  /// Truncation by rounding: with |x| < 2^27 of at most 26 bits, x towards zero is x ∓ (1/2 - 2^-26), rounded to the nearest
  /// integer, which adding and subtracting 1.5 * 2^52 does.
  private func addGroup(
    _ a: MatrixOperand, row: Int, _ b: MatrixOperand, _ ties: [Double], from first: Int,
    _ d: UnsafeMutablePointer<Float>,
    columns: Int
  ) {
    let shift = SIMD8<Double>(repeating: 0x1.8p52)
    let stride = b.depthStride
    let last = min(first + group, a.depth)
    a.values.withUnsafeBufferPointer { aValues in
      a.exponents.withUnsafeBufferPointer { aExponents in
        b.values.withUnsafeBufferPointer { bValues in
          b.exponents.withUnsafeBufferPointer { bExponents in
            ties.withUnsafeBufferPointer { ties in
              let aValues = aValues.baseAddress! + row * a.depth
              let aExponents = aExponents.baseAddress! + row * a.depth
              for column in Swift.stride(from: 0, to: columns, by: 8) {
                var exponents = SIMD8<Int16>(repeating: Int16(leastExponent))
                for lane in 0..<8 {
                  let c = d[column + lane]
                  let field = Int16(truncatingIfNeeded: (c.bitPattern >> 23) & 0xFF)
                  exponents[lane] = c == 0 ? exponents[lane] : max(exponents[lane], max(field, 1) - 127)
                }
                for k in first..<last {
                  let other = load(bExponents.baseAddress! + k * stride + column) &+ aExponents[k]
                  exponents.replace(with: other, where: other .> exponents)
                }
                var scale = SIMD8<Double>()
                var sum = SIMD8<Double>()
                for lane in 0..<8 {
                  scale[lane] = power(fractionBits - Int(exponents[lane]))
                  sum[lane] = Double(d[column + lane])
                }
                let isFinite = sum .== sum .& (sum * 0 .== 0)
                let old = sum
                sum *= scale
                var tie = SIMD8<Double>(repeating: TensorCoreSum.tie)
                tie.replace(with: -tie, where: sum .< 0)
                sum = sum - tie + shift - shift
                for k in first..<last {
                  let place = k * stride + column
                  let value = aValues[k]
                  let product = load(bValues.baseAddress! + place) * (scale * value)
                  let tie = load(ties.baseAddress! + place) * (value.sign == .minus ? -1 : 1)
                  sum += product - tie + shift - shift
                }
                for lane in 0..<8 {
                  d[column + lane] =
                    isFinite[lane]
                    ? round(sum[lane] * power(Int(exponents[lane]) - fractionBits))
                    : old[lane].isNaN ? TensorCoreSum.notANumber : Float(old[lane])
                }
              }
            }
          }
        }
      }
    }
  }

  @inline(__always)
  private func load<T>(_ pointer: UnsafePointer<T>) -> SIMD8<T> where T: SIMDScalar {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<T>.self)
  }

  @inline(__always)
  private func power(_ exponent: Int) -> Double { Double(bitPattern: UInt64(1023 + exponent) << 52) }
}
