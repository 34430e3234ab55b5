// A part of a row of blocks in shared memory, and what its blocks mean: 32 elements at a time, as the lanes of a matrix product hold
// them. What a block holds is written in `CKernels/include/block_formats.h`.
//
// Invariant: lane t of four has elements 4t to 4t + 3 and 16 + 4t to 16 + 4t + 3 of a unit of 32, each four in one register, in
// order. An element is scale · (code - zero) + minimum, or scale · float.

internal import KernelLanguage
internal import Tensors

/// How rows of blocks are cut into segments, which lie in shared memory one at a time.
struct BlockSegments: Hashable, Sendable {
  let format: BlockFormat
  let columns: Int
  /// Of 32 elements, in a segment.
  let units: Int

  /// - Precondition: `columns` are whole blocks, and there are some.
  init(_ format: BlockFormat, columns: Int) {
    (self.format, self.columns) = (format, columns)
    let perBlock = (format.block?.elements ?? columns) / 32
    let all = columns / 32
    // Whole blocks, or a whole part of one.
    units = (1...8).last { all % $0 == 0 && ($0 % perBlock == 0 || perBlock % $0 == 0) } ?? perBlock
  }

  var count: Int { columns / 32 / units }
  var rowBytes: Int { format.rowBytes(columns: columns)! }
  private var blockBytes: Int { format.block?.bytes ?? rowBytes }
  private var unitsOfBlock: Int { (format.block?.elements ?? columns) / 32 }
  /// Whether segments are parts of blocks, whose headers then lie elsewhere.
  var isPart: Bool { units < unitsOfBlock }
  private var segmentsOfBlock: Int { unitsOfBlock / units }
  /// Of codes, without headers, of 32 elements of our formats.
  private var codeBytes: Int { (blockBytes - 4) / unitsOfBlock }
  /// In memory.
  var bytes: Int { isPart ? units * codeBytes : units / unitsOfBlock * blockBytes }
  /// What every segment begins at a multiple of, 16 at most.
  var alignment: Int {
    [16, 8, 4, 2].first { rowBytes % $0 == 0 && bytes % $0 == 0 && (!isPart || ($0 <= 4 && blockBytes % $0 == 0)) } ?? 1
  }

  /// Where segment `index` begins in its row, in bytes.
  func start(_ index: Value<U32>) -> Value<U32> {
    guard isPart else { return index * Value(bytes) }
    let block = index / Value(segmentsOfBlock)
    return block * Value(blockBytes - segmentsOfBlock * bytes) + index * Value(bytes) + 4
  }

  /// Where the header of segment `index` begins in its row, if it is not in the segment.
  func header(_ index: Value<U32>) -> Value<U32> { index / Value(segmentsOfBlock) * Value(blockBytes) }

  /// Where the block of a unit begins in the segment, and which unit of it that is. A header that is elsewhere is left out.
  fileprivate func place(_ unit: Int) -> (block: Int, unit: Int) {
    isPart ? (-4, unit) : (unit / unitsOfBlock * blockBytes, unit % unitsOfBlock)
  }
}

/// One row's segment in shared memory.
final class BlockWindow {
  private let k: KernelBuilder
  private let segments: BlockSegments
  /// Of the first byte.
  private let address: Value<U32>
  /// 4t, for lane t of four.
  private let lane: Value<U32>
  /// The first word of the block's header, where it is not in the window.
  private let header: Value<U32>?
  /// By the offset's rest: an aligned address, and how far bits are shifted.
  private var aligned: [Int: (address: Value<U32>, shift: Value<U32>)] = [:]

  init(
    _ k: KernelBuilder, _ segments: BlockSegments, at address: Value<U32>, lane: Value<U32>, header: Value<U32>?
  ) {
    (self.k, self.segments, self.address, self.lane, self.header) = (k, segments, address, lane, header)
  }

  // MARK: Fields

  private func bytes(_ address: Value<U32>, _ offset: Int) -> Pointer<U8, Shared> { Pointer(address, offset: offset) }

  private func byte(_ offset: Int) -> Value<U32> { bytes(address, offset).load() }

  private func half(_ offset: Int) -> Value<F32> {
    k.convert(bytes(address, offset).cast(to: F16.self).load())
  }

