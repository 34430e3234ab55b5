import KernelLanguage
import Testing

@Suite struct InstructionDescriptorTests {
  /// The word that CUTLASS's documentation of the fields gives for the usual product.
  @Test func `A product of bfloat16 has the bits that are documented`() {
    let descriptor = InstructionDescriptor(.bf16, rows: 128, columns: 256)
    let float32: UInt32 = 1 << 4
    let (a, b): (UInt32, UInt32) = (1 << 7, 1 << 10)
    let (n, m): (UInt32, UInt32) = (32 << 17, 8 << 24)
    #expect(descriptor.bits == float32 | a | b | n | m)
    #expect(descriptor.kind == "f16")
  }

  @Test func `Each choice has a field of its own`() {
    let plain = InstructionDescriptor(.f16, rows: 256, columns: 256, pair: true).bits
    let strided = InstructionDescriptor(.f16, rows: 256, columns: 256, majorA: .mn, majorB: .mn, pair: true).bits
    #expect(plain ^ strided == 1 << 15 | 1 << 16)
    #expect(InstructionDescriptor(.f16, rows: 256, columns: 64, pair: true).bits ^ plain == (32 ^ 8) << 17)
    #expect(InstructionDescriptor(.f16, rows: 128, columns: 256, pair: true).bits ^ plain == (16 ^ 8) << 24)
  }

  @Test func `Kinds number their types anew`() {
    let types: [(KernelBuilder.MatrixType, String, UInt32)] = [
      (.f16, "f16", 0), (.bf16, "f16", 1), (.tf32, "tf32", 2), (.e4m3, "f8f6f4", 0), (.e5m2, "f8f6f4", 1),
    ]
    for (type, kind, code) in types {
      let descriptor = InstructionDescriptor(type, rows: 64, columns: 8)
      #expect(descriptor.kind == kind)
      #expect(descriptor.bits >> 7 & 7 == code && descriptor.bits >> 10 & 7 == code)
    }
  }
}
