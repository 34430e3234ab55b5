// Weights in blocks, read an element at a time: what each `BlockFormat` means. What a block holds is written in
// `CKernels/include/block_formats.h`.

internal import KernelLanguage
internal import Tensors

/// Reads elements of rows of blocks.
struct BlockReader {
  let k: KernelBuilder
  let format: BlockFormat
  let columns: Int

  typealias Address = Pointer<U8, Global>

  /// Elements and bytes of a block; a row without elements has none, whatever their size.
  private var block: (elements: Int, bytes: Int) {
    format.block ?? (max(32, columns), format.rowBytes(columns: columns)!)
  }

  /// Element `column` of the row that begins at an address.
  func element(_ column: Value<U32>, of row: Address) -> Value<F32> {
    let (number, i) = k.divided(column, by: block.elements)
    return element(k.inRegister(i), at: row + k.multiplyWide(number, Value(block.bytes)))
  }

  /// Element `i` of the block that begins at p.
  private func element(_ i: Value<U32>, at p: Address) -> Value<F32> {
    switch format {
    case .q40: return half(p, 0) * float(nibble(i, p, 2), minus: 8)
    case .q41: return k.fma(half(p, 0), float(nibble(i, p, 4)), half(p, 2))
    case .q50: return half(p, 0) * float(nibble(i, p, 6) | bit(i, p, 2) << 4, minus: 16)
    case .q51: return k.fma(half(p, 0), float(nibble(i, p, 8) | bit(i, p, 4) << 4), half(p, 2))
    case .q80: return half(p, 0) * signed(p, i + 2)
    case .q2K: return q2K(i, p)
    case .q3K: return q3K(i, p)
    case .q4K: return k4(i, p, nibble64(i, p, 16))
    case .q5K: return k4(i, p, nibble64(i, p, 48) | (((byte(p, (i & 31) + 16) >> (i >> 5)) & 1) << 4))
    case .q6K: return q6K(i, p)
    case .iq4NL: return half(p, 0) * choice(nibble(i, p, 2), Self.iq4)
    case .iq4XS: return iq4XS(i, p)
    case .mxfp4: return exponential(byte(p, 0)) * choice(nibble(i, p, 1), Self.e2m1)
    case .int4:
      let (scale, zero) = header(p)
      return scale * k.convert(nibble32(i, p, 4).seen(as: S32.self) - zero, to: F32.self)
    case .int8:
      let (scale, zero) = header(p)
      return scale * k.convert(byte(p, i + 4).seen(as: S32.self) - zero, to: F32.self)
    case .nf4: return single(p) * choice(nibble32(i, p, 4), Self.nf4)
    case .fp8E4M3: return single(p) * e4m3(byte(p, i + 4))
    }
  }

  // MARK: Fields

  private func byte(_ p: Address, _ place: Value<U32>) -> Value<U32> { p[place] }
  private func byte(_ p: Address, _ place: Int) -> Value<U32> { p[place] }
  private func half(_ p: Address, _ place: Int) -> Value<F32> {
    k.convert(p.advanced(place).cast(to: F16.self).load())
  }
  private func single(_ p: Address) -> Value<F32> { p.cast(to: F32.self).load() }
  private func signed(_ p: Address, _ place: Value<U32>) -> Value<F32> { k.convert(p.cast(to: S8.self)[place]) }
  private func bit(_ i: Value<U32>, _ p: Address, _ place: Int) -> Value<U32> {
    (byte(p, (i >> 3) + Value(place)) >> (i & 7)) & 1
  }
  private func float(_ code: Value<U32>, minus bias: Int = 0) -> Value<F32> {
    k.convert(code.seen(as: S32.self) - Value(bias))
  }

  /// Of 32: the low halves of 16 bytes, then the high ones.
  private func nibble(_ i: Value<U32>, _ p: Address, _ place: Int) -> Value<U32> {
    (byte(p, (i & 15) + Value(place)) >> ((i >> 4) << 2)) & 15
  }

