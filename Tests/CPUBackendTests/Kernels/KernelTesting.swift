// What tests of the C kernels share: contexts, buffers of any element type, seeded numbers, comparison with Doubles.

import CKernels
import Testing

/// The instruction sets of this machine that have kernels of their own.
let testedISAs: [ck_isa] = [CK_PORTABLE, CK_NEON, CK_AVX2, CK_AVX512].filter { ck_isa_available($0) }
let floatTypes: [ck_type] = [CK_F32, CK_BF16, CK_F16, CK_F64]
let integerTypes: [ck_type] = [CK_I8, CK_U8, CK_I32, CK_I64, CK_BOOL]
/// Thread counts over which results must not differ by a bit.
let testedThreads = [1, 2, 3, 5]

/// Runs `body` with a context of `threads` threads; `bf16` allows native bf16 dot products.
func withContext<Result>(
  _ isa: ck_isa, threads: Int = 2, bf16: Bool = false, _ body: (UnsafePointer<ck_context>) throws -> Result
) rethrows -> Result {
  let pool = ck_pool_create(Int32(threads), 1000)
  defer { ck_pool_destroy(pool) }
  var context = ck_context(pool: pool, isa: isa, bf16: bf16, vnni: false, vbmi: false, row_invariant: false)
  return try body(&context)
}

/// SplitMix64; every test makes one from a fresh seed, which a failure prints.
struct SeededNumbers: RandomNumberGenerator {
  let seed: UInt64
  private var state: UInt64

  init(seed: UInt64 = .random(in: 0..<1 << 32)) {
    self.seed = seed
    state = seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func double(_ low: Double = -4, _ high: Double = 4) -> Double { .random(in: low...high, using: &self) }
  mutating func int(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &self) }
}

extension ck_type {
  var isFloat: Bool { self == CK_F64 || self == CK_F32 || self == CK_BF16 || self == CK_F16 }

  /// Relative size of half a unit in the last place.
  var epsilon: Double {
    switch self {
    case CK_F64: 0x1p-52
    case CK_F32: 0x1p-23
    case CK_F16: 0x1p-11
    case CK_BF16: 0x1p-8
    default: 0
    }
  }

  /// The number that this type stores for `value`.
  func rounded(_ value: Double) -> Double { Buffer(self, [value])[0] }
}

/// Elements of one type in memory that the kernels can take.
final class Buffer {
  let type: ck_type
  let count: Int
  let memory: UnsafeMutableRawPointer

  init(_ type: ck_type, count: Int) {
    self.type = type
    self.count = count
    let bytes = max(64, count * Int(ck_type_size(type)))
    memory = .allocate(byteCount: bytes, alignment: 64)
    // Not zero, so that what a kernel leaves unwritten shows.
    memory.initializeMemory(as: UInt8.self, repeating: type == CK_BOOL ? 1 : 0x7b, count: bytes)
  }

  convenience init(_ type: ck_type, _ values: [Double]) {
    self.init(type, count: values.count)
    for (i, value) in values.enumerated() { self[i] = value }
  }

  convenience init(_ type: ck_type, random count: Int, _ numbers: inout SeededNumbers) {
    self.init(type, (0..<count).map { _ in type == CK_U8 ? numbers.double(0, 9) : numbers.double() })
  }

  deinit { memory.deallocate() }

  var values: [Double] { (0..<count).map { self[$0] } }

  /// The bytes, to compare runs bit by bit.
  var bytes: [UInt8] {
    [UInt8](UnsafeRawBufferPointer(start: memory, count: count * Int(ck_type_size(type))))
  }

  subscript(i: Int) -> Double {
    get {
      switch type {
      case CK_F64: memory.load(fromByteOffset: i * 8, as: Double.self)
      case CK_F32: Double(memory.load(fromByteOffset: i * 4, as: Float.self))
      case CK_BF16: Double(Float(bitPattern: UInt32(memory.load(fromByteOffset: i * 2, as: UInt16.self)) << 16))
      case CK_F16: Double(memory.load(fromByteOffset: i * 2, as: Float16.self))
      case CK_I8: Double(memory.load(fromByteOffset: i, as: Int8.self))
      case CK_I32: Double(memory.load(fromByteOffset: i * 4, as: Int32.self))
      case CK_I64: Double(memory.load(fromByteOffset: i * 8, as: Int64.self))
      default: Double(memory.load(fromByteOffset: i, as: UInt8.self))
      }
    }
    set {
      switch type {
      case CK_F64: memory.storeBytes(of: newValue, toByteOffset: i * 8, as: Double.self)
      case CK_F32: memory.storeBytes(of: Float(newValue), toByteOffset: i * 4, as: Float.self)
      case CK_BF16: memory.storeBytes(of: bfloat16(Float(newValue)), toByteOffset: i * 2, as: UInt16.self)
      case CK_F16: memory.storeBytes(of: Float16(Float(newValue)), toByteOffset: i * 2, as: Float16.self)
      case CK_BOOL: memory.storeBytes(of: newValue != 0 ? 1 : 0, toByteOffset: i, as: UInt8.self)
      case CK_I8: memory.storeBytes(of: Int8(truncatingIfNeeded: wrapped(newValue)), toByteOffset: i, as: Int8.self)
      case CK_U8: memory.storeBytes(of: UInt8(truncatingIfNeeded: wrapped(newValue)), toByteOffset: i, as: UInt8.self)
      case CK_I32:
        memory.storeBytes(of: Int32(truncatingIfNeeded: wrapped(newValue)), toByteOffset: i * 4, as: Int32.self)
      default: memory.storeBytes(of: wrapped(newValue), toByteOffset: i * 8, as: Int64.self)
      }
    }
  }

  /// Truncated, saturated at 64 bits, NaN as 0.
  private func wrapped(_ value: Double) -> Int64 {
    value.isNaN ? 0 : value >= 0x1p63 ? .max : value <= -0x1p63 ? .min : Int64(value)
  }

  private func bfloat16(_ value: Float) -> UInt16 {
    if value.isNaN { return 0x7fc0 }
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
  }
}

/// Expects `actual` to be `expected` within `relative` of the value plus `absolute`; infinities and NaN must agree.
func expectClose(
  _ actual: Buffer, _ expected: [Double], relative: Double, absolute: Double = 1e-30, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.count == expected.count, "\(what): count", sourceLocation: sourceLocation)
  for (i, wanted) in expected.enumerated() where i < actual.count {
    let got = actual[i]
    let close =
      wanted.isNaN ? got.isNaN : got == wanted || abs(got - wanted) <= relative * abs(wanted) + absolute
    if close { continue }
    Issue.record("\(what): element \(i) is \(got), not \(wanted)", sourceLocation: sourceLocation)
    return
  }
}

/// Expects `body`, which returns what a kernel wrote, to give the same bytes for every number of threads.
func expectSameBits(
  _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: (UnsafePointer<ck_context>) -> [Buffer]
) {
  for isa in testedISAs {
    let reference = withContext(isa, threads: 1) { body($0).map(\.bytes) }
    for threads in testedThreads.dropFirst() {
      let bytes = withContext(isa, threads: threads) { body($0).map(\.bytes) }
      #expect(
        bytes == reference, "\(what) with \(threads) threads, \(String(cString: ck_isa_name(isa)))",
        sourceLocation: sourceLocation)
    }
  }
}

/// A name for messages.
func name(_ isa: ck_isa) -> String { String(cString: ck_isa_name(isa)) }
