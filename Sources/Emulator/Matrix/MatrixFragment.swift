// Fragments: which element of a matrix lies in which register of which lane, for warp-wide products.
//
// A warp is eight groups of four lanes: g = lane / 4, t = lane % 4. A register of A or B holds p elements of one line, next to
// each other along K; the four lanes of a group hold 4p of them, a block of K. Then, for all types and depths:
//   A, register r   row g + 8 (r mod 2),   k = 4p (r / 2) + p t + i
//   B, register r   column g,              k = 4p r + p t + i
//   C and D, i      row g + 8 (i / 2),     column 2t + i mod 2       (of each 8 columns)
// wgmma's fragments are the same, with warp w of the four in rows 16w to 16w + 15.
//
// PTX ISA 9.0, "Matrix Fragments for mma.m16n8k…" and "Register Fragments" of wgmma; the figures say it element by element.

internal import KernelLanguage

enum MatrixFragment {
  /// Puts the A fragment of one warp into an operand, 16 rows from `row` on, or 8 where registers hold 8 rows.
  @inline(__always)
  static func readA(
    _ operand: inout MatrixOperand, _ element: MatrixElement, _ registers: [UnsafeMutablePointer<UInt32>], row: Int = 0,
    rows: Int = 16
  ) {
    let count = 32 / element.bits
    let halves = rows / 8
    for (r, values) in registers.enumerated() {
      for lane in 0..<32 {
        let line = row + lane / 4 + r % halves * 8
        let k = r / halves * 4 * count + lane % 4 * count
        for i in 0..<count { operand.set(line, k + i, code(values[lane], i, element.bits)) }
      }
    }
  }

  /// Puts the B fragment of one warp into an operand of 8 columns.
  @inline(__always)
  static func readB(
    _ operand: inout MatrixOperand, _ element: MatrixElement, _ registers: [UnsafeMutablePointer<UInt32>]
  ) {
    let count = 32 / element.bits
    for (r, values) in registers.enumerated() {
      for lane in 0..<32 {
        let k = r * 4 * count + lane % 4 * count
        for i in 0..<count { operand.set(lane / 4, k + i, code(values[lane], i, element.bits)) }
      }
    }
  }

  @inline(__always)
  private static func code(_ word: UInt32, _ index: Int, _ bits: Int) -> UInt32 {
    bits == 32 ? word : (word >> UInt32(index * bits)) & (1 << UInt32(bits) - 1)
  }

  /// The place of element `index` of an accumulator of 16 rows, or of 8 with one pair of elements for each 8 columns.
  @inline(__always)
  static func accumulator(lane: Int, _ index: Int, rows: Int = 16) -> (row: Int, column: Int) {
    let perPanel = rows / 4
    let (panel, inner) = (index / perPanel, index % perPanel)
    return (lane / 4 + inner / 2 * 8, panel * 8 + lane % 4 * 2 + inner % 2)
  }
}

/// The type of an accumulator, with how it lies in registers.
enum MatrixAccumulator: String, Hashable {
  case f32, f16, s32

  /// Elements in a register of 32 bits.
  var perRegister: Int { self == .f16 ? 2 : 1 }

  /// The type that registers are declared with.
  var register: PTXType {
    switch self {
    case .f32: .f32
    case .f16: .b32
    case .s32: .s32
    }
  }
}

/// A product with accumulation of any type, on operands that were read.
struct MatrixProduct {
  let element: (a: MatrixElement, b: MatrixElement)
  let accumulator: MatrixAccumulator
  /// Integer results are clamped to 32 bits instead of wrapped.
  var saturates = false
  let chip: Chip.Generation

  /// Accumulators as the bits of their registers, by rows of `b.lines`: f32, s32, or f16 in the lower half.
  func accumulate(_ a: MatrixOperand, _ b: MatrixOperand, into d: inout [UInt32]) {
    switch accumulator {
    case .s32: accumulateIntegers(a, b, &d)
    case .f32, .f16:
      let toHalf = accumulator == .f16
      let rule = TensorCoreSum(element.a.bits >= element.b.bits ? element.a : element.b, toHalf: toHalf, on: chip)
      var sums = d.map { toHalf ? Float(Float16(bitPattern: UInt16(truncatingIfNeeded: $0))) : Float(bitPattern: $0) }
      rule.accumulate(a, b, into: &sums)
      d = sums.map { sum in
        toHalf ? NarrowFloat.float16.encode(Double(sum)) : sum.bitPattern
      }
    }
  }

  private func accumulateIntegers(_ a: MatrixOperand, _ b: MatrixOperand, _ d: inout [UInt32]) {
    // Sums of at most 256 products of 8 bits are exact in doubles.
    var sums = [Double](repeating: 0, count: b.lines)
    for row in 0..<a.lines {
      for column in 0..<b.lines { sums[column] = Double(Int32(bitPattern: d[row * b.lines + column])) }
      for k in 0..<a.depth {
        let value = a.value(row, k)
        b.values.withUnsafeBufferPointer { values in
          for column in 0..<b.lines { sums[column] += value * values[k * b.depthStride + column] }
        }
      }
      for column in 0..<b.lines {
        let sum = Int64(sums[column])
        d[row * b.lines + column] = UInt32(
          bitPattern: saturates ? Int32(clamping: sum) : Int32(truncatingIfNeeded: sum))
      }
    }
  }
}
