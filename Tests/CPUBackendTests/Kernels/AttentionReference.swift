// Attention written out in Double, forward and backward, with a bound of what rounding may do to each result.

import CKernels
import Core
import Testing

/// A tensor [batch, positions, heads, headSize] with room between its rows.
struct HeadTensor {
  let buffer: Buffer
  let positions: Int, heads: Int, headSize: Int, row: Int

  init(_ type: ck_type, _ batch: Int, _ positions: Int, _ heads: Int, _ headSize: Int, padding: Int) {
    (self.positions, self.heads, self.headSize, row) = (positions, heads, headSize, heads * headSize + padding)
    buffer = Buffer(type, count: batch * positions * row)
  }

  var rowStride: Int64 { Int64(row) }
  var batchStride: Int64 { Int64(positions * row) }

  func index(_ b: Int, _ t: Int, _ h: Int, _ i: Int) -> Int { (b * positions + t) * row + h * headSize + i }

  func fill(_ numbers: inout SeededNumbers) {
    for i in 0..<buffer.count { buffer[i] = numbers.double(-1, 1) }
  }

  /// The same values in a tensor of the same shape with nothing written, to be written by a kernel.
  func empty() -> HeadTensor {
    HeadTensor(
      buffer.type, positions == 0 ? 0 : buffer.count / (positions * row), positions, heads, headSize,
      padding: row - heads * headSize)
  }
}

/// One problem: sizes, options, inputs.
struct AttentionCase: CustomStringConvertible {
  var type: ck_type
  var batch: Int, queries: Int, keys: Int, kvHeads: Int, group: Int, headSize: Int
  var causal: Bool, window: Int, softcap: Double, scale: Double
  var segments: [Int32]?
  var sinks: [Float]?
  /// Of a cache that is not full; forward only.
  var lengths: [Int32]?
  /// The factors of int8 keys and values, [batch, keys, kvHeads]; forward only.
  var scales: (k: [Float], v: [Float])?
  var q: HeadTensor, k: HeadTensor, v: HeadTensor, dO: HeadTensor

  var heads: Int { kvHeads * group }
  /// Whether there is no gradient.
  var isCache: Bool { lengths != nil || scales != nil }

  init(type: ck_type, queries: Int, keys: Int, headSize: Int, _ numbers: inout SeededNumbers) {
    (self.type, self.queries, self.keys, self.headSize) = (type, queries, keys, headSize)
    batch = numbers.int(1...2)
    kvHeads = numbers.int(1...3)
    group = numbers.int(1...3)
    causal = numbers.int(0...1) == 1
    window = numbers.int(0...2) == 0 ? numbers.int(1...100) : 0
    softcap = numbers.int(0...3) == 0 ? 2 : 0
    scale = Double((numbers.int(0...9) == 0 ? -1 : 1) / Float(headSize).squareRoot())
    if numbers.int(0...2) == 0 { sinks = (0..<kvHeads * group).map { _ in Float(numbers.double(-1, 2)) } }
    if queries == keys && numbers.int(0...2) == 0 {
      var segment: Int32 = 0
      segments = (0..<batch * keys).map { _ in
        if numbers.int(0...20) == 0 { segment += 1 }
        return segment
      }
    }
    q = HeadTensor(type, batch, queries, kvHeads * group, headSize, padding: numbers.int(0...3))
    dO = HeadTensor(type, batch, queries, kvHeads * group, headSize, padding: numbers.int(0...3))
    k = HeadTensor(type, batch, keys, kvHeads, headSize, padding: numbers.int(0...3))
    v = HeadTensor(type, batch, keys, kvHeads, headSize, padding: numbers.int(0...3))
    for tensor in [q, dO, k, v] { tensor.fill(&numbers) }
  }

  var description: String {
    "\(type) batch \(batch), \(queries) queries, \(keys) keys, heads \(kvHeads) x \(group) of \(headSize), "
      + "causal \(causal), window \(window), softcap \(softcap), scale \(scale), segments \(segments != nil), "
      + "sinks \(sinks != nil), lengths \(lengths ?? []), int8 \(scales != nil)"
  }

  /// Keys or values with the factors of those that are int8.
  func values(of tensor: HeadTensor, _ scales: [Float]?) -> [Double] {
    guard let scales else { return tensor.buffer.values }
    return tensor.buffer.values.enumerated().map { index, value in
      let (position, element) = (index / tensor.row, index % tensor.row)
      return element < kvHeads * headSize ? value * Double(scales[position * kvHeads + element / headSize]) : value
    }
  }

