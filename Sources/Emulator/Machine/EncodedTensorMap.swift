// The 128 bytes that stand for a tensor map in the emulator's memory. A GPU's are made by its driver and are opaque; these are
// the value itself, so that a map can be a parameter, be copied through memory, and be changed by `tensormap.replace`.
//
// Invariant: `TensorMap(encoded: map.encoded) == map` for maps without problems.

package import KernelLanguage

extension TensorMap {
  package static let encodedBytes = 128
  /// What the first bytes of an encoded map are, so that other bytes are not taken for one.
  private static let mark: UInt32 = 0x5450_4D45

  /// The map as the emulator keeps it in memory: mark, kinds, address, then 5 dimensions of 40 bits, 4 strides, 5 extents of
  /// the box and 5 steps, little-endian.
  package var encoded: [UInt8] {
    var bytes: [UInt8] = []
    func put(_ value: UInt64, _ count: Int) {
      for i in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
    }
    func entry(_ list: [Int], _ index: Int) -> UInt64 {
      index < list.count ? UInt64(truncatingIfNeeded: list[index]) : 0
    }
    put(UInt64(TensorMap.mark), 4)
    for kind in [element.rawValue, swizzle.rawValue, promotion.rawValue, fill.rawValue, dimensions.count] {
      put(UInt64(kind), 1)
    }
    put(address, 8)
    for axis in 0..<5 { put(entry(dimensions, axis), 5) }
    for axis in 0..<4 { put(entry(strides, axis), 8) }
    for axis in 0..<5 { put(entry(box, axis), 2) }
    for axis in 0..<5 { put(entry(elementStrides, axis), 1) }
    return bytes + [UInt8](repeating: 0, count: TensorMap.encodedBytes - bytes.count)
  }

  /// The map that 128 bytes stand for, nil if they are none.
  package init?(encoded bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= TensorMap.encodedBytes else { return nil }
    var place = 0
    func take(_ count: Int) -> UInt64 {
      defer { place += count }
      return (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
    }
    guard take(4) == UInt64(TensorMap.mark), let element = Element(rawValue: Int(take(1))),
      let swizzle = Swizzle(rawValue: Int(take(1))), let promotion = Promotion(rawValue: Int(take(1))),
      let fill = Fill(rawValue: Int(take(1)))
    else { return nil }
    let rank = Int(take(1))
    guard (1...5).contains(rank) else { return nil }
    let address = take(8)
    func list(_ count: Int, of total: Int, bytes: Int) -> [Int] {
      Array((0..<total).map { _ in Int(truncatingIfNeeded: take(bytes)) }.prefix(count))
    }
    let dimensions = list(rank, of: 5, bytes: 5)
    let strides = list(rank - 1, of: 4, bytes: 8)
    let box = list(rank, of: 5, bytes: 2)
    let steps = list(rank, of: 5, bytes: 1)
    self.init(
      element, address: address, dimensions: dimensions, strides: strides, box: box, elementStrides: steps,
      swizzle: swizzle, promotion: promotion, fill: fill)
  }
}