  /// The same for each 32 elements.
  private func nibble32(_ i: Value<U32>, _ p: Address, _ place: Int) -> Value<U32> {
    let start = p + ((i >> 5) << 4)
    return nibble(i & 31, start, place)
  }

  /// Of 64s: the low halves of 32 bytes, then the high ones.
  private func nibble64(_ i: Value<U32>, _ p: Address, _ place: Int) -> Value<U32> {
    let here = ((i >> 6) << 5) + (i & 31) + Value(place)
    return (byte(p, here) >> (((i >> 5) & 1) << 2)) & 15
  }

  private func header(_ p: Address) -> (scale: Value<F32>, zero: Value<S32>) {
    let word = p.cast(to: U32.self).load()
    return (k.bits(word & 0xFFFF_FE00, as: F32.self), (word & 0x1FF).seen(as: S32.self))
  }

  // MARK: Blocks of 256

  /// Two bits of 64 bytes: 32 bytes hold 128 elements, each 32 of them a level higher.
  private func crumb(_ i: Value<U32>, _ p: Address, _ place: Int) -> Value<U32> {
    let here = ((i >> 7) << 5) + (i & 31) + Value(place)
    return (byte(p, here) >> (((i >> 5) & 3) << 1)) & 3
  }

  private func q2K(_ i: Value<U32>, _ p: Address) -> Value<F32> {
    let scales = byte(p, i >> 4)
    let least = half(p, 82) * float(scales >> 4)
    return k.fma(half(p, 80) * float(scales & 15), float(crumb(i, p, 16)), -least)
  }

  private func q3K(_ i: Value<U32>, _ p: Address) -> Value<F32> {
    let sub = i >> 4
    // The first eight have the low halves of bytes 96 to 103, the others the high ones.
    let low = (byte(p, (sub & 7) + 96) >> ((sub >> 3) << 2)) & 15
    let high = (byte(p, (sub & 3) + 104) >> ((sub >> 2) << 1)) & 3
    let fourth = (byte(p, i & 31) >> (i >> 5)) & 1
    let code = crumb(i, p, 32) | (fourth << 2)
    return half(p, 108) * float(low | (high << 4), minus: 32) * float(code, minus: 4)
  }

  /// Q4_K and Q5_K: scales and minimums of 6 bits in 12 bytes.
  private func k4(_ i: Value<U32>, _ p: Address, _ code: Value<U32>) -> Value<F32> {
    let sub = i >> 5
    let isFirst = sub .< 4
    let (a, b) = (byte(p, (sub & 3) + 4), byte(p, (sub & 3) + 8))
    let c = byte(p, (sub & 3) + 12)
    let scale = k.select(isFirst, a & 63, (c & 15) | ((a >> 6) << 4))
    let least = k.select(isFirst, b & 63, (c >> 4) | ((b >> 6) << 4))
    return k.fma(half(p, 0) * float(scale), float(code), -(half(p, 2) * float(least)))
  }

  private func q6K(_ i: Value<U32>, _ p: Address) -> Value<F32> {
    let (part, quarter, l) = (i >> 7, (i >> 5) & 3, i & 31)
    let low = (byte(p, (part << 6) + ((quarter & 1) << 5) + l) >> ((quarter >> 1) << 2)) & 15
    let high = (byte(p, (part << 5) + l + 128) >> (quarter << 1)) & 3
    return half(p, 208) * signed(p, (i >> 4) + 192) * float(low | (high << 4), minus: 32)
  }

  private func iq4XS(_ i: Value<U32>, _ p: Address) -> Value<F32> {
    let sub = i >> 5
    let low = (byte(p, (sub >> 1) + 4) >> ((sub & 1) << 2)) & 15
    let highs = byte(p, 2) | (byte(p, 3) << 8)
    let scale = float(low | (((highs >> (sub << 1)) & 3) << 4), minus: 32)
    let code = nibble(i & 31, p + (sub << 4), 8)
    return half(p, 0) * scale * choice(code, Self.iq4)
  }

