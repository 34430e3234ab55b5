// A multiplicand in shared memory, as a matrix descriptor describes it: where each chunk of 16 bytes lies.
//
// A matrix has lines (rows of A, columns of B) and a depth of 32 bytes (K). It is stored K-major, with the elements of a line
// side by side, or line-major (PTX: MN-major, "transposed"), with lines side by side. In chunks of 16 bytes, in the units
// (line or chunk of lines, chunk of depth or depth), with `span` the bytes of a swizzled row and n = span / 16:
//   K-major, no swizzle   ((8, m), 2)      : ((16, stride), leading)
//   K-major, swizzled     ((8, m), 2)      : ((span, stride), 16)
//   line-major, none      ((1, m), (8, k)) : ((-, stride), (16, leading))
//   line-major, swizzled  ((n, m), (8, k)) : ((16, leading), (span, stride)); 4 instead of 8 with atoms of 32 bytes
// then the swizzle permutes chunks by bits of the address.
//
// PTX ISA 9.0, "Matrix Descriptor Format" (wgmma) and "Shared memory descriptor" (tcgen05); the layouts are CuTe's canonical ones.

internal import KernelLanguage

/// Places of a matrix in the shared memory of one block.
struct SharedMatrix: Hashable {
  enum Pattern: Hashable {
    case swizzle(Swizzle)
    /// 128 bytes with atoms of 32 bytes (tcgen05 only).
    case bytes128Atoms32

    /// Bytes of a row of the pattern.
    var span: Int {
      switch self {
      case .swizzle(let swizzle): swizzle.span
      case .bytes128Atoms32: 128
      }
    }

    /// What the pattern begins at a multiple of.
    var alignment: Int {
      switch self {
      case .swizzle(let swizzle): swizzle.pattern
      case .bytes128Atoms32: 512
      }
    }

    /// Rows after which the pattern of a line-major matrix goes on `stride` bytes further.
    var rows: Int { self == .bytes128Atoms32 ? 4 : 8 }

    fileprivate func callAsFunction(_ address: Int) -> Int {
      switch self {
      case .swizzle(let swizzle): swizzle(address)
      case .bytes128Atoms32: address ^ ((address >> 2) & 0x60)
      }
    }
  }

  /// Of the first element, a multiple of 16, less than 2^18.
  var start: Int
  /// Bytes; what for, depends on the layout.
  var leading: Int
  var stride: Int
  /// In units of 128 bytes: where the pattern begins that is not at a multiple of its size.
  var base: Int
  var pattern: Pattern
  var isLineMajor: Bool

  /// Bytes of each line that one instruction multiplies.
  static let depthBytes = 32

  // MARK: Descriptors

  private static func field(_ descriptor: UInt64, at bit: UInt64) -> Int { Int((descriptor >> bit) & 0x3FFF) << 4 }

  /// The matrix of a descriptor of wgmma.
  init(wgmma descriptor: UInt64, isLineMajor: Bool) throws(EmulatorError) {
    start = SharedMatrix.field(descriptor, at: 0)
    leading = SharedMatrix.field(descriptor, at: 16)
    stride = SharedMatrix.field(descriptor, at: 32)
    base = Int((descriptor >> 49) & 7)
    pattern = .swizzle([.none, .bytes128, .bytes64, .bytes32][Int(descriptor >> 62)])
    self.isLineMajor = isLineMajor
    let known: UInt64 = 0xC00E_3FFF_3FFF_3FFF
    guard descriptor & ~known == 0 else {
      throw EmulatorError(
        .descriptor,
        "the matrix descriptor \(hexadecimal(descriptor)) has bits outside of its fields (\(hexadecimal(descriptor & ~known))): "
          + "start 0-13, leading 16-29, stride 32-45, base 49-51, swizzle 62-63; an address that was added may have carried"
      )
    }
    try check(descriptor)
  }

  /// The matrix of a descriptor of tcgen05.
  init(tcgen05 descriptor: UInt64, isLineMajor: Bool) throws(EmulatorError) {
    start = SharedMatrix.field(descriptor, at: 0)
    leading = SharedMatrix.field(descriptor, at: 16)
    stride = SharedMatrix.field(descriptor, at: 32)
    base = Int((descriptor >> 49) & 7)
    self.isLineMajor = isLineMajor
    switch descriptor >> 61 {
    case 0: pattern = .swizzle(.none)
    case 1: pattern = .bytes128Atoms32
    case 2: pattern = .swizzle(.bytes128)
    case 4: pattern = .swizzle(.bytes64)
    case 6: pattern = .swizzle(.bytes32)
    default:
      throw EmulatorError(
        .descriptor,
        "the matrix descriptor \(hexadecimal(descriptor)) has swizzle \(descriptor >> 61): 0 is none, 1 128 bytes with atoms of "
          + "32, 2 128 bytes, 4 64 bytes, 6 32 bytes")
    }
    guard (descriptor >> 46) & 7 == 1 else {
      throw EmulatorError(
        .descriptor,
        "the matrix descriptor \(hexadecimal(descriptor)) lacks the constant 0b001 in bits 46-48 that tcgen05 wants: is it one "
          + "of wgmma?")
    }
    guard (descriptor >> 52) & 1 == 0 else {
      throw EmulatorError(.descriptor, "a leading dimension as an absolute address (bit 52) is for sm_103a only")
    }
    let known: UInt64 = 0xE00F_FFFF_3FFF_3FFF
    guard descriptor & ~known == 0 else {
      throw EmulatorError(
        .descriptor,
        "the matrix descriptor \(hexadecimal(descriptor)) has bits outside of its fields: \(hexadecimal(descriptor & ~known))"
      )
    }
    try check(descriptor)
  }

