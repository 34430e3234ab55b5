import Emulator
import Support
import Testing

/// `cvt` of narrow formats: which half is which, rounding, saturation, and what chips have.
@Suite(.ownThreads) struct NarrowConversionTests {
  @Test(
    arguments: [
      ("e4m3x2", "%h0", NarrowFloat.e4m3, 8, Chip.h200), ("e5m2x2", "%h0", .e5m2, 8, .h200),
      ("e2m3x2", "%h0", .e2m3, 8, .b200),
      ("e3m2x2", "%h0", .e3m2, 8, .b200), ("e2m1x2", "%b0", .e2m1, 4, .b200),
    ], [false, true])
  func pairsThereAndBack(_ form: (String, String, NarrowFloat, Int, Chip), _ clamps: Bool) throws {
    let (name, register, format, shift, chip) = form
    var random = RandomCase("cvt \(name) \(clamps)")
    let relu = clamps ? ".relu" : ""
    let move = register == "%b0" ? "cvt.u32.u8 %r0, %b0;" : "cvt.u32.u16 %r0, %h0;"
    let kernel = MatrixKernel(
      chip: chip,
      body: """
        ld.global.f32 %f0, [%mine]; ld.global.f32 %f1, [%mine+128];
        cvt.rn.satfinite\(relu).\(name).f32 \(register), %f0, %f1;
        cvt.rn.f16x2.\(name) %r1, \(register);
        \(move)
        st.global.b32 [%yours], %r0; st.global.b32 [%yours+128], %r1;
        """)
    let values = (0..<64).map { i -> Float in
      i < 8
        ? [Float.nan, .infinity, -.infinity, 0, -0.0, 1e9, -1e9, 1e-9][i]
        : Float(random.uniform(-40...40) * (i % 3 == 0 ? 0.05 : 1))
    }
    let output = try kernel.run(values.map(\.bitPattern), outputs: 64)
    for lane in 0..<32 {
      let codes = [values[lane], values[lane + 32]].map {
        format.encode(Double($0), saturates: true, clampsNegative: clamps)
      }
      #expect(output[lane] == codes[0] << UInt32(shift) | codes[1])
      for (half, code) in [(16, codes[0]), (0, codes[1])] {
        let back = Float16(bitPattern: UInt16(truncatingIfNeeded: output[lane + 32] >> UInt32(half)))
        let wanted = format.decode(code)
        #expect(Float(back) == wanted || back.isNaN && wanted.isNaN)
      }
    }
  }

  @Test func halvesToBytes() throws {
    let kernel = MatrixKernel(
      body:
        "ld.global.b32 %r1, [%mine]; cvt.rn.satfinite.e5m2x2.f16x2 %h0, %r1; cvt.u32.u16 %r0, %h0; st.global.b32 [%yours], %r0;"
    )
    var random = RandomCase("cvt e5m2x2.f16x2")
    let halves = (0..<32).map { _ in (Float16(random.uniform(-9...9)), Float16(random.uniform(-90000...90000))) }
    let output = try kernel.run(halves.map { UInt32($0.0.bitPattern) << 16 | UInt32($0.1.bitPattern) }, outputs: 32)
    for (lane, pair) in halves.enumerated() {
      let codes = [pair.0, pair.1].map { NarrowFloat.e5m2.encode(Double($0), saturates: true) }
      #expect(output[lane] == codes[0] << 8 | codes[1])
    }
  }

  @Test func scales() throws {
    let kernel = MatrixKernel(
      chip: .b200,
      body: """
        ld.global.f32 %f0, [%mine]; ld.global.f32 %f1, [%mine+128]; ld.global.b32 %r9, [%mine+256];
        cvt.rp.satfinite.ue8m0x2.f32 %h0, %f0, %f1; cvt.rz.satfinite.ue8m0x2.f32 %h1, %f0, %f1; cvt.rp.satfinite.ue8m0x2.bf16x2 %h2, %r9;
        cvt.rn.bf16x2.ue8m0x2 %r3, %h0;
        cvt.u32.u16 %r0, %h0; cvt.u32.u16 %r1, %h1; cvt.u32.u16 %r2, %h2;
        \(MatrixKernel.store(["%r0", "%r1", "%r2", "%r3"], threads: 32))
        """)
    let values = (0..<64).map { Float($0) * 0.37 + 0.01 }
    let pairs = (0..<32).map { values[$0].bitPattern & 0xFFFF_0000 | values[$0 + 32].bitPattern >> 16 }
    let output = try kernel.run(values.map(\.bitPattern) + pairs, outputs: 128)
    for lane in 0..<32 {
      let (x, y) = (Double(values[lane]), Double(values[lane + 32]))
      func up(_ x: Double) -> UInt32 { UInt32(Int(x.exponent) + 127 + (x.significand > 1 ? 1 : 0)) }
      func down(_ x: Double) -> UInt32 { UInt32(Int(x.exponent) + 127) }
      #expect(output[lane] == up(x) << 8 | up(y))
      #expect(output[lane + 32] == down(x) << 8 | down(y))
      let cut = [values[lane], values[lane + 32]].map { Double(Float(bitPattern: $0.bitPattern & 0xFFFF_0000)) }
      #expect(output[lane + 64] == up(cut[0]) << 8 | up(cut[1]))
      // bf16 has the exponent in the same place, one bit further down.
      #expect(output[lane + 96] == up(x) << 23 | up(y) << 7)
    }
  }

  @Test(arguments: [("rna", NarrowFloat.Rounding.toNearestAway), ("rn", .toNearestEven), ("rz", .towardZero)])
  func tensorFloats(_ name: String, _ rounding: NarrowFloat.Rounding) throws {
    var random = RandomCase("cvt tf32 \(name)")
    let values = (0..<32).map { i in
      // Ties, too.
      i % 4 == 0 ? Float(bitPattern: 0x3F80_1000 + UInt32(i) << 13) : Float(random.uniform(-9...9))
    }
    let kernel = MatrixKernel(
      body: "ld.global.f32 %f0, [%mine]; cvt.\(name).tf32.f32 %r0, %f0; st.global.b32 [%yours], %r0;")
    let output = try kernel.run(values.map(\.bitPattern), outputs: 32)
    for lane in 0..<32 {
      let bits = values[lane].bitPattern
      let (kept, rest) = (bits >> 13, bits & 0x1FFF)
      let up =
        switch rounding {
        case .towardZero: false
        case .toNearestAway: rest >= 0x1000
        case .toNearestEven: rest > 0x1000 || rest == 0x1000 && kept & 1 == 1
        }
      #expect(output[lane] == (kept + (up ? 1 : 0)) << 13)
    }
  }

  @Test func whatChipsHave() {
    MatrixKernel(chip: .a100, body: "cvt.rn.satfinite.e4m3x2.f32 %h0, %f0, %f1;").expectError(.unsupported, "sm_89")
    MatrixKernel(chip: .h200, body: "cvt.rn.satfinite.e2m3x2.f32 %h0, %f0, %f1;").expectError(.unsupported, "sm_100a")
    MatrixKernel(chip: .b200, body: "cvt.rn.e4m3x2.f32 %h0, %f0, %f1;").expectError(.unsupported, "form")
    MatrixKernel(chip: .a100, body: "cvt.rn.tf32.f32 %r0, %f0;").expectError(.unsupported, "sm_90")
  }
}
