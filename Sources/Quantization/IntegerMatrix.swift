// A matrix of codes of 4 or 8 bits with a scale and a zero point for each group of a row: weight = scale · (code - zero).
//
// Invariant: scales have at most the 15 bits that blocks have room for, so that what is computed here, in blocks and in
// files is the same number.

package import Tensors

/// A quantised matrix, before it is packed.
package struct IntegerMatrix: Sendable {
  /// How numbers become codes.
  package struct Scheme: Hashable, Sendable {
    /// 4 or 8.
    package var bits: Int
    /// Elements of a row that share a scale, a multiple of 32; nil: the whole row.
    package var group: Int?
    /// Whether the zero point is the middle of the codes.
    package var isSymmetric: Bool
    /// The type in which files keep the scales: float32, float16 or bfloat16.
    package var scales: ElementType

    package init(bits: Int, group: Int?, isSymmetric: Bool, scales: ElementType = .float32) {
      precondition(bits == 4 || bits == 8, "\(bits) bits")
      (self.bits, self.group, self.isSymmetric, self.scales) = (bits, group, isSymmetric, scales)
    }

    package var format: BlockFormat { bits == 4 ? .int4(group: group) : .int8(group: group) }
    /// The largest code.
    var most: Int { 1 << bits - 1 }

    /// The scale and zero point with which the codes just cover some numbers and 0, or a part of their range around 0.
    func grid(over values: some Sequence<Float>, part: Float = 1) -> Grid {
      var (low, high): (Float, Float) = (0, 0)
      for value in values { (low, high) = (min(low, value), max(high, value)) }
      return grid(low: low * part, high: high * part)
    }

    private func grid(low: Float, high: Float) -> Grid {
      let span = isSymmetric ? 2 * max(-low, high) : high - low
      let scale = kept(span / Float(most))
      guard scale > 0, scale.isFinite else { return Grid(scale: 0, zero: isSymmetric ? (most + 1) / 2 : 0) }
      let zero = isSymmetric ? (most + 1) / 2 : Int((-low / scale).rounded())
      return Grid(scale: scale, zero: min(max(zero, 0), most))
    }

    private func kept(_ scale: Float) -> Float {
      switch scales {
      case .float16: Float(half: scale.half)
      case .bfloat16: Float(bfloat16: scale.bfloat16)
      default: Float(bitPattern: (scale.bitPattern &+ 0x100) & ~0x1FF)
      }
    }

    @inline(__always) func code(_ value: Float, _ grid: Grid) -> Int {
      if grid.scale == 0 { return grid.zero }
      // Bounded first: what GPTQ adds to a value may be many times its group's scale.
      let steps = max(-65536, min(65536, (value / grid.scale).rounded(.toNearestOrEven)))
      return min(max(Int(steps) + grid.zero, 0), most)
    }
  }

  /// The numbers that a group can have.
  package struct Grid: Sendable {
    package var scale: Float
    package var zero: Int

    @inline(__always) func value(_ code: Int) -> Float { scale * Float(code - zero) }
  }

  package let rows: Int
  package let columns: Int
  package let scheme: Scheme
  /// [rows, columns]
  package internal(set) var codes: [UInt8]
  /// [rows, groups]
  package internal(set) var grids: [Grid]

  /// - Precondition: rows are whole groups.
  init(rows: Int, columns: Int, _ scheme: Scheme) {
    let group = scheme.group ?? columns
    precondition(columns % group == 0 && group % 32 == 0, "\(columns) columns in groups of \(group)")
    (self.rows, self.columns, self.scheme) = (rows, columns, scheme)
    codes = [UInt8](repeating: 0, count: rows * columns)
    grids = [Grid](repeating: Grid(scale: 0, zero: 0), count: rows * (columns / group))
  }

  /// Each number as the nearest one of its group's grid, the one that just covers the group.
  package init(rounding values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, _ scheme: Scheme) {
    self.init(rounding: values, rows: rows, columns: columns, scheme) { part, _ in scheme.grid(over: part) }
  }

  /// Each number as the nearest one of its group's grid.
  ///
  /// - Parameter grid: chooses that of a group by its numbers and its place among all groups.
  package init(
    rounding values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, _ scheme: Scheme,
    grid choose: (UnsafeBufferPointer<Float>, Int) throws -> Grid
  ) rethrows {
    precondition(values.count == rows * columns, "\(values.count) values for [\(rows), \(columns)]")
    self.init(rows: rows, columns: columns, scheme)
    for index in grids.indices {
      let places = (index * group)..<((index + 1) * group)
      let part = UnsafeBufferPointer(rebasing: values[places])
      let grid = try choose(part, index)
      grids[index] = grid
      for place in places { codes[place] = UInt8(scheme.code(values[place], grid)) }
    }
  }

  /// What the code at a place of the row-major matrix stands for.
  func value(at place: Int) -> Float { grids[place / group].value(Int(codes[place])) }

  var group: Int { scheme.group ?? columns }
  package var groups: Int { columns / group }

  /// As blocks: uint8 [rows, row bytes].
  package var blocks: TensorData {
    let rowBytes = scheme.format.rowBytes(columns: columns)!
    let result = TensorData(TensorType(.uint8, [rows, rowBytes]))
    var target = result.pointer
    for index in grids.indices {
      let header = grids[index].scale.bitPattern & ~0x1FF | UInt32(grids[index].zero)
      target.storeBytes(of: header.littleEndian, as: UInt32.self)
      target += 4
      for start in stride(from: index * group, to: (index + 1) * group, by: 32) {
        if scheme.bits == 8 {
          for j in 0..<32 { target.storeBytes(of: codes[start + j], toByteOffset: j, as: UInt8.self) }
        } else {
          for j in 0..<16 {
            target.storeBytes(of: codes[start + j] | codes[start + j + 16] << 4, toByteOffset: j, as: UInt8.self)
          }
        }
        target += 4 * scheme.bits
      }
    }
    return result
  }

  /// Codes in words of 32 bits along the rows, the first one lowest: [rows, columns · bits / 32].
  package var words: [UInt32] {
    let each = 32 / scheme.bits
    return (0..<(codes.count / each)).map { word in
      (0..<each).reduce(0) { $0 | UInt32(codes[word * each + $1]) << UInt32($1 * scheme.bits) }
    }
  }

  /// Zero points in words along the columns: [rows · bits / 32 (rounded up), groups].
  package var zeroWords: [UInt32] {
    let each = 32 / scheme.bits
    var result = [UInt32](repeating: 0, count: (rows + each - 1) / each * groups)
    for row in 0..<rows {
      for group in 0..<groups {
        let zero = UInt32(grids[row * groups + group].zero)
        result[row / each * groups + group] |= zero << UInt32(row % each * scheme.bits)
      }
    }
    return result
  }
}