  /// The same problem on a cache: `lengths` of each batch, int8 if wanted.
  func onCache(int8: Bool, _ numbers: inout SeededNumbers) -> AttentionCase {
    var c = self
    c.segments = nil
    c.lengths = (0..<batch).map { _ in Int32(numbers.int(-1...keys + 1)) }
    guard int8 else { return c }
    c.k = HeadTensor(CK_I8, batch, keys, kvHeads, headSize, padding: numbers.int(0...3))
    c.v = HeadTensor(CK_I8, batch, keys, kvHeads, headSize, padding: numbers.int(0...3))
    for tensor in [c.k, c.v] {
      for i in 0..<tensor.buffer.count { tensor.buffer[i] = Double(numbers.int(-127...127)) }
    }
    c.scales = (
      (0..<batch * keys * kvHeads).map { _ in Float(numbers.double(0.002, 0.01)) },
      (0..<batch * keys * kvHeads).map { _ in Float(numbers.double(0.002, 0.01)) }
    )
    return c
  }

  func sees(_ b: Int, _ t: Int, _ s: Int) -> Bool {
    let length = lengths.map { min(max(0, Int($0[b])), keys) } ?? keys
    let position = t + length - queries
    if s >= length || causal && s > position { return false }
    if window > 0 && (causal ? position - s >= window : abs(position - s) > window) { return false }
    if let segments { return segments[b * keys + s] == segments[b * keys + t] }
    return true
  }
}

/// Values by the index of their tensors, and for each the sum of the magnitudes that were added up to it.
struct AttentionResult {
  var o: [Double], logsumexp: [Double], dq: [Double], dk: [Double], dv: [Double], dSinks: [Double]
  var oBound: [Double], dqBound: [Double], dkBound: [Double], dvBound: [Double], dSinksBound: [Double]

  init(_ c: AttentionCase) {
    let d = c.headSize
    let q = c.q.buffer.values, dO = c.dO.buffer.values
    let k = c.values(of: c.k, c.scales?.k), v = c.values(of: c.v, c.scales?.v)
    o = [Double](repeating: 0, count: q.count)
    (oBound, dq, dqBound) = (o, o, o)
    dk = [Double](repeating: 0, count: k.count)
    dv = [Double](repeating: 0, count: v.count)
    (dkBound, dvBound) = (dk, dv)
    logsumexp = [Double](repeating: -.infinity, count: c.batch * c.heads * c.queries)
    dSinks = [Double](repeating: 0, count: c.heads)
    dSinksBound = dSinks
    for b in 0..<c.batch {
      for h in 0..<c.heads {
        for t in 0..<c.queries {
          let g = h / c.group, qi = c.q.index(b, t, h, 0), oi = c.dO.index(b, t, h, 0)
          let seen = (0..<c.keys).filter { c.sees(b, t, $0) }
          var scores = seen.map { s in
            let ki = c.k.index(b, s, g, 0)
            return c.scale * (0..<d).reduce(0) { $0 + q[qi + $1] * k[ki + $1] }
          }
          if c.softcap > 0 { scores = scores.map { c.softcap * tanh($0 / c.softcap) } }
          var denominator = scores.reduce(0) { $0 + exp($1) }
          if let sinks = c.sinks { denominator += exp(Double(sinks[h])) }
          if denominator == 0 { continue }
          logsumexp[(b * c.heads + h) * c.queries + t] = log(denominator)
          let p = scores.map { exp($0) / denominator }
          var dp = p, dpBound = p, delta = 0.0, deltaBound = 0.0
          for (n, s) in seen.enumerated() {
            let vi = c.v.index(b, s, g, 0)
            (dp[n], dpBound[n]) = (0, 0)
            for i in 0..<d {
              o[qi + i] += p[n] * v[vi + i]
              oBound[qi + i] += p[n] * abs(v[vi + i])
              dp[n] += dO[oi + i] * v[vi + i]
              dpBound[n] += abs(dO[oi + i] * v[vi + i])
              dv[vi + i] += p[n] * dO[oi + i]
              dvBound[vi + i] += p[n] * abs(dO[oi + i])
            }
            delta += p[n] * dp[n]
            deltaBound += p[n] * dpBound[n]
          }
          if let sinks = c.sinks {
            dSinks[h] -= exp(Double(sinks[h])) / denominator * delta
            dSinksBound[h] += exp(Double(sinks[h])) / denominator * deltaBound
          }
          for (n, s) in seen.enumerated() {
            let ki = c.k.index(b, s, g, 0), ratio = c.softcap > 0 ? scores[n] / c.softcap : 0
            let ds = p[n] * (dp[n] - delta) * c.scale * (1 - ratio * ratio)
            let bound = p[n] * (dpBound[n] + deltaBound) * abs(c.scale)
            for i in 0..<d {
              dq[qi + i] += ds * k[ki + i]
              dqBound[qi + i] += bound * abs(k[ki + i])
              dk[ki + i] += ds * q[qi + i]
              dkBound[ki + i] += bound * abs(q[qi + i])
            }
          }
        }
      }
    }
  }
}
