/// What the cases of `Op` carry.

/// A value given at run time: its place in the program's list of inputs is found by `id`.
public struct Input: Hashable, Sendable {
  package let id: Int
  public let name: String
  public let type: TensorType
}

/// A value known when the graph is made: one number repeated, or an array.
public enum Literal: Hashable, Sendable {
  case fill(Scalar, TensorType)
  case data(TensorData)
}

/// A number that is exact in any element type.
public enum Scalar: Hashable, Sendable {
  case integer(Int64)
  case float(Double)

  public var double: Double {
    switch self {
    case .integer(let value): Double(value)
    case .float(let value): value
    }
  }

  /// As an integer; fractions are cut off, what does not fit saturates, NaN gives 0.
  public var integer: Int64 {
    switch self {
    case .integer(let value): value
    case .float(let value): Int64(saturating: value)
    }
  }
}

extension Int64 {
  /// Towards zero; beyond the range the nearest end; 0 for NaN.
  package init(saturating value: Double) {
    if value.isNaN {
      self = 0
    } else if value >= 9.2233720368547758e18 {
      self = .max
    } else if value <= -9.2233720368547758e18 {
      self = .min
    } else {
      self = Int64(value)
    }
  }
}

public enum Distribution: Hashable, Sendable {
  /// 32 random bits as a non-negative int64, or as an int32.
  case bits
  /// [0, 1) in steps of 2^-24.
  case uniform
  case normal
}

public enum Unary: Hashable, Sendable, CaseIterable {
  case negate, absolute, sign, exp, log, squareRoot, reciprocalSquareRoot, reciprocal
  case sine, cosine, tanh, erf, sigmoid, floor, ceil, round
  case logicalNot, bitwiseNot
  /// bool result: neither infinite nor NaN
  case isFinite
  case relu, reluSquared, geluTanh, geluErf, silu
}

/// The activations that a matrix product can apply as it writes its result.
public enum Activation: String, Hashable, Sendable, CaseIterable, Codable {
  case relu, reluSquared, geluTanh, geluErf, silu

  public var unary: Unary {
    switch self {
    case .relu: .relu
    case .reluSquared: .reluSquared
    case .geluTanh: .geluTanh
    case .geluErf: .geluErf
    case .silu: .silu
    }
  }
}

extension Unary {
  /// The activation of the same name, if this is one.
  package var activation: Activation? { Activation.allCases.first { $0.unary == self } }
}

/// Arithmetic on two operands of one type. Integers wrap; integer division truncates and gives 0 for a divisor of 0;
/// `modulo` has the sign of the divisor.
public enum Binary: Hashable, Sendable, CaseIterable {
  case add, subtract, multiply, divide, maximum, minimum, power, modulo
  case and, or, xor, shiftLeft, shiftRight
}

public enum Comparison: Hashable, Sendable, CaseIterable {
  case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
}

public enum Reduction: Int, Hashable, Sendable, CaseIterable {
  case sum = 0, product, maximum, minimum, sumOfSquares
  /// bool: and
  case all
  /// bool: or
  case any
}

/// `start ..< end` in steps of `step` along one axis.
public struct Slice: Hashable, Sendable {
  public var start: Int
  public var end: Int
  public var step: Int

  public init(_ start: Int, _ end: Int, step: Int = 1) {
    self.start = start
    self.end = end
    self.step = step
  }

  public var count: Int { max(0, (end - start + step - 1) / step) }
}

/// Zeros added along one axis: before, after, and between each two neighbours.
public struct Padding: Hashable, Sendable {
  public var before: Int
  public var after: Int
  public var between: Int

  public init(before: Int = 0, after: Int = 0, between: Int = 0) {
    self.before = before
    self.after = after
    self.between = between
  }
}

/// A matrix product and what is done to its result while it is written: `residual + activation(a · b + bias)`.
public struct Matmul: Hashable, Sendable {
  public var transposeA = false
  public var transposeB = false
  /// The type of the result; sums are kept in `accumulator` of the operands' type whatever it is.
  public var type: ElementType
  public var bias = false
  public var activation: Activation?
  /// Whether `a · b + bias` is a second result.
  public var keepsPreActivation = false
  public var residual = false

  /// Whether anything is done to the product as it is written.
  var hasEpilogue: Bool { bias || activation != nil || keepsPreActivation || residual }

  public init(transposeA: Bool = false, transposeB: Bool = false, type: ElementType) {
    self.transposeA = transposeA
    self.transposeB = transposeB
    self.type = type
  }
}

/// A product of rows with the matrices of their groups.
public struct GroupedMatmul: Hashable, Sendable {
  /// Whether each group's matrix is [n, k], not [k, n].
  public var transposed: Bool
  /// The type of the result; sums are kept in `accumulator` of the operands' type whatever it is.
  public var type: ElementType
  /// How the matrices are stored in blocks, always [n, k] then; nil: as floats.
  public var format: BlockFormat?
  /// As in `BlockMatmul`.
  public var exact = false

  public init(transposed: Bool, type: ElementType) {
    self.transposed = transposed
    self.type = type
  }
}

public struct Norm: Hashable, Sendable {
  public var epsilon: Double
  public var weight: Bool
  public var bias: Bool

  package init(epsilon: Double, weight: Bool, bias: Bool) {
    self.epsilon = epsilon
    self.weight = weight
    self.bias = bias
  }
}

/// Rotation of pairs of a head's elements by an angle that grows with the position: (2i, 2i+1) if interleaved, else
/// (i, i + d/2). Su et al., RoFormer (2021), arXiv:2104.09864.
public struct Rotary: Hashable, Sendable {
  public var interleaved: Bool
  public var inverse: Bool