  // MARK: Small floats

  /// 2^(e - 127), the scale of the OCP formats.
  private func exponential(_ exponent: Value<U32>) -> Value<F32> {
    k.bits(k.select(exponent .== 0, Value(0x0040_0000), exponent << 23), as: F32.self)
  }

  /// Sign, 4 bits of exponent, 3 of fraction; the largest is NaN.
  private func e4m3(_ byte: Value<U32>) -> Value<F32> {
    let magnitude = byte & 0x7F
    // The fields where those of a float32 are, whose exponent has a larger bias.
    let bits = k.bits((magnitude << 20) | ((byte & 0x80) << 24), as: F32.self) * Value(0x1p+120)
    return k.select(magnitude .== 0x7F, Value(.nan), bits)
  }

  /// One of 16 constants: a tree of choices, one level for each bit.
  private func choice(_ code: Value<U32>, _ values: [Double]) -> Value<F32> {
    var level = values.map { Value<F32>($0) }
    for bit in 0..<4 {
      let isOdd = (code & Value(1 << bit)) .!= 0
      level = stride(from: 0, to: level.count, by: 2).map { k.select(isOdd, level[$0 + 1], level[$0]) }
    }
    return level[0]
  }

  static let e2m1: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
  static let iq4: [Double] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
  /// Dettmers et al., QLoRA (2023), arXiv:2305.14314, appendix E.
  static let nf4: [Double] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ]
}

/// Weights in blocks as floats: `blocks [rows, rowBytes] -> [rows, columns]`.
struct DequantizeKernel: FlatKernel {
  let format: BlockFormat
  let columns: Int
  let result: ElementType

  let name = "dequantize"
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let blocks = k.pointer("blocks", to: U8.self)
    let y = Elements(result, k.pointer("result", to: U8.self))
    let reader = BlockReader(k: k, format: format, columns: columns)
    return { item in
      let (row, column) = k.divided(item, by: columns)
      let start = blocks + row * Value(format.rowBytes(columns: columns)!)
      y.store(k, at: item, .f32(reader.element(k.convert(column, to: U32.self), of: start)))
    }
  }
}

/// Each 32 elements of a row as the nearest multiples of their largest magnitude / 127, in float32: what integer formats are
/// multiplied with.
struct RoundActivationsKernel: KernelSource {
  let element: ElementType

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("roundActivations", target: target, threads: ThreadGroup.threads(32)) { k in
      let x = Elements(element, k.pointer("x", to: U8.self))
      let y = k.pointer("y", to: F32.self)
      let groups = k.parameter("groups", U32.self)
      let group = ThreadGroup(k, size: 32)
      k.exit(when: group.number .>= groups)
      let place = k.multiplyWide(group.number, 32) + k.convert(group.lane, to: U64.self)
      let value = k.float(x.load(k, at: place))
      let largest = k.warpMaximum(k.absolute(value))
      let isLarge = largest .> 0x1p-100
      let scale = k.select(isLarge, largest / 127, Value(0))
      let inverse = k.select(isLarge, k.inRegister(Value<F32>(127)) / largest, Value(0))
      y[place] = k.rounded(value * inverse, "rni") * scale
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func dequantize(_ format: BlockFormat) throws {
    let type = resultTypes[0]
    if type.shape.count == 0 { return }
    try launch(
      DequantizeKernel(format: format, columns: type.shape[-1], result: type.element), count: type.shape.count,
      [.value(inputs[0]), .value(results[0])])
  }

  /// Activations as products with an integer format take them, in scratch memory.
  mutating func roundedActivations(_ type: TensorType, _ x: Operand) throws -> Operand {
    let groups = type.shape.count / 32
    let rounded = scratch(type.shape.count * 4)
    if groups > 0 {
      try launch(
        RoundActivationsKernel(element: type.element), grid: Extent(ThreadGroup.blocks(groups, 32)),
        threads: ThreadGroup.threads(32), [x, rounded, .count(groups)])
    }
    return rounded
  }
}
