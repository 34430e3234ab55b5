// Boxes of tensors against the definition, element by element.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct TensorBoxTests {
  /// Where each byte of the box comes from, nil outside of the tensor, by its place in shared memory: one element at a
  /// time.
  private func slow(_ map: TensorMap, _ coordinates: [Int], target: Int) -> [Int: UInt64?] {
    var result: [Int: UInt64?] = [:]
    let extents = zip(map.box, map.elementStrides).enumerated().map { $0 == 0 ? $1.0 : ($1.0 + $1.1 - 1) / $1.1 }
    for element in 0..<extents.reduce(1, *) {
      var (rest, address, isInside) = (element, map.address, true)
      for axis in extents.indices {
        let step = rest % extents[axis]
        rest /= extents[axis]
        let place = coordinates[axis] + step * (axis == 0 ? 1 : map.elementStrides[axis])
        if place < 0 || place >= map.dimensions[axis] {
          isInside = false
        } else {
          address += UInt64(place * (axis == 0 ? map.element.size : map.strides[axis - 1]))
        }
      }
      for byte in 0..<map.element.size {
        let linear = target + element * map.element.size + byte
        // The 16-byte chunk's number within its row of 128 bytes is combined with the row's number.
        let swizzled =
          switch map.swizzle {
          case .none: linear
          case .bytes32: linear ^ (linear >> 7 & 1) << 4
          case .bytes64: linear ^ (linear >> 7 & 3) << 4
          case .bytes128: linear ^ (linear >> 7 & 7) << 4
          }
        result[swizzled] = isInside ? address + UInt64(byte) : UInt64?.none
      }
    }
    return result
  }

  private func fast(_ box: TensorBox, target: Int) -> [Int: UInt64?] {
    var result: [Int: UInt64?] = [:]
    for index in 0..<box.rows {
      let row = box.row(index)
      box.forEachChunk(row: index, 0, box.rowBytes, target: target) { from, count, place in
        for byte in 0..<count {
          let offset = from + byte - row.skipped
          result[place + byte] = offset >= 0 && offset < row.count ? row.address + UInt64(offset) : UInt64?.none
        }
      }
    }
    return result
  }

  @Test(arguments: 0..<60)
  func boxesAreThoseOfTheDefinition(_ index: Int) {
    var random = RandomCase("TensorBox", index)
    let element = random.choice([TensorMap.Element.uint8, .bfloat16, .float32, .float64])
    let rank = random.integer(1...5)
    let swizzle = random.choice(Swizzle.allCases)
    let rowChunks = swizzle == .none ? random.integer(1...4) : swizzle.span / 16
    let dimensions = (0..<rank).map { $0 == 0 ? random.integer(1...80) : random.integer(1...9) }
    var (strides, stride) = ([Int](), (dimensions[0] * element.size + 15) / 16 * 16)
    for axis in 1..<max(rank, 1) {
      strides.append(stride + 16 * random.integer(0...2))
      stride = strides[axis - 1] * dimensions[axis]
    }
    let map = TensorMap(
      element, address: 1 << 20, dimensions: dimensions, strides: strides,
      box: (0..<rank).map { $0 == 0 ? rowChunks * 16 / element.size : random.integer(1...4) },
      elementStrides: (0..<rank).map { $0 == 0 ? 1 : random.integer(1...3) }, swizzle: swizzle)
    #expect(map.problems.isEmpty, "\(random)")
    let coordinates = dimensions.map { random.integer(-4...($0 + 3)) }
    let box = TensorBox(map, at: coordinates)
    #expect(box.bytes == map.boxBytes)
    #expect(fast(box, target: 2048) == slow(map, coordinates, target: 2048), "\(random) \(map) \(coordinates)")
  }

  @Test func listedRowsAreFourCopies() {
    let map = TensorMap(
      .bfloat16, address: 4096, dimensions: [64, 10], strides: [128], box: [32, 1], swizzle: .bytes64)
    let box = TensorBox(map, column: 8, rows: [3, -1, 9, 10])
    #expect(box.bytes == 4 * 64)
    #expect((0..<4).map { box.row($0).count } == [64, 0, 64, 0])
    #expect(box.row(0).address == 4096 + 3 * 128 + 16)
  }

  @Test func outsideIsZeroOrNaN() {
    for (element, fill, expected) in [
      (TensorMap.Element.float16, TensorMap.Fill.notANumber, [0xFF, 0x7F, 0xFF, 0x7F]),
      (.float32, .notANumber, [0xFF, 0xFF, 0xFF, 0x7F]), (.float32, .zero, [0, 0, 0, 0]),
    ] as [(TensorMap.Element, TensorMap.Fill, [UInt8])] {
      let map = TensorMap(element, address: 0, dimensions: [16], strides: [], box: [16], fill: fill)
      var bytes = [UInt8](repeating: 1, count: 4)
      bytes.withUnsafeMutableBytes { TensorBox(map, at: [0]).fill($0.baseAddress!, 4) }
      #expect(bytes == expected)
    }
  }
}
