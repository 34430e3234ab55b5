// Reductions of bulk copies, element by element.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct BulkReductionTests {
  private func apply<T: BitwiseCopyable>(_ operation: BulkReduction.Operation, _ type: PTXType, _ old: T, _ new: T)
    -> T?
  {
    guard let reduction = BulkReduction(operation, type) else { return nil }
    var (target, source) = (old, new)
    withUnsafeMutableBytes(of: &target) { target in
      withUnsafeBytes(of: &source) { reduction.apply($0.baseAddress!, to: target.baseAddress!, $0.count) }
    }
    return target
  }

  @Test func wholeNumbers() {
    #expect(apply(.add, .u32, UInt32.max, 2) == 1)
    #expect(apply(.add, .s64, Int64(-5), 3) == -2)
    #expect(apply(.min, .s32, Int32(-5), 3) == -5)
    #expect(apply(.min, .u32, UInt32(bitPattern: -5), 3) == 3)
    #expect(apply(.max, .s64, Int64(-5), 3) == 3)
    #expect(apply(.and, .b32, UInt32(6), 3) == 2)
    #expect(apply(.or, .b64, UInt64(6), 3) == 7)
    #expect(apply(.xor, .b32, UInt32(6), 3) == 5)
    #expect(apply(.inc, .u32, UInt32(2), 3) == 3 && apply(.inc, .u32, UInt32(3), 3) == 0)
    #expect(apply(.dec, .u32, UInt32(2), 3) == 1)
    #expect(apply(.dec, .u32, UInt32(0), 3) == 3 && apply(.dec, .u32, UInt32(9), 3) == 3)
  }

  @Test func pairsThatPTXDoesNotHave() {
    #expect(BulkReduction(.inc, PTXType.s32) == nil)
    #expect(BulkReduction(.min, PTXType.f32) == nil)
    #expect(BulkReduction(.and, PTXType.f16) == nil)
    #expect(BulkReduction(.add, PTXType.pred) == nil)
    #expect(BulkReduction(.add, TensorMap.Element.uint8) == nil)
    #expect(BulkReduction(.add, TensorMap.Element.bfloat16) != nil)
  }

  /// Sums of 16-bit floats are the exact sums, rounded once.
  @Test(arguments: 0..<200)
  func halvesAreRoundedOnce(_ index: Int) {
    var random = RandomCase("BulkReduction", index)
    let (a, b) = (UInt16(truncatingIfNeeded: random.bits()), UInt16(truncatingIfNeeded: random.bits()))
    let (x, y) = (Float16(bitPattern: a), Float16(bitPattern: b))
    if x.isFinite, y.isFinite {
      let sum = Float16(Double(x) + Double(y))
      #expect(apply(.add, .f16, a, b).map { Float16(bitPattern: $0) } == sum, "\(random)")
    }
    let (p, q) = (Float(bitPattern: UInt32(a) << 16), Float(bitPattern: UInt32(b) << 16))
    if p.isFinite, q.isFinite, let found = apply(.add, .bf16, a, b) {
      // No other value of the format is nearer.
      let exact = Double(p) + Double(q)
      let value = Float(bitPattern: UInt32(found) << 16)
      if value.isFinite {
        for neighbour in [found &- 1, found &+ 1] {
          let other = Float(bitPattern: UInt32(neighbour) << 16)
          if other.isFinite { #expect(abs(Double(value) - exact) <= abs(Double(other) - exact), "\(random)") }
        }
      }
    }
  }
}
