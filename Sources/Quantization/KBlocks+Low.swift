// Two and three bits in blocks of 256: sixteen sub-blocks of 16, of whose codes four lie in a byte, 32 elements apart.

internal import Tensors

extension KBlocks {
  // MARK: Q2_K

  /// x = scale · code - minimum, both in four bits.
  static func q2(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let fits = (0..<16).map { fit(UnsafeBufferPointer(rebasing: x[(16 * $0)..<(16 * $0 + 16)]), most: 3) }
    let d = Float(half: (fits.map(\.scale).max()! / 15).half)
    let least = Float(half: (fits.map(\.minimum).max()! / 15).half)
    out.storeBytes(of: d.half.littleEndian, toByteOffset: 80, as: UInt16.self)
    out.storeBytes(of: least.half.littleEndian, toByteOffset: 82, as: UInt16.self)
    func four(_ value: Float, _ unit: Float) -> Int { unit == 0 ? 0 : min(15, Int((value / unit).rounded())) }
    for sub in 0..<16 {
      let (scale, minimum) = (four(fits[sub].scale, d), four(fits[sub].minimum, least))
      out[sub] = UInt8(scale | minimum << 4)
      let (step, low) = (d * Float(scale), least * Float(minimum))
      for place in (16 * sub)..<(16 * sub + 16) {
        let value = step == 0 ? 0 : ((x[place] + low) / step).rounded()
        pair(UInt8(min(max(value, 0), 3)), at: place, out, from: 16)
      }
    }
  }

  // MARK: Q3_K

  /// x = scale · (code - 4), scales in six bits.
  static func q3(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutableRawBufferPointer) {
    let scales = (0..<16).map { symmetric(UnsafeBufferPointer(rebasing: x[(16 * $0)..<(16 * $0 + 16)]), half: 4) }
    let largest = scales.withUnsafeBufferPointer { $0.largest }
    let d = Float(half: (largest / -32).half)
    out.storeBytes(of: d.half.littleEndian, toByteOffset: 108, as: UInt16.self)
    for sub in 0..<16 {
      let scale = d == 0 ? 0 : min(max(Int((scales[sub] / d).rounded()), -32), 31)
      let stored = UInt8(scale + 32)
      out[96 + sub % 8] |= (stored & 15) << UInt8(sub / 8 * 4)
      out[104 + sub % 4] |= (stored >> 4) << UInt8(sub / 4 * 2)
      let step = d * Float(scale)
      for place in (16 * sub)..<(16 * sub + 16) {
        let value = step == 0 ? 0 : min(max((x[place] / step).rounded(), -4), 3)
        let code = UInt8(Int(value) + 4)
        pair(code & 3, at: place, out, from: 32)
        out[place % 32] |= (code >> 2) << UInt8(place / 32)
      }
    }
  }

  /// Two bits of an element: of each 128, the four elements 32 apart share a byte.
  private static func pair(_ code: UInt8, at place: Int, _ out: UnsafeMutableRawBufferPointer, from start: Int) {
    out[start + place / 128 * 32 + place % 32] |= code << UInt8(place % 128 / 32 * 2)
  }
}
