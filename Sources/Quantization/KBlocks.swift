// The blocks of 256 of llama.cpp (k-quants): sub-blocks have small integer scales that share a float16 factor. Which scales
// have the least squared error is searched: around the one that covers a sub-block's numbers, each tried scale is replaced by
// the best one for the codes that it gives.

internal import Tensors

enum KBlocks {
  // MARK: Q4_K and Q5_K

  /// x = scale · code - minimum in eight sub-blocks of 32.
  static func q45(_ x: UnsafeBufferPointer<Float>, fifthBit: Bool, _ out: UnsafeMutableRawBufferPointer) {
    let most = fifthBit ? 31 : 15
    let fits = (0..<8).map { fit(UnsafeBufferPointer(rebasing: x[(32 * $0)..<(32 * $0 + 32)]), most: most) }
    let d = Float(half: (fits.map(\.scale).max()! / 63).half)
    let least = Float(half: (fits.map(\.minimum).max()! / 63).half)
    out.storeBytes(of: d.half.littleEndian, as: UInt16.self)
    out.storeBytes(of: least.half.littleEndian, toByteOffset: 2, as: UInt16.self)
    func six(_ value: Float, _ unit: Float) -> Int { unit == 0 ? 0 : min(63, Int((value / unit).rounded())) }
    let codesStart = fifthBit ? 48 : 16
    for sub in 0..<8 {
      let (scale, minimum) = (six(fits[sub].scale, d), six(fits[sub].minimum, least))
      store(scale, minimum, of: sub, out)
      let (step, low) = (d * Float(scale), least * Float(minimum))
      for l in 0..<32 {
        let value = step == 0 ? 0 : ((x[32 * sub + l] + low) / step).rounded()
        let code = UInt8(min(max(value, 0), Float(most)))
        out[codesStart + sub / 2 * 32 + l] |= (code & 15) << UInt8(4 * (sub % 2))
        if fifthBit { out[16 + l] |= (code >> 4) << UInt8(sub) }
      }
    }
  }

  /// Six bits of a scale and of a minimum in 12 bytes that begin at byte 4.
  private static func store(_ scale: Int, _ minimum: Int, of sub: Int, _ out: UnsafeMutableRawBufferPointer) {
    if sub < 4 {
      out[4 + sub] |= UInt8(scale)
      out[8 + sub] |= UInt8(minimum)
    } else {
      out[8 + sub] = UInt8(scale & 15 | (minimum & 15) << 4)
      out[sub] |= UInt8(scale >> 4) << 6
      out[4 + sub] |= UInt8(minimum >> 4) << 6
    }
  }

  /// The scale and the minimum, neither negative, with the least error, large numbers counting for more.
  static func fit(_ x: UnsafeBufferPointer<Float>, most: Int) -> (scale: Float, minimum: Float) {
    let (low, high) = (min(x.min()!, 0), x.max()!)
    guard high > low else { return (0, -low) }
    let mean = (x.reduce(0) { $0 + $1 * $1 } / Float(x.count)).squareRoot()
    let weights = x.map { mean + abs($0) }
    func error(_ scale: Float, _ low: Float) -> Float {
      x.indices.reduce(0) { sum, l in
        let code = min(max(((x[l] - low) / scale).rounded(), 0), Float(most))
        let difference = scale * code + low - x[l]
        return sum + weights[l] * difference * difference
      }
    }
    var best = (scale: (high - low) / Float(most), low: low)
    var least = error(best.scale, best.low)
    for step in 0...20 {
      let inverse = (Float(most) - 1 + 0.1 * Float(step)) / (high - low)
      // Least squares of scale · code + low.
      var (w, c, cc, v, cv): (Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0)
      for l in x.indices {
        let code = min(max((inverse * (x[l] - low)).rounded(), 0), Float(most))
        w += weights[l]
        c += weights[l] * code
        cc += weights[l] * code * code
        v += weights[l] * x[l]
        cv += weights[l] * code * x[l]
      }
      let determinant = w * cc - c * c
      guard determinant > 0 else { continue }
      var candidate = (scale: (w * cv - c * v) / determinant, low: (cc * v - c * cv) / determinant)
      if candidate.low > 0 { candidate = (cv / cc, 0) }
      guard candidate.scale > 0 else { continue }
      let found = error(candidate.scale, candidate.low)
      if found < least { (best, least) = (candidate, found) }
    }
    return (best.scale, -best.low)
  }

  // MARK: Q6_K

  /// x = scale · (code - 32) in 16 sub-blocks of 16.
  static func q6(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let scales = (0..<16).map { symmetric(UnsafeBufferPointer(rebasing: x[(16 * $0)..<(16 * $0 + 16)]), half: 32) }
    let largest = scales.withUnsafeBufferPointer { $0.largest }
    let d = Float(half: (largest / -128).half)
    out.storeBytes(of: d.half.littleEndian, toByteOffset: 208, as: UInt16.self)
    for sub in 0..<16 {
      let scale = d == 0 ? 0 : min(max(Int((scales[sub] / d).rounded()), -128), 127)
      out.storeBytes(of: Int8(scale), toByteOffset: 192 + sub, as: Int8.self)
      let step = d * Float(scale)
      for l in 0..<16 {
        let place = 16 * sub + l
        let value = step == 0 ? 0 : min(max((x[place] / step).rounded(), -32), 31)
        let code = UInt8(Int(value) + 32)
        let (half, quarter, i) = (place / 128, place % 128 / 32, place % 32)
        out[64 * half + quarter % 2 * 32 + i] |= (code & 15) << UInt8(quarter / 2 * 4)
        out[128 + 32 * half + i] |= (code >> 4) << UInt8(2 * quarter)
      }
    }
  }

  /// The scale with the least error for codes of -half..<half, numbers weighted by their squares.
  static func symmetric(_ x: UnsafeBufferPointer<Float>, half: Int) -> Float {
    let largest = x.largest
    guard largest != 0 else { return 0 }
    let (low, high) = (Float(-half), Float(half - 1))
    var best: (score: Float, scale: Float) = (0, largest / low)
    for step in -9...9 {
      let inverse = (low - 0.1 * Float(step)) / largest
      var (product, square): (Float, Float) = (0, 0)
      for value in x {
        let code = min(max((value * inverse).rounded(), low), high)
        product += value * value * code * value
        square += value * value * code * code
      }
      if square > 0, product * product > best.score * square { best = (product * product / square, product / square) }
    }
    return best.scale
  }
}
