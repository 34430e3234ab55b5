/// Optimizer updates.

extension Tensor {
  /// One tensor of an AdamW step; all float32 of one shape but the gradient, which may be bfloat16.
  public struct AdamWSlot {
    public var value: Tensor
    public var gradient: Tensor
    public var mean: Tensor
    public var square: Tensor
    public var weightDecay: Double
    /// A factor on the learning rate.
    public var rateScale: Double
    /// Whether a bfloat16 copy of the new value is wanted too.
    public var working: Bool

    public init(
      value: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, weightDecay: Double, rateScale: Double = 1,
      working: Bool = false
    ) {
      self.value = value
      self.gradient = gradient
      self.mean = mean
      self.square = square
      self.weightDecay = weightDecay
      self.rateScale = rateScale
      self.working = working
    }
  }

  /// One AdamW step (Loshchilov and Hutter, 2019, arXiv:1711.05101) over many tensors as one operation.
  ///
  /// - Parameters:
  ///   - rate: the learning rate, a float32 scalar, as are `gradientScale`, by which gradients are multiplied first, and
  ///     `step`, counted from 1.
  ///   - apply: a bool scalar; false: nothing changes.
  /// - Returns: for each slot the new value, the new mean and square of the gradient, and the bfloat16 copy if wanted.
  public static func adamW(
    _ slots: [AdamWSlot], rate: Tensor, gradientScale: Tensor, step: Tensor, apply: Tensor,
    beta1: Double, beta2: Double, epsilon: Double
  ) -> [(value: Tensor, mean: Tensor, square: Tensor, working: Tensor?)] {
    if slots.isEmpty { return [] }
    let op = AdamW(
      beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: slots.map(\.weightDecay),
      rateScale: slots.map(\.rateScale), working: slots.map(\.working))
    let controls = [rate, gradientScale, step, apply]
    let (values, gradients) = (slots.map(\.value), slots.map(\.gradient))
    let results = recordAll(.adamW(op), controls + values + gradients + slots.map(\.mean) + slots.map(\.square))
    let n = slots.count
    var copies = results[(3 * n)...].makeIterator()
    return slots.indices.map {
      (results[$0], results[n + $0], results[2 * n + $0], slots[$0].working ? copies.next() : nil)
    }
  }
}
