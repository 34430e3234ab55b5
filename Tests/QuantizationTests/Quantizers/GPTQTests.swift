// GPTQ: no better rounding is known from its parts, so it is held against rounding to nearest by what it minimises.

import Core
import Quantization
import Testing

@Suite struct GPTQTests {
  /// Inputs that go along with each other, their sum of x xᵀ, and a matrix.
  private static func problem(_ rows: Int, _ columns: Int) -> (weights: [Float], hessian: [Double]) {
    var random = RandomSequence(seed: 99)
    func number() -> Double { Double.random(in: -1..<1, using: &random) }
    let weights = (0..<(rows * columns)).map { _ in Float(number()) }
    var hessian = [Double](repeating: 0, count: columns * columns)
    for _ in 0..<(3 * columns) {
      let shared = number()
      // The last input is always 0.
      let x = (0..<columns).map { $0 == columns - 1 ? 0 : shared + 0.5 * number() }
      for i in 0..<columns { for j in 0..<columns { hessian[i * columns + j] += x[i] * x[j] } }
    }
    return (weights, hessian)
  }

  private func error(_ matrix: IntegerMatrix, _ weights: [Float], _ hessian: [Double]) -> Double {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let group = columns / matrix.groups
    var sum = 0.0
    for row in 0..<rows {
      let difference = (0..<columns).map { column in
        let grid = matrix.grids[row * matrix.groups + column / group]
        let value = grid.scale * Float(Int(matrix.codes[row * columns + column]) - grid.zero)
        return Double(value - weights[row * columns + column])
      }
      for i in 0..<columns {
        for j in 0..<columns { sum += difference[i] * hessian[i * columns + j] * difference[j] }
      }
    }
    return sum
  }

  @Test(arguments: [false, true]) func errorsOfResultsAreLessThanByRoundingToNearest(ordered: Bool) throws {
    let (weights, hessian) = Self.problem(8, 64)
    let scheme = IntegerMatrix.Scheme(bits: 4, group: 32, isSymmetric: false)
    var gptq = GPTQ()
    gptq.isOrdered = ordered
    try weights.withUnsafeBufferPointer { values in
      let nearest = IntegerMatrix(rounding: values, rows: 8, columns: 64, scheme)
      let found = try #require(try gptq.quantized(values, rows: 8, columns: 64, hessian: hessian, scheme))
      #expect(error(found, weights, hessian) < 0.5 * error(nearest, weights, hessian))
    }
  }

  @Test func independentInputsAreRoundedToNearest() throws {
    let (weights, _) = Self.problem(4, 32)
    var identity = [Double](repeating: 0, count: 32 * 32)
    for i in 0..<32 { identity[i * 33] = 1 }
    let scheme = IntegerMatrix.Scheme(bits: 4, group: 32, isSymmetric: false)
    try weights.withUnsafeBufferPointer { values in
      let nearest = IntegerMatrix(rounding: values, rows: 4, columns: 32, scheme)
      let found = try #require(try GPTQ().quantized(values, rows: 4, columns: 32, hessian: identity, scheme))
      #expect(found.codes == nearest.codes)
    }
  }

  @Test func aHessianThatIsNoneIsRefused() throws {
    let weights = [Float](repeating: 1, count: 32)
    let scheme = IntegerMatrix.Scheme(bits: 8, group: nil, isSymmetric: true)
    let hessian = [Double](repeating: .nan, count: 32 * 32)
    #expect(
      try weights.withUnsafeBufferPointer {
        try GPTQ().quantized($0, rows: 1, columns: 32, hessian: hessian, scheme) == nil
      })
  }
}