  /// Four bytes from an offset on, or, of each lane, those 4t further on.
  private func word(_ offset: Int, ofLane: Bool = true) -> Value<U32> {
    if segments.alignment >= 4 && offset % 4 == 0 {
      return bytes(ofLane ? address + lane : address, offset).cast(to: U32.self).load()
    }
    let rest = (offset % 4 + 4) % 4
    let known = aligned[rest]
    let start =
      known
      ?? {
        let place = address + Value(rest)
        return (place & 0xFFFF_FFFC, (place & 3) << 3)
      }()
    aligned[rest] = start
    let pointer = bytes(ofLane ? start.address + lane : start.address, offset - rest).cast(to: U32.self)
    return k.funnelShiftRight(pointer.load(), pointer.advanced(1).load(), start.shift)
  }

  // MARK: Units

  /// Whether elements are whole numbers.
  var isOfCodes: Bool { segments.format.isInteger }

  /// How sub-blocks of 16 or 32 elements become numbers.
  struct Scales {
    /// One for all 32 elements, or two for 16 each.
    var scales: [Value<F32>]
    var minimums: [Value<F32>] = []
    var zero = Zero.none
  }

  /// The code that stands for 0.
  enum Zero {
    case none
    case constant(Int)
    case value(Value<S32>)
  }

  /// Signed codes of a unit: elements 4t to 4t + 3, and those 16 further on.
  func codes(_ unit: Int) -> (low: Value<U32>, high: Value<U32>) {
    let (p, i) = segments.place(unit)
    func nibbles(_ offset: Int) -> (Value<U32>, Value<U32>) { split(word(offset)) }
    /// `count` bits from `shift` on of each byte of two words.
    func fields(_ offset: Int, _ shift: Int, _ mask: Int) -> [Value<U32>] {
      [offset, offset + 16].map { field(word($0), shift, mask) }
    }
    switch segments.format {
    case .q40: return nibbles(p + 2)
    case .q41: return nibbles(p + 4)
    case .q50: return withFifthBits(nibbles(p + 6), word(p + 2, ofLane: false))
    case .q51: return withFifthBits(nibbles(p + 8), word(p + 4, ofLane: false))
    case .q80: return (word(p + 2), word(p + 18))
    case .q2K:
      let codes = fields(p + 16 + 32 * (i / 4), 2 * (i % 4), 0x0303_0303)
      return (codes[0], codes[1])
    case .q3K:
      let codes = fields(p + 32 + 32 * (i / 4), 2 * (i % 4), 0x0303_0303)
      let more = fields(p, i, 0x0101_0101)
      return (codes[0] | (more[0] << 2), codes[1] | (more[1] << 2))
    case .q4K:
      let codes = fields(p + 16 + 32 * (i / 2), 4 * (i % 2), 0x0F0F_0F0F)
      return (codes[0], codes[1])
    case .q5K:
      let codes = fields(p + 48 + 32 * (i / 2), 4 * (i % 2), 0x0F0F_0F0F)
      let more = fields(p + 16, i, 0x0101_0101)
      return (codes[0] | (more[0] << 4), codes[1] | (more[1] << 4))
    case .q6K:
      let codes = fields(p + 64 * (i / 4) + 32 * (i % 2), i % 4 / 2 * 4, 0x0F0F_0F0F)
      let more = fields(p + 128 + 32 * (i / 4), 2 * (i % 4), 0x0303_0303)
      return (codes[0] | (more[0] << 4), codes[1] | (more[1] << 4))
    case .iq4NL: return chosen(word(p + 2), Self.iq4)
    case .iq4XS: return chosen(word(p + 8 + 16 * i), Self.iq4)
    case .mxfp4: return chosen(word(p + 1), Self.twiceE2M1)
    case .int4: return nibbles(p + 4 + 16 * i)
    case .int8:
      return (word(p + 4 + 32 * i) ^ 0x8080_8080, word(p + 20 + 32 * i) ^ 0x8080_8080)
    case .nf4, .fp8E4M3: preconditionFailure("\(segments.format.name) has no codes")
    }
  }

