/// Gradient rules of products and composites.

extension Matmul {
  func gradient(_ x: [Tensor], _ y: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?] {
    precondition(
      !bias && activation == nil && !residual && !keepsPreActivation, "epilogues are fused after differentiation")
    let (a, b) = (x[0], x[1])
    guard let cotangent = cotangents[0], a.element.isFloat else { return [nil, nil] }
    let dy = cotangent.cast(a.element)
    // y = a b:  da = dy bᵀ,  db = aᵀ dy;  where an operand is transposed, so is its gradient.
    let da =
      transposeA
      ? b.product(dy, transposeB, true) : dy.product(b, false, !transposeB)
    let db =
      transposeB
      ? dy.product(a, true, transposeA) : a.product(dy, !transposeA, false)
    return [da.summed(to: a.shape), db.summed(to: b.shape)]
  }
}

extension Tensor {
  fileprivate func product(_ other: Tensor, _ transposeA: Bool, _ transposeB: Bool) -> Tensor {
    .record(.matmul(Matmul(transposeA: transposeA, transposeB: transposeB, type: element)), [self, other])
  }
}

extension Norm {
  /// x [, weight] -> y, rstd.  The statistics are for the gradient only and have none of their own.
  func rmsGradient(_ x: [Tensor], _ y: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?] {
    precondition(cotangents[1] == nil, "the statistics of a norm have no gradient")
    guard let dy = cotangents[0] else { return x.map { _ in nil } }
    return Tensor.recordAll(.rmsNormGradient(self), x + [y[1], dy])
  }

  /// x [, weight [, bias]] -> y, mean, rstd
  func layerGradient(_ x: [Tensor], _ y: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?] {
    precondition(cotangents[1] == nil && cotangents[2] == nil, "the statistics of a norm have no gradient")
    guard let dy = cotangents[0] else { return x.map { _ in nil } }
    return Tensor.recordAll(.layerNormGradient(self), Array(x.prefix(weight ? 2 : 1)) + [y[1], y[2], dy])
  }
}

extension Attention {
  /// q, k, v [, segments] [, sinks] -> o, logsumexp
  func gradient(_ x: [Tensor], _ y: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?] {
    precondition(cotangents[1] == nil, "the log-sum-exp of attention has no gradient")
    precondition(!lengths && !scales, "attention to a cache has no gradient: give whole keys and values")
    guard let d = cotangents[0] else { return x.map { _ in nil } }
    let results = Tensor.recordAll(.attentionGradient(self), x + [y[0], y[1], d])
    return Array(results[0...2]) + (segments ? [nil] : []) + (sinks ? [results[3]] : [])
  }
}

extension LinearCrossEntropy {
  /// x, weight, targets -> loss
  func gradient(_ x: [Tensor], _ dloss: Tensor) -> [Tensor?] {
    var options = self
    options.loss = false
    options.gradient = true
    let results = Tensor.recordAll(.linearCrossEntropy(options), x + [dloss])
    return [results[0], results[1], nil]
  }
}

// MARK: - Gradients of gradients

extension Op {
  /// The gradient of an operation that is itself a gradient: that of the same computation in simple operations. Slower, but
  /// it is only met in second derivatives.
  func decomposedGradient(_ x: [Tensor], _ y: [Tensor], _ cotangents: [Tensor?]) -> [Tensor?] {
    let simple = decomposed(x)
    var result = [Tensor?](repeating: nil, count: x.count)
    for (value, cotangent) in zip(simple, cotangents) {
      guard let cotangent else { continue }
      let floats = x.indices.filter { x[$0].element.isFloat && !savedInputs(x.count).contains($0) }
      let found = gradients(
        of: value, with: floats.map { x[$0] }, cotangent: cotangent.cast(value.element), partial: true)
      for (i, gradient) in zip(floats, found) { result[i] = result[i].map { $0 + gradient } ?? gradient }
    }
    return result
  }

  /// The results of a composite gradient in simple operations, as functions of its inputs alone: saved statistics among the
  /// inputs are computed anew, so that the derivative with respect to what they depend on is complete.
  private func decomposed(_ x: [Tensor]) -> [Tensor] {
    switch self {
    case .softmaxGradient:
      let (y, dy) = (x[0], x[1])
      return [y * (dy - (y * dy).sum([-1], keeps: true))]
    case .rmsNormGradient(let norm):
      let weight = norm.weight ? x[1] : nil
      return vjp([x[0]] + (weight.map { [$0] } ?? []), x[norm.weight ? 3 : 2]) {
        norm.rms($0[0], weight == nil ? nil : $0[1])
      }
    case .layerNormGradient(let norm):
      let n = norm.weight ? 1 : 0
      let vectors = norm.weight ? [x[1]] : []
      let bias = norm.bias ? [Tensor.zeros([x[0].shape[-1]], norm.weight ? x[1].element : .float32)] : []
      return vjp([x[0]] + vectors + bias, x[n + 3]) { p in
        norm.layer(p[0], norm.weight ? p[1] : nil, norm.bias ? p[n + 1] : nil)
      }
    case .attentionGradient(let attention):
      let segments = attention.segments ? x[3] : nil
      let sinks = attention.sinks ? [x[attention.segments ? 4 : 3]] : []
      return vjp(Array(x[0...2]) + sinks, x[x.count - 1]) { p in
        attention.simple(p[0], p[1], p[2], segments: segments, sinks: attention.sinks ? p[3] : nil)
      }
    case .linearCrossEntropy(let options):
      return vjp([x[0], x[1]], x[3]) { options.simple($0[0], $0[1], x[2]) }
    default: preconditionFailure("\(name) is no gradient of a composite")
    }
  }

