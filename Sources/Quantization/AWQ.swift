// AWQ: Lin, Tang, Tang, Yang, Chen, Wang, Gan and Han (2023), arXiv:2306.00978.
//
// Weights that meet large inputs matter more. Their columns are multiplied by factors s, and the inputs divided by them, so
// that rounding takes less from them: s = (mean |x|)^α, of which that α is taken for which the products, with rounded weights,
// are nearest to what they were, in the sense of the sum of squares over the calibration text: tr(D H Dᵀ), D being the error
// of a matrix and H the sum of x xᵀ. Then each group's range is narrowed as far as that makes this error smaller.

internal import Core
package import Models
internal import Networks
package import Tensors

/// Finds factors for channels, and ranges for groups.
package struct AWQ: Sendable {
  /// Values of α that are tried, from 0 up to 1.
  package var steps = 20
  /// Whether ranges are narrowed.
  package var clips = true

  package init() {}

  /// A model with its channels scaled.
  ///
  /// - Parameters:
  ///   - rounded: the names of the parameters that will be quantised.
  ///   - writable: those of the parameters that can be kept where they are changed.
  ///   - check: asked again and again; what it throws ends the work.
  ///   - progress: is told the first map of each place before it is searched.
  package func scaled(
    _ model: any LanguageModel, _ binding: WeightBinding, _ calibration: Calibration, _ scheme: IntegerMatrix.Scheme,
    rounded: Set<String>, writable: Set<String>, backend: any Backend, check: () throws -> Void = {},
    progress: (String) throws -> Void = { _ in }
  ) throws -> ScaledModel {
    let index = Dictionary(uniqueKeysWithValues: zip(binding.store.parameters.map(\.name), binding.values))
    var result = ScaledModel(calibration: calibration, clips: clips)
    var errors = ProductErrors(backend: backend)
    for place in ChannelScaling.all(of: model, binding.store) {
      let own = place.changed.filter { index[$0] != nil }
      guard own.allSatisfy(writable.contains), let input = calibration[place.maps[0]] else { continue }
      let maps = place.maps.filter(rounded.contains)
      if maps.isEmpty { continue }
      try progress(maps[0])
      for name in own where result.values[name] == nil { result.values[name] = index[name]!.floats }
      let matrices = maps.map { result.values[$0]! }
      var best = (error: Double.infinity, factors: [Float]())
      for step in 0..<steps {
        let factors = Self.factors(input.magnitudes, power: Double(step) / Double(steps))
        let error = try matrices.reduce(0.0) { sum, matrix in
          try check()
          return try sum + errors.error(of: matrix, scaledBy: factors, scheme, input.hessian)
        }
        if error < best.error { best = (error, factors) }
      }
      if best.factors.isEmpty { continue }
      place.apply(best.factors, to: &result.values)
      for map in place.maps { result.factors[map] = best.factors }
    }
    return result
  }

  /// Around 1: the geometric mean of the largest and the smallest is 1.
  private static func factors(_ magnitudes: [Double], power: Double) -> [Float] {
    let raw = magnitudes.map { max($0, 1e-5) }.map { pow($0, power) }
    let middle = (raw.max()! * raw.min()!).squareRoot()
    return raw.map { Float(max($0 / middle, 1e-4)) }
  }
}

/// A model whose channels are scaled, and what its maps are now applied to.
package struct ScaledModel: Sendable {
  /// Of the parameters that changed, by their names.
  package fileprivate(set) var values: [String: [Float]] = [:]
  /// What inputs of maps are divided by, by the names of weights.
  fileprivate(set) var factors: [String: [Float]] = [:]
  let calibration: Calibration
  let clips: Bool

  /// Maps whose products are compared with each other before a softmax, which narrowed ranges would distort.
  private static let unclipped = ["q_proj", "k_proj", "qkv_proj"]
  /// The largest group whose range is narrowed: the search takes time in proportion to the group.
  private static let largestGroup = 256

  /// A matrix (already scaled) as integers, the ranges of its groups narrowed where that is less wrong.
  ///
  /// - Parameter check: asked again and again; what it throws ends the work.
  package func quantized(
    _ name: String, _ values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, _ scheme: IntegerMatrix.Scheme,
    check: () throws -> Void = {}
  ) throws -> IntegerMatrix {
    let group = scheme.group ?? columns
    guard clips, group <= Self.largestGroup, !Self.unclipped.contains(where: name.contains),
      let input = calibration[name]
    else { return IntegerMatrix(rounding: values, rows: rows, columns: columns, scheme) }
    let factors = factors[name]
    // Of each group the inputs' products with each other.
    let blocks = (0..<(columns / group)).map { block in
      (0..<(group * group)).map { place -> Float in
        let (i, j) = (block * group + place / group, block * group + place % group)
        return Float(input.hessian[i * columns + j]) / (factors.map { $0[i] * $0[j] } ?? 1)
      }
    }
    return try IntegerMatrix(rounding: values, rows: rows, columns: columns, scheme) { values, place in
      if place % blocks.count == 0 { try check() }
      return narrowest(values, blocks[place % blocks.count], scheme)
    }
  }

  private func narrowest(
    _ values: UnsafeBufferPointer<Float>, _ products: [Float], _ scheme: IntegerMatrix.Scheme
  ) -> IntegerMatrix.Grid {
    let count = values.count
    var best = (error: Float.infinity, grid: scheme.grid(over: values))
    for step in 0..<10 {
      let grid = scheme.grid(over: values, part: 1 - Float(step) / 20)
      let wrong = values.map { grid.value(scheme.code($0, grid)) - $0 }
      var error: Float = 0
      for i in 0..<count {
        var sum: Float = 0
        for j in 0..<count { sum += products[i * count + j] * wrong[j] }
        error += wrong[i] * sum
      }
      if error < best.error { best = (error, grid) }
    }
    return best.grid
  }
}

/// tr(D H Dᵀ), computed with a backend.
private struct ProductErrors {
  let backend: any Backend
  private var programs: [Shape: any Executable] = [:]

  init(backend: any Backend) { self.backend = backend }

  /// How wrong a matrix is that is rounded with its columns multiplied by factors.
  mutating func error(
    of matrix: [Float], scaledBy factors: [Float], _ scheme: IntegerMatrix.Scheme, _ hessian: [Double]
  ) throws -> Double {
    let columns = factors.count
    let shape: Shape = [matrix.count / columns, columns]
    let scaled = matrix.indices.map { matrix[$0] * factors[$0 % columns] }
    let rounded = scaled.withUnsafeBufferPointer {
      IntegerMatrix(rounding: $0, rows: shape[0], columns: columns, scheme)
    }
    let wrong = matrix.indices.map { rounded.value(at: $0) / factors[$0 % columns] - matrix[$0] }
    let executable = try program(shape)
    let products = TensorData(hessian, shape: [columns, columns])
    return try executable.run([TensorData(wrong, shape: shape), products])[0].item
  }

  private mutating func program(_ shape: Shape) throws -> any Executable {
    if let known = programs[shape] { return known }
    let wrong = Tensor.input("errors", TensorType(.float32, shape))
    let products = Tensor.input("products", TensorType(.float32, [shape[1], shape[1]]))
    let executable = try backend.compile(
      Program(inputs: [wrong, products], outputs: [(wrong.matmul(products) * wrong).sum()]))
    programs[shape] = executable
    return executable
  }
}
