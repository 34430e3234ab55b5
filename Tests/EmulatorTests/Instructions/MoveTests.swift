// Moves, packing, selection, comparisons.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct MoveTests {
  @Test func packing() throws {
    let o = [Operands(a: 0x1122_3344_5566_7788, b: 0xAABB_CCDD_EEFF_0011)]
    func run(_ text: String, a: Int = 64, b: Int = 64, d: Int = 64) throws -> UInt64 {
      try Emulation.instruction(text, a: a, b: b, d: d, target: "sm_90a", o)[0]
    }
    #expect(try run("{ .reg .b32 %x, %y; mov.b64 {%x, %y}, %a; mov.b64 %d, {%y, %x}; }") == 0x5566_7788_1122_3344)
    #expect(
      try run("{ .reg .b16 %x<4>; mov.b64 {%x0, %x1, %x2, %x3}, %a; mov.b64 %d, {%x3, %x2, %x1, %x0}; }")
        == 0x7788_5566_3344_1122)
    #expect(try run("{ .reg .b32 %x; mov.b64 {_, %x}, %a; mov.b64 %d, {%x, 7}; }") == 0x0000_0007_1122_3344)
    #expect(try run("{ .reg .b16 %x, %y; mov.b32 {%x, %y}, %a; mov.b32 %d, {%y, %x}; }", a: 32, d: 32) == 0x7788_5566)
    #expect(
      try run("{ .reg .b8 %x<4>; mov.b32 {%x0, %x1, %x2, %x3}, %a; mov.b32 %d, {%x3, %x2, %x1, %x0}; }", a: 32, d: 32)
        == 0x8877_6655)
    #expect(
      try run("{ .reg .b128 %q; .reg .b64 %x, %y; mov.b128 %q, {%a, %b}; mov.b128 {%x, %y}, %q; mov.b64 %d, %y; }")
        == o[0].b)
  }

  @Test func selection() throws {
    let operands = [Operands(a: 5, b: 9, c: 1), Operands(a: 5, b: 9, c: 0xFFFF_FFFF), Operands(a: 5, b: 9, c: 0)]
    #expect(try Emulation.instruction("setp.eq.s32 %p, %c, 1; selp.b32 %d, %a, %b, %p;", operands) == [5, 9, 9])
    #expect(try Emulation.instruction("setp.eq.s32 %p, %c, 1; selp.b32 %d, %a, %b, !%p;", operands) == [9, 5, 5])
    #expect(try Emulation.instruction("slct.b32.s32 %d, %a, %b, %c;", operands) == [5, 9, 5])
    #expect(
      try Emulation.instruction(
        "setp.eq.s32 %p, %c, 1; not.pred %q, %p; xor.pred %p, %p, %q; selp.b32 %d, 1, 0, %p;", operands)
        == [1, 1, 1])
  }

  @Test(arguments: ["u16", "s16", "u32", "s32", "u64", "s64"]) func integerComparisons(type: String) throws {
    let bits = Int(type.dropFirst())!
    var random = RandomCase("integerComparisons \(type)")
    let operands = random.operands(96) {
      let a = $0.integer(bits: bits)
      return Operands(a: a, b: $0.integer(0...3) == 0 ? a : $0.integer(bits: bits), c: UInt64($0.integer(0...1)))
    }
    func number(_ value: UInt64) -> Int128 {
      let shift = UInt64(64 - bits)
      return type.hasPrefix("s") ? Int128(Int64(bitPattern: value << shift) >> Int64(shift)) : Int128(value)
    }
    for (name, holds) in [
      ("eq", { $0 == $1 }), ("ne", { $0 != $1 }), ("lt", { $0 < $1 }), ("le", { $0 <= $1 }), ("gt", { $0 > $1 }),
      ("ge", { $0 >= $1 }),
    ] as [(String, (Int128, Int128) -> Bool)] {
      let plain = try Emulation.instruction(
        "setp.\(name).\(type) %p, %a, %b; selp.b32 %d, 1, 0, %p;", a: bits, b: bits, operands)
      let combined = try Emulation.instruction(
        """
        setp.ne.u32 %p7, %c, 0; setp.\(name).and.\(type) %p|%q, %a, %b, %p7;
        selp.b32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;
        """, a: bits, b: bits, operands)
      for (index, o) in operands.enumerated() {
        let wanted = holds(number(o.a), number(o.b))
        #expect(plain[index] == (wanted ? 1 : 0), "\(name) \(o) \(random)")
        #expect(combined[index] == (o.c == 0 ? 0 : wanted ? 1 : 2), "\(name) \(o) \(random)")
      }
    }
  }

  @Test(arguments: ["f32", "f64", "f16", "bf16"]) func floatComparisons(type: String) throws {
    let bits = type == "f64" ? 64 : type == "f32" ? 32 : 16
    let values: [Double] = [0, -0.0, 1, -1, 1.5, .infinity, -.infinity, .nan]
    func encode(_ value: Double) -> UInt64 {
      switch type {
      case "f64": value.bitPattern
      case "f32": UInt64(Float(value).bitPattern)
      default: (type == "f16" ? SlowRounding.Format.half : .bfloat).round(value)
      }
    }
    let pairs = values.flatMap { a in values.map { (a, $0) } }
    let operands = pairs.map { Operands(a: encode($0.0), b: encode($0.1)) }
    for (name, holds) in [
      ("eq", { $0 == $1 }), ("ne", { $0 < $1 || $0 > $1 }), ("lt", { $0 < $1 }), ("le", { $0 <= $1 }),
      ("gt", { $0 > $1 }),
      ("ge", { $0 >= $1 }), ("num", { !$0.isNaN && !$1.isNaN }), ("nan", { $0.isNaN || $1.isNaN }),
      ("equ", { $0 == $1 || $0.isNaN || $1.isNaN }), ("neu", { $0 != $1 }),
      ("ltu", { $0 < $1 || $0.isNaN || $1.isNaN }), ("leu", { $0 <= $1 || $0.isNaN || $1.isNaN }),
      ("gtu", { $0 > $1 || $0.isNaN || $1.isNaN }), ("geu", { $0 >= $1 || $0.isNaN || $1.isNaN }),
    ] as [(String, (Double, Double) -> Bool)] {
      let results = try Emulation.instruction(
        "setp.\(name).\(type) %p, %a, %b; selp.b32 %d, 1, 0, %p;", a: bits, b: bits, target: "sm_90a", operands)
      for (pair, result) in zip(pairs, results) {
        #expect((result == 1) == holds(pair.0, pair.1), "\(name) of \(pair)")
      }
    }
  }

  @Test func setGivesNumbers() throws {
    let o = [Operands(a: 5, b: 9), Operands(a: 9, b: 5)]
    #expect(try Emulation.instruction("set.lt.u32.s32 %d, %a, %b;", o) == [0xFFFF_FFFF, 0])
    #expect(try Emulation.instruction("set.lt.f32.s32 %d, %a, %b;", o) == [UInt64(Float(1).bitPattern), 0])
    let halves = [Operands(a: 0x3C00_4000, b: 0x4000_3C00)]
    #expect(try Emulation.instruction("set.lt.f16x2.f16x2 %d, %a, %b;", halves) == [0x3C00_0000])
    #expect(
      try Emulation.instruction(
        "setp.lt.f16x2 %p|%q, %a, %b; selp.b32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;", halves) == [2])
  }

  @Test func specialRegisters() throws {
    let names = [
      "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ctaid.y", "%nctaid.x", "%laneid", "%warpid", "%nwarpid",
      "%lanemask_lt", "%lanemask_ge", "%cluster_ctarank", "%cluster_nctarank", "%clusterid.x", "%nclusterid.y",
      "%cluster_ctaid.y", "%dynamic_smem_size",
    ]
    let stores = names.enumerated().map { index, name in
      "mov.u32 %r1, \(name); st.global.u32 [%d1+\(4 * index)], %r1;"
    }.joined(separator: "\n")
    // 4 x 6 x 2 threads, grid 2 x 4, clusters of 1 x 2.
    let body = """
      { .reg .b32 %a<8>; mov.u32 %a0, %tid.y; mov.u32 %a1, %tid.z; mov.u32 %a2, %ctaid.x; mov.u32 %a3, %ctaid.y;
        mov.u32 %a4, %tid.x; mad.lo.u32 %a5, %a1, 6, %a0; mad.lo.u32 %a5, %a5, 4, %a4; mad.lo.u32 %a6, %a3, 2, %a2;
        mad.lo.u32 %a5, %a6, 48, %a5; mul.wide.u32 %d0, %a5, 128; add.u64 %d1, %P0, %d0; }
      \(stores)
      """
    let result = try Emulation.run(
      Emulation.kernel(1, body), target: "sm_90a", grid: Extent(2, 4), block: Extent(4, 6, 2), cluster: Extent(1, 2),
      dynamicSharedBytes: 96, buffers: [[UInt32](repeating: 0, count: 8 * 48 * 32)])
    for block in 0..<8 {
      for thread in 0..<48 {
        let values = result.buffers[0][(block * 48 + thread) * 32..<(block * 48 + thread) * 32 + names.count]
        let lane = UInt32(thread % 32)
        let y = UInt32(block / 2)
        #expect(
          Array(values) == [
            UInt32(thread % 4), UInt32(thread / 4 % 6), UInt32(thread / 24), 4, y, 2, lane, UInt32(thread / 32), 2,
            lane == 0 ? 0 : UInt32.max >> (32 - lane), UInt32.max << lane, y % 2, 2, UInt32(block % 2), 2, y % 2, 96,
          ], "block \(block), thread \(thread)")
      }
    }
  }

  @Test func clocksGoOn() throws {
    let result = try Emulation.run(
      Emulation.kernel(
        1,
        """
        .reg .b64 %c0, %c1;
        mov.u64 %c0, %globaltimer; nanosleep.u32 5000; mov.u64 %c1, %globaltimer;
        sub.u64 %c1, %c1, %c0; cvt.u32.u64 %r1, %c1; st.global.u32 [%P0], %r1;
        """), block: Extent(1), buffers: [[0]])
    #expect(result.buffers[0][0] >= 5000)
  }

  @Test func genericAddresses() throws {
    let body = """
      .shared .align 4 .b32 tile[4];
      .reg .b64 %x, %y; .reg .pred %q0, %q1, %q2;
      mov.u64 %x, tile; cvta.shared.u64 %x, %x;
      isspacep.shared %q0, %x; isspacep.global %q1, %x; isspacep.global %q2, %P0;
      selp.b32 %r1, 1, 0, %q0; @%q1 add.u32 %r1, %r1, 2; @%q2 add.u32 %r1, %r1, 4;
      st.u32 [%x+8], %r1; cvta.to.shared.u64 %y, %x; ld.shared.u32 %r2, [%y+8];
      cvta.global.u64 %y, %P0; st.u32 [%y], %r2;
      """
    let result = try Emulation.run(Emulation.kernel(1, body), block: Extent(1), buffers: [[0]])
    #expect(result.buffers[0] == [5])
  }
}