  package init(interleaved: Bool, inverse: Bool) {
    self.interleaved = interleaved
    self.inverse = inverse
  }
}

/// Which keys a query sees and how scores become weights; see `CKernels/include/attention.h` for the formula.
///
/// The last query stands at the last key's position.
public struct Attention: Hashable, Sendable {
  public var scale: Double
  /// Whether keys after the query are hidden.
  public var causal: Bool
  /// How far a query sees; nil: without limit. Causal: the `window` last keys, the query's own position among them. Else as
  /// far as `window` positions back and ahead.
  public var window: Int?
  public var softcap: Double?
  public var segments = false
  public var sinks = false
  /// Whether an input says how many keys there are (a cache that is not full). No gradient.
  public var lengths = false
  /// Whether keys and values are int8 with a factor for each position and head. No gradient.
  public var scales = false

  public init(scale: Double, causal: Bool = true, window: Int? = nil, softcap: Double? = nil) {
    self.scale = scale
    self.causal = causal
    self.window = window
    self.softcap = softcap
  }

  /// Where in the list of inputs the optional ones are.
  package var segmentsIndex: Int? { segments ? 3 : nil }
  package var sinksIndex: Int? { sinks ? 3 + (segments ? 1 : 0) : nil }
  package var lengthsIndex: Int? { lengths ? 3 + (segments ? 1 : 0) + (sinks ? 1 : 0) : nil }
  /// Of the keys' factors; those of the values follow.
  package var scalesIndex: Int? { scales ? 3 + (segments ? 1 : 0) + (sinks ? 1 : 0) + (lengths ? 1 : 0) : nil }

  /// Which keys a query at `position` sees of `count`.
  package func visible(from position: Int, of count: Int) -> Range<Int> {
    let behind = window.map { position - $0 + (causal ? 1 : 0) } ?? 0
    let end = causal ? position + 1 : window.map { position + $0 + 1 } ?? count
    let first = min(max(behind, 0), count)
    return first..<max(first, min(max(end, 0), count))
  }
}

/// Attention of rows to the keys of their sequences, which lie in blocks of a pool; see
/// `CKernels/include/paged_attention.h` for the formula and for what a row's bits depend on.
public struct PagedAttention: Hashable, Sendable {
  public var scale: Double
  /// The last keys that a row sees, its own among them; nil: all up to its own.
  public var window: Int?
  public var softcap: Double?
  /// Slots of the pool in a block.
  public var blockSize: Int
  public var sinks = false
  /// Whether keys and values are int8 with a factor for each slot and head.
  public var scales = false

  /// What causal attention does, to pages of `blockSize` positions.
  public init(_ attention: Attention, blockSize: Int) {
    precondition(attention.causal && blockSize > 0, "pages hold positive numbers of positions and are read causally")
    scale = attention.scale
    window = attention.window
    softcap = attention.softcap
    self.blockSize = blockSize
  }

  /// Where in the list of inputs the optional ones are; of the keys' factors, those of the values follow.
  package var sinksIndex: Int? { sinks ? 6 : nil }
  package var scalesIndex: Int? { scales ? 6 + (sinks ? 1 : 0) : nil }

  /// Which of the `count` positions of a table a row at `position` sees.
  package func visible(from position: Int, of count: Int) -> Range<Int> {
    guard position >= 0 else { return 0..<0 }
    let end = min(position + 1, count)
    return min(window.map { max(0, position + 1 - $0) } ?? 0, end)..<end
  }
}

/// Cross-entropy of `x · weightᵀ` against targets without holding the logits; negative targets do not count.
public struct LinearCrossEntropy: Hashable, Sendable {
  public var softcap: Double?
  /// Whether the loss is a result.
  public var loss: Bool
  /// Whether the gradients (with `dloss` as an input) are results.
  public var gradient: Bool
  /// The type of the weight's gradient: the weight's, or float32.
  public var weightGradientType: ElementType

  package init(softcap: Double?, loss: Bool, gradient: Bool, weightGradientType: ElementType) {
    self.softcap = softcap
    self.loss = loss
    self.gradient = gradient
    self.weightGradientType = weightGradientType
  }
}

/// One AdamW step over many tensors; see `CKernels/include/optimizer.h` for the formula.
public struct AdamW: Hashable, Sendable {
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  /// One per tensor.
  public var weightDecay: [Double]
  /// Factors on the learning rate, one per tensor.
  public var rateScale: [Double]
  /// For which tensors a bfloat16 copy of the new parameter is a result too.
  public var working: [Bool]

  package init(
    beta1: Double, beta2: Double, epsilon: Double, weightDecay: [Double], rateScale: [Double], working: [Bool]
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.rateScale = rateScale
    self.working = working
  }

  public var tensors: Int { weightDecay.count }
}

/// An elementwise expression: steps in order, each refers to inputs or earlier steps; the last step is the result.
public struct Fusion: Hashable, Sendable {
  public enum Operand: Hashable, Sendable {
    case input(Int)
    case step(Int)
  }

  public struct Step: Hashable, Sendable {
    public var op: Op
    public var operands: [Operand]
    public var type: ElementType

    package init(op: Op, operands: [Operand], type: ElementType) {
      self.op = op
      self.operands = operands
      self.type = type
    }
  }

  public var steps: [Step]
  /// The shape of the result, without which inputs that are all broadcast would not say it.
  public var shape: Shape

  package init(steps: [Step], shape: Shape) {
    self.steps = steps
    self.shape = shape
  }
}
