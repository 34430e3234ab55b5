// GPTQ: Frantar, Ashkboos, Hoefler and Alistarh (2022), arXiv:2210.17323.
//
// A row w of a linear map is to become q, on grids, so that (w - q)ᵀ H (w - q) is small, H being the sum of x xᵀ over the
// inputs of calibration text. Column by column: what rounding one element costs, the later ones of the row make up for as
// well as they can, which the Cholesky factor U of the inverse of H says (UᵀU = H⁻¹):
//
//   e = (w_i - q_i) / U_ii;   w_j -= e U_ij for each j > i

internal import Tensors

/// Rounding that knows what the matrix is multiplied with.
package struct GPTQ: Sendable {
  /// Added to the diagonal of H, as a part of its mean.
  package var damping = 0.01
  /// Whether columns are taken by falling diagonal of H instead of from the left; grids are then those of the original
  /// weights, so that groups stay where they are.
  package var isOrdered = false

  package init() {}

  /// - Parameters:
  ///   - values: [rows, columns].
  ///   - hessian: [columns, columns], the sum of x xᵀ; any positive multiple of it does as well.
  ///   - check: asked again and again; what it throws ends the work.
  /// - Returns: nil: H is no sum of that kind (it holds infinities or NaN).
  package func quantized(
    _ values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, hessian: [Double], _ scheme: IntegerMatrix.Scheme,
    check: () throws -> Void = {}
  ) throws -> IntegerMatrix? {
    precondition(values.count == rows * columns, "\(values.count) values for [\(rows), \(columns)]")
    precondition(hessian.count == columns * columns, "a Hessian of \(hessian.count) for \(columns) columns")
    let diagonal = (0..<columns).map { hessian[$0 * columns + $0] }
    let order = isOrdered ? (0..<columns).sorted { (diagonal[$1], $0) < (diagonal[$0], $1) } : Array(0..<columns)
    guard let factor = try factor(hessian, diagonal, order, check) else { return nil }
    var result = IntegerMatrix(rows: rows, columns: columns, scheme)
    let (group, groups) = (result.group, result.groups)
    var row = [Float](repeating: 0, count: columns)
    for r in 0..<rows {
      try check()
      // In the order in which columns are taken.
      for i in 0..<columns { row[i] = diagonal[order[i]] == 0 ? 0 : values[r * columns + order[i]] }
      if isOrdered {
        for g in 0..<groups {
          let start = r * columns + g * group
          let part = UnsafeBufferPointer(rebasing: values[start..<(start + group)])
          result.grids[r * groups + g] = scheme.grid(over: part)
        }
      }
      row.withUnsafeMutableBufferPointer { row in
        for i in 0..<columns {
          let column = order[i]
          let g = r * groups + column / group
          if !isOrdered && i % group == 0 {
            result.grids[g] = scheme.grid(over: UnsafeMutableBufferPointer(rebasing: row[i..<(i + group)]))
          }
          let code = scheme.code(row[i], result.grids[g])
          result.codes[r * columns + column] = UInt8(code)
          let error = (row[i] - result.grids[g].value(code)) / factor[i * columns + i]
          if error == 0 { continue }
          for j in (i + 1)..<max(i + 1, columns) { row[j] -= error * factor[i * columns + j] }
        }
      }
    }
    return result
  }

  /// U, upper triangular, with UᵀU the inverse of H, its columns in another order.
  private func factor(
    _ hessian: [Double], _ diagonal: [Double], _ order: [Int], _ check: () throws -> Void
  ) rethrows -> [Float]? {
    let n = order.count
    let mean = diagonal.reduce(0, +) / Double(max(1, n))
    guard mean.isFinite else { return nil }
    var matrix = [Double](repeating: 0, count: n * n)
    // With rows and columns from the last to the first, the Cholesky factor L of H becomes the inverse of U.
    for i in 0..<n {
      for j in 0..<n { matrix[i * n + j] = hessian[order[n - 1 - i] * n + order[n - 1 - j]] }
      // An input that is always 0 has no say.
      if matrix[i * n + i] == 0 { matrix[i * n + i] = 1 }
      matrix[i * n + i] += damping * mean
    }
    guard try Triangular.factorise(&matrix, n, check) else { return nil }
    try Triangular.invert(&matrix, n, check)
    // H reversed = L Lᵀ, so H⁻¹ = UᵀU with U = L⁻¹ reversed.
    var result = [Float](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in i..<n { result[i * n + j] = Float(matrix[(n - 1 - i) * n + n - 1 - j]) }
    }
    return result
  }
}

/// Lower triangular matrices, row-major, in place.
private enum Triangular {
  /// The Cholesky factor of a symmetric matrix in its lower half; false: it is not positive definite.
  static func factorise(_ matrix: inout [Double], _ n: Int, _ check: () throws -> Void) rethrows -> Bool {
    try matrix.withUnsafeMutableBufferPointer { a in
      for i in 0..<n {
        try check()
        for j in 0...i {
          var sum = a[i * n + j]
          for k in 0..<j { sum -= a[i * n + k] * a[j * n + k] }
          if i == j {
            guard sum > 0, sum.isFinite else { return false }
            a[i * n + i] = sum.squareRoot()
          } else {
            a[i * n + j] = sum / a[j * n + j]
          }
        }
      }
      return true
    }
  }

  static func invert(_ matrix: inout [Double], _ n: Int, _ check: () throws -> Void) rethrows {
    var inverse = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      try check()
      // Row i of the inverse out of those above it.
      for k in 0..<i {
        let factor = -matrix[i * n + k]
        if factor == 0 { continue }
        for j in 0...k { inverse[i * n + j] += factor * inverse[k * n + j] }
      }
      inverse[i * n + i] = 1
      for j in 0...i { inverse[i * n + j] /= matrix[i * n + i] }
    }
    matrix = inverse
  }
}
