internal import Core

/// Softmax, norms, rotary embedding and AdamW of the reference, straight from their formulas.
extension ReferenceInterpreter {
  /// Calls `body` with the range of each row's elements.
  private static func forEachRow(_ x: ReferenceValue, _ body: (Int, Range<Int>) -> Void) {
    let (rows, width) = x.shape.rows
    for row in 0..<rows { body(row, row * width..<(row + 1) * width) }
  }

  static func softmax(_ x: ReferenceValue) -> ReferenceValue {
    var y = x.floats
    forEachRow(x) { _, range in
      let total = logSumExp(Array(x.floats[range]))
      for i in range { y[i] = exp(x.floats[i] - total) }
    }
    return ReferenceValue(x.type, floats: y)
  }

  /// `dx = y (dy - Σ y dy)`
  static func softmaxGradient(_ y: ReferenceValue, _ dy: ReferenceValue) -> ReferenceValue {
    var dx = y.floats
    forEachRow(y) { _, range in
      let sum = range.reduce(0.0) { $0 + y.floats[$1] * dy.floats[$1] }
      for i in range { dx[i] = y.floats[i] * (dy.floats[i] - sum) }
    }
    return ReferenceValue(y.type, floats: dx)
  }

  // MARK: Norms

  static func rmsNorm(_ norm: Norm, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    let x = inputs[0]
    let weight = norm.weight ? inputs[1].floats : []
    var y = x.floats
    var rstd: [Double] = []
    forEachRow(x) { _, range in
      let mean = range.reduce(0.0) { $0 + x.floats[$1] * x.floats[$1] } / Double(range.count)
      let r = 1 / (mean + norm.epsilon).squareRoot()
      for i in range { y[i] = x.floats[i] * r * (norm.weight ? weight[i - range.lowerBound] : 1) }
      rstd.append(r)
    }
    return zip(types, [y, rstd]).map { ReferenceValue($0, floats: $1) }
  }

  /// With g = w dy: `dx = r g - x r³ / n Σ g x`, `dw = Σ_rows dy x r`.
  static func rmsNormGradient(_ norm: Norm, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    var rest = inputs
    let x = rest.removeFirst()
    let weight = norm.weight ? rest.removeFirst().floats : []
    let (rstd, dy) = (rest[0].floats, rest[1].floats)
    var dx = x.floats
    var dweight = [Double](repeating: 0, count: x.shape[-1])
    forEachRow(x) { row, range in
      let r = rstd[row]
      func g(_ i: Int) -> Double { dy[i] * (norm.weight ? weight[i - range.lowerBound] : 1) }
      let sum = range.reduce(0.0) { $0 + g($1) * x.floats[$1] }
      for i in range {
        dx[i] = r * g(i) - x.floats[i] * r * r * r / Double(range.count) * sum
        dweight[i - range.lowerBound] += dy[i] * x.floats[i] * r
      }
    }
    return zip(types, [dx] + (norm.weight ? [dweight] : [])).map { ReferenceValue($0, floats: $1) }
  }

  static func layerNorm(_ norm: Norm, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    let x = inputs[0]
    let weight = norm.weight ? inputs[1].floats : []
    let bias = norm.bias ? inputs[norm.weight ? 2 : 1].floats : []
    var y = x.floats
    var means: [Double] = []
    var rstd: [Double] = []
    forEachRow(x) { _, range in
      let n = Double(range.count)
      let mean = range.reduce(0.0) { $0 + x.floats[$1] } / n
      let variance = range.reduce(0.0) { $0 + (x.floats[$1] - mean) * (x.floats[$1] - mean) } / n
      let r = 1 / (variance + norm.epsilon).squareRoot()
      for i in range {
        let c = i - range.lowerBound
        y[i] = (x.floats[i] - mean) * r * (norm.weight ? weight[c] : 1) + (norm.bias ? bias[c] : 0)
      }
      means.append(mean)
      rstd.append(r)
    }
    return zip(types, [y, means, rstd]).map { ReferenceValue($0, floats: $1) }
  }

