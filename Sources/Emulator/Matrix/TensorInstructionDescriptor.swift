// The instruction descriptor of tcgen05.mma: shape, types and options in 32 bits, which must agree with the kind in the text.
//
// PTX ISA 9.0, "Instruction descriptor", tables 42 to 44, and the table of shapes of each kind.

/// What is multiplied: `.kind::f16`, …
enum TensorKind: String, Hashable, CaseIterable {
  case f16, tf32, f8f6f4, i8, mxf8f6f4, mxf4, mxf4nvf4

  var isBlockScaled: Bool { self == .mxf8f6f4 || isDenseFour }
  /// Two elements of 4 bits in each byte.
  var isDenseFour: Bool { self == .mxf4 || self == .mxf4nvf4 }
  /// Along K.
  var depth: Int {
    switch self {
    case .f16: 16
    case .tf32: 8
    case .f8f6f4, .i8, .mxf8f6f4: 32
    case .mxf4, .mxf4nvf4: 64
    }
  }
}

/// The fields of an instruction descriptor.
struct TensorInstructionDescriptor: Hashable {
  var a: MatrixElement
  var b: MatrixElement
  var accumulator: MatrixAccumulator
  var m: Int
  var n: Int
  var saturates = false
  var negatesA: Bool
  var negatesB: Bool
  var isATransposed: Bool
  var isBTransposed: Bool
  /// The byte of a word of scales, or the first of several.
  var aScale = 0
  var bScale = 0
  /// Scales are powers of two, or else e4m3.
  var scalesArePowers = true

  /// - Parameters:
  ///   - group: blocks that multiply together: 1 or 2.
  init(_ bits: UInt32, _ kind: TensorKind, group: Int, isWeightStationary: Bool) throws(EmulatorError) {
    func field(_ first: UInt32, _ width: UInt32) -> Int { Int((bits >> first) & (1 << width - 1)) }
    func fault(_ problem: String) -> EmulatorError {
      EmulatorError(
        .descriptor, "the instruction descriptor \(hexadecimal(bits)) of .kind::\(kind.rawValue) \(problem)")
    }
    guard field(2, 1) == 0 else { throw fault("says sparse (bit 2), but the instruction is dense") }
    let reserved: UInt32
    switch kind {
    case .f16, .tf32, .f8f6f4: reserved = isWeightStationary ? 0x2080_004B : 0xE080_004B
    case .i8: reserved = isWeightStationary ? 0x2080_0043 : 0xE080_0043
    case .mxf8f6f4: reserved = 0x8700_004B
    case .mxf4, .mxf4nvf4: reserved = 0x0701_904B
    }
    guard bits & reserved == 0 else {
      throw fault("has bits that must be 0: \(hexadecimal(bits & reserved))")
    }
    let (aCode, bCode) = (field(7, 3), kind.isDenseFour ? field(10, 2) : field(10, 3))
    guard let a = TensorInstructionDescriptor.element(kind, aCode) else {
      throw fault("has the type \(aCode) for A (bits 7-9), which the kind does not have")
    }
    guard let b = TensorInstructionDescriptor.element(kind, bCode) else {
      throw fault("has the type \(bCode) for B (bits 10-12), which the kind does not have")
    }
    (self.a, self.b) = (a, b)
    if kind == .f16, a != b { throw fault("multiplies f16 with bf16: both are of one type") }
    negatesA = field(13, 1) == 1
    negatesB = field(14, 1) == 1
    if kind == .i8, negatesA || negatesB { throw fault("negates integers, which is not possible") }
    isATransposed = field(15, 1) == 1
    isBTransposed = field(16, 1) == 1
    n = field(17, 6) << 3
    if kind.isBlockScaled {
      accumulator = .f32
      m = field(27, 2) << 7
      (aScale, bScale) = (field(29, 2), field(4, 2))
      scalesArePowers = field(23, 1) == 1
      guard scalesArePowers || kind == .mxf4nvf4 else {
        throw fault("has scales of ue4m3, which only mxf4nvf4 has: set bit 23")
      }
      guard field(31, 1) == 0 else { throw fault("has K = 96 (bit 31), which is for sm_103a only") }
    } else {
      m = field(24, 5) << 4
      saturates = kind == .i8 && field(3, 1) == 1
      switch (kind, field(4, 2)) {
      case (.f16, 0), (.f8f6f4, 0): accumulator = .f16
      case (.f16, 1), (.f8f6f4, 1), (.tf32, 1): accumulator = .f32
      case (.i8, 2): accumulator = .s32
      default:
        throw fault("has the type \(field(4, 2)) for D (bits 4-5), which the kind does not have: f16 0, f32 1, s32 2")
      }
      if kind == .f16, accumulator == .f16, a != .f16 { throw fault("accumulates bf16 in f16: only f16 does that") }
    }
    try checkShape(kind, group: group, isWeightStationary, fault)
  }

  private static func element(_ kind: TensorKind, _ code: Int) -> MatrixElement? {
    switch (kind, code) {
    case (.f16, 0): .f16
    case (.f16, 1): .bf16
    case (.tf32, 2): .tf32
    case (.i8, 0): .u8
    case (.i8, 1): .s8
    case (.f8f6f4, 0), (.mxf8f6f4, 0): .e4m3
    case (.f8f6f4, 1), (.mxf8f6f4, 1): .e5m2
    case (.f8f6f4, 3), (.mxf8f6f4, 3): .e2m3
    case (.f8f6f4, 4), (.mxf8f6f4, 4): .e3m2
    case (.f8f6f4, 5), (.mxf8f6f4, 5): .e2m1
    case (.mxf4, 1), (.mxf4nvf4, 1): .e2m1
    default: nil
    }
  }

  private func checkShape(
    _ kind: TensorKind, group: Int, _ isWeightStationary: Bool, _ fault: (String) -> EmulatorError
  ) throws(EmulatorError) {
    let rows: [Int]
    let columns: [Int]
    if isWeightStationary {
      (rows, columns) = ([32, 64, 128], [64, 128, 256])
    } else if group == 2 {
      rows = [128, 256]
      columns = Array(stride(from: kind == .i8 ? 32 : 16, through: 256, by: kind == .i8 ? 32 : 16))
    } else {
      rows = kind.isBlockScaled ? [128] : [64, 128]
      columns =
        kind == .i8
        ? [8, 16, 24, 32] + stride(from: 48, through: 256, by: 16) : Array(stride(from: 8, through: 256, by: 8))
    }
    guard rows.contains(m) else { throw fault("has M = \(m); possible are \(rows) with .cta_group::\(group)") }
    guard columns.contains(n) else {
      throw fault(
        "has N = \(n); possible are \(columns[0]) to 256 by \(columns[1] - columns[0]) with .cta_group::\(group)")
    }
    if isBTransposed, b.bits == 8 {
      let step = 16 * group
      guard n % step == 0 else {
        throw fault("has N = \(n) with a transposed B of 8 bits: N is a multiple of \(step) then")
      }
    }
  }
}
