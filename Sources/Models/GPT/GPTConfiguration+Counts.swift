// How many numbers a GPT has and how many operations it takes: for progress displays, memory estimates and MFU.
//
// Invariant: `parameterCount` is the number of elements of the parameters that the model declares.

extension GPTConfiguration {
  /// Elements of all parameters; a tied head counts once.
  public var parameterCount: Int {
    let bias = biases ? 1 : 0
    let normCount = norm == .layer ? 2 * width : width
    let attention =
      bias * (heads + 2 * kvHeads) * headSize + bias * width + (qkNorm ? 2 * headSize : 0)
    let feedForward = bias * (inputMatrices * mlpWidth + width)
    let tables =
      vocabulary * width * (tiedHead ? 1 : 2) + (positions == .learned ? context * width : 0)
    return tables + normCount + layers * (layerMatrixCount + attention + feedForward + 2 * normCount)
  }

  /// Floating-point operations of a forward pass for one token of a sequence of `length`, on average over the sequence:
  /// two for each element of a matrix (the head among them), and those of causal attention. Norms, activations and the
  /// like, far below a hundredth, do not count.
  public func forwardFLOPs(length: Int) -> Double {
    let matrices = 2 * Double(layers * layerMatrixCount + vocabulary * width)
    // Scores and sums take 2 · size operations each for every key seen, which are (length + 1) / 2 on average.
    let attention = Double(layers * heads * headSize) * 4 * Double(length + 1) / 2
    return matrices + attention
  }

  /// Floating-point operations of forward and backward for one token: the backward pass has two products for each of the
  /// forward pass. What is computed again to save memory does not count.
  public func trainingFLOPs(length: Int) -> Double { 3 * forwardFLOPs(length: length) }

  private var inputMatrices: Int { activation == .swiGLU ? 2 : 1 }

  /// Elements of a layer's matrices.
  private var layerMatrixCount: Int {
    width * headSize * (2 * heads + 2 * kvHeads) + (inputMatrices + 1) * width * mlpWidth
  }
}
