/// An operation of the user's own: all that the readers of a graph ask of an `Op`, as one value.
///
/// Two uses of the same `CustomOp` object on the same inputs are the same value, so `kernel` must be a pure function.
public final class CustomOp: Sendable, Hashable {
  /// Dense arrays that a kernel reads and writes; only valid during the call.
  public typealias Kernel = @Sendable (_ inputs: [TensorData], _ results: [TensorData]) -> Void
  /// The cotangents of the inputs (nil: none flows) from the inputs, the results and the results' cotangents (nil: zero).
  public typealias Gradient =
    @Sendable (_ inputs: [Tensor], _ results: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?]

  public let name: String
  let resultTypes: @Sendable ([TensorType]) -> [TensorType]
  let gradient: Gradient?
  package let reference: Kernel
  package let kernel: Kernel
  let flops: @Sendable ([TensorType]) -> Double

  /// - Parameters:
  ///   - name: shown in printed programs.
  ///   - resultTypes: the types of the results from those of the inputs; states its conditions as preconditions.
  ///   - gradient: nil if no gradient flows through.
  ///   - reference: the slow obvious definition, which the interpreter runs.
  ///   - kernel: the fast one for the CPU; the reference where nil.
  ///   - flops: floating-point operations for given input types.
  public init(
    name: String, resultTypes: @escaping @Sendable ([TensorType]) -> [TensorType], gradient: Gradient? = nil,
    reference: @escaping Kernel, kernel: Kernel? = nil,
    flops: @escaping @Sendable ([TensorType]) -> Double = { _ in 0 }
  ) {
    self.name = name
    self.resultTypes = resultTypes
    self.gradient = gradient
    self.reference = reference
    self.kernel = kernel ?? reference
    self.flops = flops
  }

  /// Records the operation.
  public func callAsFunction(_ inputs: [Tensor]) -> [Tensor] {
    Tensor.recordAll(.custom(self), inputs)
  }

  public static func == (a: CustomOp, b: CustomOp) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