  /// What makes numbers of a unit's codes.
  func scales(_ unit: Int) -> Scales {
    let (p, i) = segments.place(unit)
    switch segments.format {
    case .q40: return Scales(scales: [half(p)], zero: .constant(8))
    case .q41, .q51: return Scales(scales: [half(p)], minimums: [half(p + 2)])
    case .q50: return Scales(scales: [half(p)], zero: .constant(16))
    case .q80, .iq4NL: return Scales(scales: [half(p)])
    case .q2K:
      let both = (0..<2).map { byte(p + 2 * i + $0) }
      let (scale, least) = (half(p + 80), half(p + 82))
      return Scales(
        scales: both.map { scale * float($0 & 15) }, minimums: both.map { -(least * float($0 >> 4)) })
    case .q3K:
      let scale = half(p + 108)
      let both = (2 * i..<2 * i + 2).map { sub -> Value<F32> in
        let low = sub < 8 ? byte(p + 96 + sub) & 15 : byte(p + 88 + sub) >> 4
        let high = field(byte(p + 104 + sub % 4), sub / 4 * 2, 3)
        return scale * float(low | (high << 4), minus: 32)
      }
      return Scales(scales: both, zero: .constant(4))
    case .q4K, .q5K:
      let s = p + 4
      let code = i < 4 ? byte(s + i) & 63 : (byte(s + i + 4) & 15) | ((byte(s + i - 4) >> 6) << 4)
      let least = i < 4 ? byte(s + i + 4) & 63 : (byte(s + i + 4) >> 4) | ((byte(s + i) >> 6) << 4)
      return Scales(scales: [half(p) * float(code)], minimums: [-(half(p + 2) * float(least))])
    case .q6K:
      let scale = half(p + 208)
      let both = (0..<2).map { half -> Value<F32> in
        let code = bytes(address, p + 192 + 2 * i + half).cast(to: S8.self).load()
        return scale * k.convert(code)
      }
      return Scales(scales: both, zero: .constant(32))
    case .iq4XS:
      let low = field(byte(p + 4 + i / 2), i % 2 * 4, 15)
      let highs = bytes(address, p + 2).cast(to: U16.self).load()
      return Scales(scales: [half(p) * float(low | (field(highs, 2 * i, 3) << 4), minus: 32)])
    case .mxfp4:
      let exponent = byte(p)
      let scale = k.bits(k.select(exponent .== 0, Value(0x0040_0000), exponent << 23), as: F32.self)
      return Scales(scales: [scale * Value(0.5)])
    case .int4, .int8:
      let word = header ?? word(p, ofLane: false)
      let zero = (word & 0x1FF).seen(as: S32.self)
      let isWide = if case .int8 = segments.format { true } else { false }
      return Scales(
        scales: [k.bits(word & 0xFFFF_FE00, as: F32.self)], zero: .value(isWide ? zero - 128 : zero))
    case .nf4, .fp8E4M3:
      return Scales(scales: [k.bits(header ?? word(p, ofLane: false), as: F32.self)])
    }
  }

  /// A unit's elements without their scale: pairs of 16-bit floats 4t, 4t + 2, 16 + 4t, 16 + 4t + 2.
  func floats(_ unit: Int, as type: KernelBuilder.MatrixType) -> [Value<U32>] {
    let (p, i) = segments.place(unit)
    switch segments.format {
    case .nf4: return chosenFloats(word(p + 4 + 16 * i), type)
    case .fp8E4M3: return [0, 16].flatMap { narrowFloats(word(p + 4 + 32 * i + $0), type) }
    default:
      let zero = scales(unit).zero
      let (low, high) = codes(unit)
      return [low, high].flatMap { word in
        stride(from: 0, to: 4, by: 2).map { first in
          let pair = (0..<2).map { self.code(word, first + $0, zero) }
          return pack(pair[0], pair[1], type)
        }
      }
    }
  }

  // MARK: Bits

  private func split(_ word: Value<U32>) -> (Value<U32>, Value<U32>) {
    (word & 0x0F0F_0F0F, (word >> 4) & 0x0F0F_0F0F)
  }

  private func field(_ word: Value<U32>, _ shift: Int, _ mask: Int) -> Value<U32> {
    (shift == 0 ? word : word >> Value(shift)) & Value(mask)
  }

  private func float(_ code: Value<U32>, minus bias: Int = 0) -> Value<F32> {
    k.convert(code.seen(as: S32.self) - Value(bias))
  }

  /// Bits 4t to 4t + 3 of the word, and those 16 further on, as the fifth bits of four codes each.
  private func withFifthBits(_ codes: (Value<U32>, Value<U32>), _ bits: Value<U32>) -> (Value<U32>, Value<U32>) {
    // Each bit times a power of 2 that brings it to a byte of its own.
    func spread(_ bits: Value<U32>) -> Value<U32> {
      (((bits & 0xF) * 0x0020_4081) & 0x0101_0101) << 4
    }
    let own = bits >> lane
    return (codes.0 | spread(own), codes.1 | spread(own >> 16))
  }

  /// Byte `index` of the signed codes, less what stands for 0, as a float.
  private func code(_ word: Value<U32>, _ index: Int, _ zero: Zero) -> Value<F32> {
    let code = k.bitField(word.seen(as: S32.self), from: Value(8 * index), length: 8)
    switch zero {
    case .none: return k.convert(code)
    case .constant(let number): return k.convert(code - Value(number))
    case .value(let number): return k.convert(code - number)
    }
  }