  /// Throws unless the start, the swizzle and the base agree: only then are reads where tensor copies have written.
  private func check(_ descriptor: UInt64) throws(EmulatorError) {
    let begin = pattern.span
    let place = "the matrix descriptor \(hexadecimal(descriptor)) starts at shared address \(start)"
    guard pattern != .swizzle(.none) else {
      guard base == 0 else {
        throw EmulatorError(
          .descriptor, "\(place) without swizzle, but its base offset is \(base): set bits 49-51 to 0")
      }
      return
    }
    let offset = (start - base << 7) & (pattern.alignment - 1)
    guard offset < begin else {
      throw EmulatorError(
        .descriptor,
        "\(place), which is byte \(offset) of a swizzle pattern of \(pattern.alignment) bytes: a tile begins at a multiple of "
          + "\(pattern.alignment) (or has the base offset \(start >> 7 & 7)), and a step along K stays in its first row of "
          + "\(begin) bytes")
    }
    guard isLineMajor || offset + SharedMatrix.depthBytes <= begin else {
      throw EmulatorError(
        .descriptor,
        "\(place), \(offset) bytes into a row of \(begin): the \(SharedMatrix.depthBytes) bytes along K reach over its end; "
          + "take the next panel")
    }
    guard !isLineMajor || offset == 0 else {
      throw EmulatorError(
        .descriptor,
        "\(place), \(offset) bytes into a row of \(begin): lines begin at the pattern's start; step by the leading "
          + "dimension")
    }
  }

  // MARK: Addresses

  private func permuted(_ address: Int) -> Int { pattern(address - base << 7) + base << 7 }

  /// The address of 16 bytes along K of a line, in a K-major matrix.
  @inline(__always)
  func depthChunk(line: Int, chunk: Int) -> Int {
    if pattern == .swizzle(.none) { return start + line % 8 * 16 + line / 8 * stride + chunk * leading }
    return permuted(start + line % 8 * pattern.span + line / 8 * stride + chunk * 16)
  }

  /// The address of 16 bytes of neighbouring lines at one depth, in a line-major matrix.
  @inline(__always)
  func lineChunk(_ chunk: Int, depth: Int) -> Int {
    if pattern == .swizzle(.none) { return start + chunk * stride + depth % 8 * 16 + depth / 8 * leading }
    let (count, rows) = (pattern.span / 16, pattern.rows)
    return permuted(
      start + chunk % count * 16 + chunk / count * leading + depth % rows * pattern.span + depth / rows * stride)
  }

  // MARK: Elements

  /// How elements of less than 8 bits are stored.
  enum Packing: Hashable {
    case dense
    /// 16 elements in each 16 bytes, at their beginning: the rest is not read.
    case padded
  }

  /// Elements in 16 bytes.
  private static func count(_ element: MatrixElement, _ packing: Packing) -> Int {
    packing == .padded ? 16 : 128 / element.bits
  }

  /// The addresses of all 16 bytes of a multiplicand, in the order in which `read` takes them.
  func chunks(_ element: MatrixElement, lines: Int, depth: Int, packing: Packing = .dense) -> [Int] {
    let count = SharedMatrix.count(element, packing)
    return isLineMajor
      ? (0..<depth).flatMap { depth in (0..<(lines + count - 1) / count).map { lineChunk($0, depth: depth) } }
      : (0..<lines).flatMap { line in (0..<depth / count).map { depthChunk(line: line, chunk: $0) } }
  }

  /// Puts the bytes of `chunks` into an operand.
  ///
  /// - Parameters:
  ///   - lines: how many, beginning with `first` of the operand.
  ///   - memory: the bytes at address 0.
  func read(
    _ operand: inout MatrixOperand, _ element: MatrixElement, lines: Int, first: Int = 0, packing: Packing = .dense,
    chunks: [Int], memory: UnsafeRawPointer
  ) {
    let count = SharedMatrix.count(element, packing)
    let bits = packing == .dense ? element.bits : element == .e2m1 ? 4 : 6
    var next = 0
    func load() -> SIMD2<UInt64> {
      next += 1
      return memory.loadUnaligned(fromByteOffset: chunks[next - 1], as: SIMD2<UInt64>.self)
    }
    if isLineMajor {
      for depth in 0..<operand.depth {
        for chunk in 0..<(lines + count - 1) / count {
          let bytes = load()
          for i in 0..<min(count, lines - chunk * count) {
            operand.set(first + chunk * count + i, depth, SharedMatrix.code(bytes, i, bits))
          }
        }
      }
    } else {
      for line in 0..<lines {
        for chunk in 0..<operand.depth / count {
          let bytes = load()
          for i in 0..<count { operand.set(first + line, chunk * count + i, SharedMatrix.code(bytes, i, bits)) }
        }
      }
    }
  }

  @inline(__always)
  private static func code(_ bytes: SIMD2<UInt64>, _ index: Int, _ bits: Int) -> UInt32 {
    let bit = index * bits
    var word = bytes[bit >> 6] >> UInt64(bit & 63)
    // A code of 6 bits may lie across the middle.
    if bit & 63 + bits > 64 { word |= bytes[1] << UInt64(64 - bit & 63) }
    return UInt32(truncatingIfNeeded: bits == 32 ? word & 0xFFFF_FFFF : word & (1 << UInt64(bits) - 1))
  }
}

/// As people read descriptors and addresses.
func hexadecimal(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