  /// Which of the inputs are statistics of the way forward, through which nothing flows.
  private func savedInputs(_ count: Int) -> Range<Int> {
    switch self {
    case .rmsNormGradient: (count - 2)..<(count - 1)
    case .layerNormGradient, .attentionGradient: (count - 3)..<(count - 1)
    default: 0..<0
    }
  }

  private func vjp(_ x: [Tensor], _ dy: Tensor, _ function: ([Tensor]) -> Tensor) -> [Tensor] {
    gradients(of: function(x), with: x, cotangent: dy, partial: true)
  }
}

extension Norm {
  func rms(_ x: Tensor, _ weight: Tensor?) -> Tensor {
    let y = x * ((x * x).mean([-1], keeps: true) + epsilon).reciprocalSquareRoot()
    return weight.map { y * $0.cast(y.element) } ?? y
  }

  func layer(_ x: Tensor, _ weight: Tensor?, _ bias: Tensor?) -> Tensor {
    let centred = x - x.mean([-1], keeps: true)
    var y = centred * ((centred * centred).mean([-1], keeps: true) + epsilon).reciprocalSquareRoot()
    if let weight { y = y * weight.cast(y.element) }
    if let bias { y = y + bias.cast(y.element) }
    return y
  }
}

extension Attention {
  /// The whole matrix of scores, in simple operations.
  package func simple(_ q: Tensor, _ k: Tensor, _ v: Tensor, segments: Tensor?, sinks: Tensor?) -> Tensor {
    let (b, t, h, d) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
    let (s, g) = (k.shape[1], k.shape[2])
    // Heads in front, query heads grouped by their key head: [b, g, h/g * t, d] against [b, g, s, d].
    let queries = q.reshaped(b, t, g, h / g, d).permuted(0, 2, 3, 1, 4).reshaped(b, g, h / g * t, d)
    var scores = queries.matmul(k.permuted(0, 2, 1, 3), transposeB: true) * scale
    if let softcap { scores = (scores / softcap).tanh() * softcap }
    scores = scores.reshaped(b, h, t, s)
    let seen = visible(t, s, segments)
    scores = seen.select(scores, .full(-1e30, [], scores.element))
    if let sinks {
      let column = sinks.cast(scores.element).reshaped(1, h, 1, 1).broadcast(to: [b, h, t, 1])
      scores = .concatenate([scores, column], axis: -1)
    }
    var weights = scores.softmax().sliced(0..<s, axis: -1)
    weights = seen.select(weights, .zeros([], weights.element))
    let out = weights.reshaped(b, g, h / g * t, s).matmul(v.permuted(0, 2, 1, 3))
    return out.reshaped(b, g, h / g, t, d).permuted(0, 3, 1, 2, 4).reshaped(b, t, h, d)
  }

  /// bool [t, s], or [b, 1, t, s] with segments: which keys each query sees.
  private func visible(_ t: Int, _ s: Int, _ segments: Tensor?) -> Tensor {
    let query = Tensor.iota([t, 1], axis: 0) + Double(s - t)
    let key = Tensor.iota([1, s], axis: 1)
    var seen = Tensor.full(1.0, [t, s], .bool)
    if causal { seen = seen & (key .<= query) }
    if let window {
      seen = seen & (causal ? key .> query - Double(window) : (key - query).absolute() .<= Double(window))
    }
    if let segments {
      let b = segments.shape[0]
      seen = seen & (segments.reshaped(b, 1, t, 1) .== segments.reshaped(b, 1, 1, s))
    }
    return seen
  }
}

extension LinearCrossEntropy {
  /// With all logits, in simple operations.
  func simple(_ x: Tensor, _ weight: Tensor, _ targets: Tensor) -> Tensor {
    var logits = x.matmul(weight, transposeB: true, type: x.element.accumulator)
    if let softcap { logits = (logits / softcap).tanh() * softcap }
    let chosen = logits.taken(targets.maximum(0).expanded(at: -1)).reshaped([targets.count])
    let counts = targets .>= 0
    return counts.select(logits.logSumExp() - chosen, .zeros([], logits.element)).cast(.float32)
  }
}
