// Muon: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), kellerjordan.github.io/posts/muon.
//
// Invariant: matrices of hidden layers step by an (almost) orthogonal matrix, whatever the gradient's spectrum; everything
// else (embeddings, heads, vectors) steps by AdamW.

public import Core
public import Tensors

/// Momentum, orthogonalised, for matrices; AdamW for the rest.
public struct MuonOptimizer: Optimizer, Configuration, Hashable {
  /// How far a step of a matrix goes.
  public enum Scale: String, Hashable, Sendable, Codable, CaseIterable {
    /// sqrt(max(1, outputs / inputs)): the change of the map's output does not depend on its shape.
    case spectral
    /// 0.2 sqrt(max(outputs, inputs)): elements change about as much as under AdamW, so that its learning rates fit
    /// (Liu et al., "Muon is scalable for LLM training", 2025, arXiv:2502.16982).
    case matchAdamW
  }

  public var momentum = 0.95
  public var nesterov = true
  /// Newton-Schulz iterations.
  public var iterations = 5
  public var scale = Scale.matchAdamW
  /// A factor on the learning rate of matrices.
  public var rateScale = 1.0
  /// By which share, times the learning rate, matrices shrink in a step.
  public var weightDecay = 0.1
  /// The type in which matrices are orthogonalised; bfloat16 is enough.
  public var precision = Precision.bfloat16
  /// For everything that is not a matrix.
  public var adamW = AdamWOptimizer()

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(momentum >= 0 && momentum < 1, "momentum", momentum, "must be from 0 to less than 1")
    check(iterations >= 1 && iterations <= 50, "iterations", iterations, "must be from 1 to 50")
    check(rateScale > 0, "rateScale", rateScale, "must be positive")
    check(weightDecay >= 0, "weightDecay", weightDecay, "must not be negative")
  }

  private func isMatrix(_ parameter: Parameter) -> Bool { parameter.role == .matrix && parameter.shape.rank >= 2 }

  public func stateNames(for parameter: Parameter) -> [String] {
    isMatrix(parameter) ? ["momentum"] : adamW.stateNames(for: parameter)
  }

  public func update(_ slots: [OptimizerSlot], _ controls: OptimizerControls) -> [OptimizerResult] {
    var rest = adamW.update(slots.filter { !isMatrix($0.parameter) }, controls).makeIterator()
    return slots.map { isMatrix($0.parameter) ? step($0, controls) : rest.next()! }
  }

  private func step(_ slot: OptimizerSlot, _ controls: OptimizerControls) -> OptimizerResult {
    let gradient = slot.scaledGradient(controls)
    let mean = slot.state["momentum"]! * momentum + gradient * (1 - momentum)
    let direction = nesterov ? mean * momentum + gradient * (1 - momentum) : mean
    let orthogonal = direction.orthogonalized(iterations: iterations, precision: precision.element)
    let (outputs, inputs) = (Double(slot.parameter.shape[-2]), Double(slot.parameter.shape[-1]))
    let length =
      switch scale {
      case .spectral: max(1, outputs / inputs).squareRoot()
      case .matchAdamW: 0.2 * max(outputs, inputs).squareRoot()
      }
    let decayed = slot.decayedValue(weightDecay, controls)
    return slot.result(
      decayed - controls.rate * (length * rateScale) * orthogonal, state: ["momentum": mean], controls)
  }
}

extension Tensor {
  /// The nearest orthogonal matrix, about: all singular values are moved to between 0.7 and 1.2 by Newton-Schulz
  /// iterations x ← a x + (b A + c A²) x with A = x xᵀ, whose coefficients Jordan chose for speed near 0.
  ///
  /// - Parameters:
  ///   - precision: in which type the products are computed.
  /// - Returns: float32 of this shape, [..., rows, columns]; zeros where this is zero.
  public func orthogonalized(iterations: Int = 5, precision: ElementType = .float32) -> Tensor {
    let (a, b, c) = (3.4445, -4.7750, 2.0315)
    let norm = sumOfSquares([rank - 2, rank - 1]).squareRoot().expanded(at: -1).expanded(at: -1)
    var x = (cast(.float32) / (norm.cast(.float32) + 1e-7)).cast(precision)
    // The product with itself is smaller on the shorter side.
    let tall = shape[-2] > shape[-1]
    for _ in 0..<iterations {
      let gram = tall ? x.matmul(x, transposeA: true) : x.matmul(x, transposeB: true)
      let polynomial = gram * b + gram.matmul(gram) * c
      x = x * a + (tall ? x.matmul(polynomial) : polynomial.matmul(x))
    }
    return x.cast(.float32)
  }
}