  /// With h = (x - mean) r and g = w dy: `dx = r (g - mean(g) - h mean(g h))`, `dw = Σ_rows dy h`, `db = Σ_rows dy`.
  static func layerNormGradient(_ norm: Norm, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    var rest = inputs
    let x = rest.removeFirst()
    let weight = norm.weight ? rest.removeFirst().floats : []
    let (means, rstd, dy) = (rest[0].floats, rest[1].floats, rest[2].floats)
    var dx = x.floats
    var dweight = [Double](repeating: 0, count: x.shape[-1])
    var dbias = dweight
    forEachRow(x) { row, range in
      let n = Double(range.count)
      func h(_ i: Int) -> Double { (x.floats[i] - means[row]) * rstd[row] }
      func g(_ i: Int) -> Double { dy[i] * (norm.weight ? weight[i - range.lowerBound] : 1) }
      let meanG = range.reduce(0.0) { $0 + g($1) } / n
      let meanGH = range.reduce(0.0) { $0 + g($1) * h($1) } / n
      for i in range {
        dx[i] = rstd[row] * (g(i) - meanG - h(i) * meanGH)
        dweight[i - range.lowerBound] += dy[i] * h(i)
        dbias[i - range.lowerBound] += dy[i]
      }
    }
    let parameters = (norm.weight ? [dweight] : []) + (norm.bias ? [dbias] : [])
    return zip(types, [dx] + parameters).map { ReferenceValue($0, floats: $1) }
  }

  // MARK: Rotary embedding

  /// `(a, b) -> (a cos - b sin, a sin + b cos)` for each pair of a head's elements.
  static func rotary(_ rotary: Rotary, _ inputs: [ReferenceValue], _ type: TensorType) -> ReferenceValue {
    let (x, cosines, sines) = (inputs[0], inputs[1], inputs[2])
    let (batch, positions, heads, size) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    let half = size / 2
    var y = x.floats
    for b in 0..<batch {
      for t in 0..<positions {
        for h in 0..<heads {
          let head = ((b * positions + t) * heads + h) * size
          for i in 0..<half {
            let angle = ((cosines.shape.rank == 3 ? b * positions : 0) + t) * half + i
            let cosine = cosines.floats[angle]
            let sine = rotary.inverse ? -sines.floats[angle] : sines.floats[angle]
            let first = head + (rotary.interleaved ? 2 * i : i)
            let second = head + (rotary.interleaved ? 2 * i + 1 : i + half)
            y[first] = x.floats[first] * cosine - x.floats[second] * sine
            y[second] = x.floats[first] * sine + x.floats[second] * cosine
          }
        }
      }
    }
    return ReferenceValue(type, floats: y)
  }

  // MARK: AdamW

  /// Where `apply` is false everything stays as it is.
  static func adamW(_ options: AdamW, _ inputs: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    let (rate, scale, step) = (inputs[0].double(0), inputs[1].double(0), inputs[2].double(0))
    let applies = inputs[3].isTrue(0)
    let n = options.tensors
    let (correction1, correction2) = (1 - pow(options.beta1, step), 1 - pow(options.beta2, step))
    var parameters = inputs[4..<(4 + n)].map(\.floats)
    let gradients = inputs[(4 + n)..<(4 + 2 * n)].map(\.floats)
    var first = inputs[(4 + 2 * n)..<(4 + 3 * n)].map(\.floats)
    var second = inputs[(4 + 3 * n)...].map(\.floats)
    for tensor in 0..<n where applies {
      let rate = rate * options.rateScale[tensor]
      for i in parameters[tensor].indices {
        let g = gradients[tensor][i] * scale
        let m = options.beta1 * first[tensor][i] + (1 - options.beta1) * g
        let v = options.beta2 * second[tensor][i] + (1 - options.beta2) * g * g
        let p = parameters[tensor][i]
        let direction = m / correction1 / ((v / correction2).squareRoot() + options.epsilon)
        parameters[tensor][i] = p - rate * (direction + options.weightDecay[tensor] * p)
        first[tensor][i] = m
        second[tensor][i] = v
      }
    }
    let working = (0..<n).filter { options.working[$0] }.map { parameters[$0].map(ElementType.bfloat16.rounded) }
    return zip(types, parameters + first + second + working).map { ReferenceValue($0, floats: $1) }
  }
}
