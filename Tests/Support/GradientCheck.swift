public import Tensors
public import Testing

/// Checks gradients against finite differences, all in Double on the reference interpreter.
///
/// The stencil has five points, `(8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h`, with h = 2^-7: its error is of the order
/// of h⁴, and steps from inputs that are multiples of 1/16 are exact even in float32.
public enum GradientCheck {
  private static let step = 0x1p-7

  /// Compares every element of every gradient of a random weighting of `function`'s result.
  ///
  /// - Parameters:
  ///   - x: the inputs' values; only those of floats are checked.
  ///   - function: its result may have any shape and any float type.
  ///   - tolerance: as `Agreement` says.
  public static func expectGradients(
    at x: [TensorData], tolerance: Double = 2e-5, _ random: RandomCase, _ note: String = "",
    sourceLocation: SourceLocation = #_sourceLocation, _ function: ([Tensor]) -> Tensor
  ) throws {
    var random = random
    let placeholders = x.enumerated().map { Tensor.input("x\($0.offset)", $0.element.type) }
    let y = function(placeholders)
    let weights = Tensor(random.data(.float64, y.shape, .within(-1...1)))
    let loss = (y.cast(.float64) * weights).sum()
    let floats = x.indices.filter { x[$0].type.element.isFloat }
    let analytic = gradients(of: loss, with: floats.map { placeholders[$0] })

    let backend = ReferenceBackend()
    let found = try backend.compile(Program(inputs: placeholders, outputs: analytic)).run(x)
    let value = try backend.compile(Program(inputs: placeholders, outputs: [loss]))
    for (gradient, input) in zip(found, floats) {
      var differences: [Double] = []
      for element in 0..<x[input].count {
        func at(_ steps: Double) throws -> Double {
          var moved = x
          moved[input] = x[input].copy()
          moved[input][element] = .float(x[input][element].double + steps * step)
          return try value.run(moved)[0].item
        }
        differences.append(
          try (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step))
      }
      if let mismatch = Agreement.mismatch(
        gradient.doubles, differences, shape: gradient.shape, tolerance: tolerance)
      {
        Issue.record("gradient of \(note) by input \(input): \(mismatch) \(random)", sourceLocation: sourceLocation)
      }
    }
  }

  /// The same for the gradient of the gradient: checks that `Σ weights · d function / dx` has the right gradients itself.
  public static func expectSecondGradients(
    at x: [TensorData], tolerance: Double = 2e-4, _ random: RandomCase, _ note: String = "",
    sourceLocation: SourceLocation = #_sourceLocation, _ function: ([Tensor]) -> Tensor
  ) throws {
    var weightSource = RandomCase(random.test + " weights", random.index)
    let floats = x.indices.filter { x[$0].type.element.isFloat }
    let weights = floats.map { Tensor(weightSource.data(.float64, x[$0].shape, .within(-1...1))) }
    try expectGradients(
      at: x, tolerance: tolerance, random, "the gradient of \(note)", sourceLocation: sourceLocation
    ) { inputs in
      let y = function(inputs)
      // Squared, so that the cotangent depends on x as well.
      let first = gradients(of: (y.cast(.float64).squared()).sum(), with: floats.map { inputs[$0] })
      return zip(first, weights).map { ($0.cast(.float64) * $1).sum() }.reduce(Tensor(0, .float64), +)
    }
  }
}
