public import Tensors

extension BlockFormat {
  /// Every format, groups of all kinds.
  public static let all: [BlockFormat] = [
    .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS, .mxfp4,
    .int4(group: 32), .int4(group: 64), .int4(group: 128), .int4(group: nil), .int8(group: 32), .int8(group: 64),
    .int8(group: 128), .int8(group: nil), .nf4, .fp8E4M3(group: 128), .fp8E4M3(group: nil),
  ]
}

extension RandomCase {
  /// Blocks of random codes with scales of ordinary size.
  public mutating func blocks(_ format: BlockFormat, rows: Int, columns: Int) -> TensorData {
    let rowBytes = format.rowBytes(columns: columns)!
    let result = TensorData(TensorType(.uint8, [rows, rowBytes]))
    for i in 0..<result.count { result.bytes[i] = UInt8(truncatingIfNeeded: integer(0...255)) }
    let size = format.block?.bytes ?? rowBytes
    if size == 0 { return result }
    for start in stride(from: 0, to: result.count, by: size) {
      switch format {
      case .q40, .q50, .q80, .iq4NL, .iq4XS: setHalf(result, start)
      case .q41, .q51, .q4K, .q5K:
        setHalf(result, start)
        setHalf(result, start + 2)
      case .q2K:
        setHalf(result, start + 80)
        setHalf(result, start + 82)
      case .q3K: setHalf(result, start + 108)
      case .q6K: setHalf(result, start + 208)
      case .mxfp4: result.bytes[start] = UInt8(integer(118...128))
      case .int4, .int8:
        let zero = UInt32(integer(format.name.hasPrefix("int4") ? 0...16 : 0...256))
        set(result, start, Float(uniform(0.01...0.1)).half, zero: zero)
      case .nf4, .fp8E4M3:
        setWord(result, start, Float(uniform(0.01...0.1)).bitPattern)
        guard case .fp8E4M3 = format else { continue }
        // NaN has its own test.
        for i in (start + 4)..<(start + size) where result.bytes[i] & 0x7F == 0x7F { result.bytes[i] = 1 }
      }
    }
    return result
  }

  private mutating func setHalf(_ data: TensorData, _ place: Int) {
    let bits = Float(uniform(-0.1...0.1)).half
    data.bytes[place] = UInt8(bits & 0xFF)
    data.bytes[place + 1] = UInt8(bits >> 8)
  }

  private func set(_ data: TensorData, _ place: Int, _ half: UInt16, zero: UInt32) {
    setWord(data, place, Float(half: half).bitPattern & ~0x1FF | zero)
  }

  private func setWord(_ data: TensorData, _ place: Int, _ word: UInt32) {
    for i in 0..<4 { data.bytes[place + i] = UInt8(word >> UInt32(8 * i) & 0xFF) }
  }
}

extension OpFamily {
  /// `element` is that of the result of `dequantize`, and of x.
  func blockCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    guard element.isFloat, element != .float64 else { return [] }
    return BlockFormat.all.map { format in
      let unit = max(32, format.block?.elements ?? 32)
      let columns = unit * random.integer(0...(1200 / unit))
      if self == .dequantize {
        return OpCase(
          .dequantize(format, element), [random.blocks(format, rows: random.integer(0...9), columns: columns)])
      }
      let rows = random.choice([0, 1, 2, 5, 8, 9, 17, 33])
      let x = random.data(element, [rows, columns])
      if self == .blockMatmuls { return blockProducts(x, with: format, &random) }
      let blocks = random.blocks(format, rows: random.extent(), columns: columns)
      let type = random.choice([element, .float32])
      return OpCase(.blockMatmul(BlockMatmul(format: format, type: type, exact: random.bool())), [x, blocks])
    }
  }

  /// Products of one x, the first with weights in `format`, the others in formats with rows of that length.
  private func blockProducts(_ x: TensorData, with format: BlockFormat, _ random: inout RandomCase) -> OpCase {
    let columns = x.shape[-1]
    let others = BlockFormat.all.filter { columns % ($0.block?.elements ?? 32) == 0 }
    let formats = [format] + (0..<random.integer(0...4)).map { _ in random.choice(others) }
    let exact = random.bool()
    let products = formats.map {
      BlockMatmul(format: $0, type: random.choice([x.type.element, .float32]), exact: exact)
    }
    return OpCase(
      .blockMatmuls(products), [x] + formats.map { random.blocks($0, rows: random.extent(), columns: columns) })
  }
}