  private func pack(_ low: Value<F32>, _ high: Value<F32>, _ type: KernelBuilder.MatrixType) -> Value<U32> {
    type == .bf16
      ? k.pack(low, high, as: BF16x2.self).seen(as: U32.self) : k.pack(low, high, as: F16x2.self).seen(as: U32.self)
  }

  // MARK: Tables

  /// For each of four hexadecimal digits one of 16 bytes: the lower eight and the upper eight are looked up, and the digit's highest
  /// bit chooses.
  private func lookUp(_ digits: Value<U32>, _ table: [UInt8]) -> Value<U32> {
    func part(_ index: Int) -> Value<U32> {
      Value((0..<4).reduce(0) { $0 | Int(table[4 * index + $1]) << (8 * $1) })
    }
    let place = digits & 0x7777
    let (low, high) = (
      k.permuteBytes(k.inRegister(part(0)), part(1), place), k.permuteBytes(k.inRegister(part(2)), part(3), place)
    )
    let isHigh = k.permuteBytes(k.inRegister(0xFF00), 0, (digits >> 3) & 0x1111)
    return k.lop3(isHigh, high, low, table: 0xCA)
  }

  /// Low and high halves of bytes, each looked up.
  private func chosen(_ word: Value<U32>, _ table: [UInt8]) -> (Value<U32>, Value<U32>) {
    // Digits 0, 2 of each half are low halves of bytes, 1 and 3 are high ones.
    let (a, b) = (lookUp(word & 0xFFFF, table), lookUp(word >> 16, table))
    return (k.permuteBytes(a, b, 0x6420), k.permuteBytes(a, b, 0x7531))
  }

  /// The same with floats of 16 bits, whose bytes are looked up apart.
  private func chosenFloats(_ word: Value<U32>, _ type: KernelBuilder.MatrixType) -> [Value<U32>] {
    let bits = BlockReader.nf4.map { type == .bf16 ? Float($0).bfloat16 : Float($0).half }
    let (low, high) = (bits.map { UInt8(truncatingIfNeeded: $0) }, bits.map { UInt8($0 >> 8) })
    let halves = [word & 0xFFFF, word >> 16].map { (lookUp($0, low), lookUp($0, high)) }
    return halves.map { k.permuteBytes($0.0, $0.1, 0x6240) } + halves.map { k.permuteBytes($0.0, $0.1, 0x7351) }
  }

  /// Four E4M3 floats as two pairs.
  private func narrowFloats(_ word: Value<U32>, _ type: KernelBuilder.MatrixType) -> [Value<U32>] {
    // Bytes 0 and 2, then 1 and 3: fields where those of the wider float are, whose exponent has a larger bias.
    let shift = type == .bf16 ? 4 : 7
    let pairs = [word, word >> 8].map { word -> Value<U32> in
      let magnitude = word & 0x007F_007F
      let isNaN = (magnitude + 0x0001_0001) & 0x0080_0080
      let bits = (magnitude << Value(shift)) | ((word & 0x0080_0080) << 8)
      let wide = type == .bf16 ? scaled(bits, 0x7B80_7B80, BF16x2.self) : scaled(bits, 0x5C00_5C00, F16x2.self)
      // All bits of the exponent, and one of the fraction at least.
      return wide | ((isNaN << 8) - isNaN) | (isNaN >> 1)
    }
    return [k.permuteBytes(pairs[0], pairs[1], 0x5410), k.permuteBytes(pairs[0], pairs[1], 0x7632)]
  }

  /// Times 2^120 (bfloat16) or 2^8 (float16), which is exact.
  private func scaled(_ bits: Value<U32>, _ factor: Int, _ type: BF16x2.Type) -> Value<U32> {
    k.fma(
      bits.seen(as: type), k.inRegister(Value<U32>(factor)).seen(as: type),
      k.inRegister(Value<U32>(0x8000_8000)).seen(as: type)
    ).seen(as: U32.self)
  }

  private func scaled(_ bits: Value<U32>, _ factor: Int, _ type: F16x2.Type) -> Value<U32> {
    k.fma(
      bits.seen(as: type), k.inRegister(Value<U32>(factor)).seen(as: type),
      k.inRegister(Value<U32>(0x8000_8000)).seen(as: type)
    ).seen(as: U32.self)
  }

  private static func bytes(_ numbers: [Double]) -> [UInt8] { numbers.map { UInt8(bitPattern: Int8($0)) } }
  private static let iq4 = bytes(BlockReader.iq4)
  private static let twiceE2M1 = bytes(BlockReader.e2m1.map { 2 * $0 })
}
