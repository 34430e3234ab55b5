public import Tensors
public import Testing

/// How far apart two computations of the same value may be.
///
/// Each element may be off by `tolerance` times the sum of its own magnitude and the tensor's scale, which is the root mean
/// square of its elements but at least a given floor: a sum with cancellation is as exact as its terms are large. Integers and bool must agree; NaN equals NaN, infinities must
/// have the same sign.
public enum Agreement {
  /// For results that went through arithmetic of `type`.
  public static func tolerance(_ type: ElementType) -> Double {
    switch type {
    case .float64: 1e-12
    case .float32: 2e-5
    case .float16: 1e-2
    case .bfloat16: 3e-2
    case .int8, .uint8, .int32, .int64, .bool: 0
    }
  }

  /// For results that went through arithmetic of any of `types`: that of the coarsest.
  public static func tolerance(_ types: [ElementType]) -> Double { types.map(tolerance).max() ?? 0 }

  /// Why `actual` is not close to `expected`, naming the worst element; nil if it is.
  public static func mismatch(_ actual: TensorData, _ expected: TensorData, tolerance: Double? = nil, floor: Double = 0)
    -> String?
  {
    guard actual.shape.dimensions == expected.shape.dimensions else {
      return "shape \(actual.type) where \(expected.type) is expected"
    }
    let coarsest = Agreement.tolerance([actual.type.element, expected.type.element])
    if !expected.type.element.isFloat {
      guard let index = (0..<actual.count).first(where: { actual[$0] != expected[$0] }) else { return nil }
      return "element \(place(index, expected.shape)) is \(actual[index]), expected \(expected[index])"
    }
    return mismatch(
      actual.doubles, expected.doubles, shape: expected.shape, tolerance: tolerance ?? coarsest, floor: floor)
  }

  /// The same for plain numbers.
  public static func mismatch(
    _ actual: [Double], _ expected: [Double], shape: Shape? = nil, tolerance: Double, floor: Double = 0
  )
    -> String?
  {
    guard actual.count == expected.count else { return "\(actual.count) elements, expected \(expected.count)" }
    let finite = expected.filter(\.isFinite)
    let scale = max(floor, (finite.reduce(0) { $0 + $1 * $1 } / Double(max(finite.count, 1))).squareRoot())
    var worst: (index: Int, excess: Double)?
    var wrong = 0
    for (index, (a, e)) in zip(actual, expected).enumerated() {
      if a == e || (a.isNaN && e.isNaN) { continue }
      let excess = a.isFinite && e.isFinite ? abs(a - e) / (abs(e) + scale) : .infinity
      if excess > tolerance { wrong += 1 }
      if excess > worst?.excess ?? tolerance { worst = (index, excess) }
    }
    guard let worst else { return nil }
    return "\(wrong) of \(actual.count) elements differ; the worst, \(place(worst.index, shape ?? [actual.count])), is "
      + "\(actual[worst.index]), expected \(expected[worst.index]) "
      + "(off by \(worst.excess) of its size, allowed \(tolerance))"
  }

  private static func place(_ index: Int, _ shape: Shape) -> String {
    zip(shape.strides, shape.dimensions).map { "\(index / $0 % $1)" }.joined(separator: ",")
  }
}

/// Records an issue that names the worst element if `actual` is not close to `expected`.
///
/// - Parameters:
///   - tolerance: as `Agreement` says; that of the coarser of the two types if nil.
///   - floor: the least scale; what went in has elements of this size.
///   - note: what was compared, and the seed that makes it again.
public func expectClose(
  _ actual: TensorData, _ expected: TensorData, tolerance: Double? = nil, floor: Double = 0,
  _ note: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  if let mismatch = Agreement.mismatch(actual, expected, tolerance: tolerance, floor: floor) {
    Issue.record("\(mismatch) \(note())", sourceLocation: sourceLocation)
  }
}

/// The same for plain numbers.
public func expectClose(
  _ actual: [Double], _ expected: [Double], tolerance: Double = 1e-6, _ note: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  if let mismatch = Agreement.mismatch(actual, expected, tolerance: tolerance) {
    Issue.record("\(mismatch) \(note())", sourceLocation: sourceLocation)
  }
}
