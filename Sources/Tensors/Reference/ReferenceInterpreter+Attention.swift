internal import Core

/// Attention of the reference: the whole matrix of weights, one query after another.
extension ReferenceInterpreter {
  /// `o = Σ_s p_s v_s`, `p = softmax(cap(scale q·k))` over the keys that a query sees (and the sink, which gives nothing).
  static func attention(_ options: Attention, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    let matrix = AttentionMatrix(options, inputs)
    var output = [Double](repeating: 0, count: types[0].shape.count)
    var logSumExps = [Double](repeating: 0, count: types[1].shape.count)
    matrix.forEachQuery { b, h, t in
      let row = matrix.row(b, h, t)
      logSumExps[(b * matrix.heads + h) * matrix.queries + t] = row.logSumExp
      let o = matrix.query(b, t, h)
      for s in 0..<matrix.keys where row.weights[s] != 0 {
        let v = matrix.key(b, s, h)
        for i in 0..<matrix.size { output[o + i] += row.weights[s] * matrix.v[v + i] }
      }
    }
    return zip(types, [output, logSumExps]).map { ReferenceValue($0, floats: $1) }
  }

  /// With dp = do·v and D = Σ p dp: `dv += p do`, `dz = p (dp - D)`, `dscore = dz cap' scale`, `dq += dscore k`,
  /// `dk += dscore q`, `dsink -= p_sink D`.
  static func attentionGradient(_ options: Attention, _ inputs: [ReferenceValue], _ types: [TensorType])
    -> [ReferenceValue]
  {
    let matrix = AttentionMatrix(options, inputs)
    let (q, k, v, dOut) = (inputs[0].floats, inputs[1].floats, inputs[2].floats, inputs[inputs.count - 1].floats)
    var dq = [Double](repeating: 0, count: q.count)
    var dk = [Double](repeating: 0, count: k.count)
    var dv = dk
    var dsinks = [Double](repeating: 0, count: matrix.heads)
    matrix.forEachQuery { b, h, t in
      let row = matrix.row(b, h, t)
      let query = matrix.query(b, t, h)
      var dweights = [Double](repeating: 0, count: matrix.keys)
      for s in 0..<matrix.keys where row.weights[s] != 0 {
        let key = matrix.key(b, s, h)
        for i in 0..<matrix.size {
          dweights[s] += dOut[query + i] * v[key + i]
          dv[key + i] += row.weights[s] * dOut[query + i]
        }
      }
      let mean = zip(row.weights, dweights).reduce(0.0) { $0 + $1.0 * $1.1 }
      for s in 0..<matrix.keys where row.weights[s] != 0 {
        let key = matrix.key(b, s, h)
        let dscore = row.weights[s] * (dweights[s] - mean) * row.slopes[s] * options.scale
        for i in 0..<matrix.size {
          dq[query + i] += dscore * k[key + i]
          dk[key + i] += dscore * q[query + i]
        }
      }
      dsinks[h] -= row.sinkWeight * mean
    }
    return zip(types, [dq, dk, dv] + (options.sinks ? [dsinks] : [])).map { ReferenceValue($0, floats: $1) }
  }
}

/// The weights that queries give to keys.
private struct AttentionMatrix {
  struct Row {
    /// Of each key; 0 where it is not seen.
    var weights: [Double]
    /// The derivative of the soft-cap at each score.
    var slopes: [Double]
    var sinkWeight: Double
    /// -infinity if there is nothing to see, not even a sink.
    var logSumExp: Double
  }

  let options: Attention
  let q, k, v: [Double]
  let segments: [Int64]?
  let sinks: [Double]?
  let lengths: [Int64]?
  let batch, queries, keys, heads, keyHeads, size: Int

  init(_ options: Attention, _ inputs: [ReferenceValue]) {
    self.options = options
    q = inputs[0].floats
    k = AttentionMatrix.values(inputs[1], options.scalesIndex.map { inputs[$0] })
    v = AttentionMatrix.values(inputs[2], options.scalesIndex.map { inputs[$0 + 1] })
    segments = options.segmentsIndex.map { inputs[$0].integers }
    sinks = options.sinksIndex.map { inputs[$0].floats }
    lengths = options.lengthsIndex.map { inputs[$0].integers }
    (batch, queries, heads, size) = (inputs[0].shape[0], inputs[0].shape[1], inputs[0].shape[2], inputs[0].shape[3])
    (keys, keyHeads) = (inputs[1].shape[1], inputs[1].shape[2])
  }

  /// Keys or values, with the factors of those that are int8.
  private static func values(_ stored: ReferenceValue, _ scales: ReferenceValue?) -> [Double] {
    guard let scales else { return stored.floats }
    let size = stored.shape[3]
    return stored.integers.enumerated().map { Double($1) * scales.floats[$0 / size] }
  }

  func forEachQuery(_ body: (_ b: Int, _ h: Int, _ t: Int) -> Void) {
    for b in 0..<batch {
      for h in 0..<heads {
        for t in 0..<queries { body(b, h, t) }
      }
    }
  }

  /// The first element of a query's (or an output's) head.
  func query(_ b: Int, _ t: Int, _ h: Int) -> Int { ((b * queries + t) * heads + h) * size }

  /// The first element of the key's (or the value's) head that query head `h` shares with its group.
  func key(_ b: Int, _ s: Int, _ h: Int) -> Int { ((b * keys + s) * keyHeads + h / (heads / keyHeads)) * size }

  func sees(_ b: Int, _ t: Int, _ s: Int) -> Bool {
    let length = lengths.map { min(max(0, Int($0[b])), keys) } ?? keys
    if !options.visible(from: t + length - queries, of: length).contains(s) { return false }
    if let segments, segments[b * keys + s] != segments[b * keys + t] { return false }
    return true
  }

  func row(_ b: Int, _ h: Int, _ t: Int) -> Row {
    var logits = [Double](repeating: -.infinity, count: keys)
    var slopes = [Double](repeating: 0, count: keys)
    for s in 0..<keys where sees(b, t, s) {
      let (q0, k0) = (query(b, t, h), key(b, s, h))
      let product = (0..<size).reduce(0.0) { $0 + q[q0 + $1] * k[k0 + $1] }
      (logits[s], slopes[s]) = ReferenceInterpreter.capped(options.scale * product, options.softcap)
    }
    let total = ReferenceInterpreter.logSumExp(logits + (sinks.map { [$0[h]] } ?? []))
    return Row(
      weights: logits.map { $0 == -.infinity ? 0 : exp($0 - total) }, slopes: slopes,
      sinkWeight: sinks.map { exp($0[h] - total) } ?? 0, logSumExp: total)
  }
}
