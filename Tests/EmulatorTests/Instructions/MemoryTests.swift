// Loads, stores and atomics; what they count; what they refuse.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct MemoryTests {
  private static func words(_ count: Int, _ seed: UInt32 = 1) -> [UInt32] {
    (0..<UInt32(count)).map { ($0 &+ seed) &* 2_654_435_761 }
  }

  /// Elements of each width and vector, copied through registers in global and in shared memory.
  @Test(
    arguments: [
      ("b8", 1), ("b16", 1), ("b32", 1), ("b64", 1), ("b8", 4), ("b16", 2), ("b16", 4), ("b32", 2), ("b32", 4),
      ("b64", 2), ("f32", 4), ("b32", 8), ("b64", 4),
    ])
  func widths(type: String, vector: Int) throws {
    let size = Int(type.drop { !$0.isNumber })! / 8
    let total = size * vector
    let names = (0..<vector).map { "%x\($0)" }
    let list = vector == 1 ? "%x0" : "{\(names.joined(separator: ", "))}"
    let suffix = (vector == 1 ? "" : "v\(vector).") + type
    let onlyGlobal = total == 32
    let body = """
      .reg .b\(max(size * 8, 16)) %x<\(vector)>;
      .shared .align 16 .b8 tile[1024];
      mul.wide.u32 %d0, %t, \(total); add.u64 %d1, %P0, %d0; add.u64 %d2, %P1, %d0;
      mov.u32 %r0, tile; mad.lo.u32 %r0, %t, \(total), %r0;
      ld.global.\(suffix) \(list), [%d1];
      \(onlyGlobal ? "" : "st.shared.\(suffix) [%r0], \(list); ld.shared.\(suffix) \(list), [%r0];")
      st.global.\(suffix) [%d2], \(list);
      """
    let source = Self.words(32 * 8)
    let result = try Emulation.run(
      Emulation.kernel(2, body), target: "sm_100a", buffers: [source, [UInt32](repeating: 0, count: 256)])
    let bytes = 32 * total
    #expect(result.buffers[1].prefix(bytes / 4) == source.prefix(bytes / 4))
    #expect(result.report.globalLoadBytes == bytes && result.report.globalStoreBytes == bytes)
    #expect(result.report.globalLoadSectors == max(bytes / 32, 1))
    if !onlyGlobal {
      #expect(result.report.sharedPasses == 2 * max(1, bytes / 128) && result.report.sharedConflicts == 0)
    }
  }

  @Test func smallLoadsAreExtended() throws {
    let body = """
      .reg .b64 %w<4>;
      ld.global.s8 %r1, [%P0]; ld.global.u8 %r2, [%P0]; ld.global.s16 %w0, [%P0]; ld.global.u16 %w1, [%P0];
      ld.global.s32 %w2, [%P0]; st.global.u32 [%P1], %r1; st.global.u32 [%P1+4], %r2; st.global.b64 [%P1+8], %w0;
      st.global.b64 [%P1+16], %w1; st.global.b64 [%P1+24], %w2; st.global.u8 [%P1+32], %w1; st.global.b16 [%P1+34], %w2;
      """
    let result = try Emulation.run(
      Emulation.kernel(2, body), block: Extent(1), buffers: [[0x8765_FEDC], [UInt32](repeating: 0, count: 9)])
    #expect(
      result.buffers[1] == [
        0xFFFF_FFDC, 0xDC, 0xFFFF_FEDC, 0xFFFF_FFFF, 0xFEDC, 0, 0x8765_FEDC, 0xFFFF_FFFF, 0xFEDC_00DC,
      ])
  }

  @Test func wholesOf128Bits() throws {
    let body = """
      .reg .b128 %q; mul.wide.u32 %d0, %t, 16; add.u64 %d1, %P0, %d0; add.u64 %d2, %P1, %d0;
      ld.global.b128 %q, [%d1]; st.global.b128 [%d2], %q;
      """
    let source = Self.words(128)
    let result = try Emulation.run(
      Emulation.kernel(2, body), target: "sm_90a", buffers: [source, [UInt32](repeating: 0, count: 128)])
    #expect(result.buffers[1] == source)
  }

  @Test func otherSpaces() throws {
    let module = ".const .align 4 .u32 table[4] = {3, 5, 7, 11};\n.global .align 4 .u32 counter;"
    let body = """
      .local .align 16 .b32 stack[4];
      .reg .b64 %x;
      ld.const.u32 %r1, [table+8]; st.local.u32 [stack+4], %r1; mov.u64 %x, stack; cvta.local.u64 %x, %x;
      add.u64 %x, %x, 4; ld.u32 %r2, [%x]; add.u32 %r2, %r2, %t; st.local.u32 [stack], %r2; ld.local.u32 %r3, [stack];
      atom.global.add.u32 %r4, [counter], %r3; bar.sync 0; ld.global.u32 %r4, [counter];
      mul.wide.u32 %d0, %t, 4; add.u64 %d1, %P0, %d0; st.global.u32 [%d1], %r4;
      """
    let result = try Emulation.run(
      Emulation.kernel(1, module: module, body), buffers: [[UInt32](repeating: 0, count: 32)])
    #expect(result.buffers[0] == [UInt32](repeating: 32 * 7 + 31 * 16, count: 32))
  }

  @Test func parametersOfEveryKind() throws {
    let map = TensorMap(
      .bfloat16, address: 4096, dimensions: [64, 7], strides: [128], box: [64, 4], swizzle: .bytes128)
    let text = """
      .visible .entry k(.param .align 64 .b8 map[128], .param .u32 a, .param .u64 b, .param .f32 c, .param .u64 out)
      {
        .reg .b32 %r<4>; .reg .b64 %d<4>;
        ld.param.u32 %r0, [a]; ld.param.u64 %d0, [b]; ld.param.f32 %r1, [c]; ld.param.u64 %d1, [out];
        mov.b64 %d2, map; cvta.param.u64 %d2, %d2; ld.u32 %r2, [%d2];
        st.global.u32 [%d1], %r0; st.global.u64 [%d1+8], %d0; st.global.f32 [%d1+16], %r1; st.global.u32 [%d1+20], %r2;
        ret;
      }
      """
    let gpu = EmulatedGPU(.h200)
    let module = try gpu.load(PTXModule(parsing: Emulation.header("sm_90a") + text))
    let out = try gpu.allocate(24, name: "out")
    _ = try gpu.launch(
      module, "k", LaunchConfiguration(grid: Extent(1), block: Extent(1)),
      [.tensorMap(map), .int32(-5), .uint64(1 << 40), .float32(1.5), .pointer(out)])
    var values = [UInt32](repeating: 0, count: 6)
    try values.withUnsafeMutableBytes { try gpu.read(out, into: $0) }
    #expect(values[0] == UInt32(bitPattern: -5) && values[3] == 256 && values[4] == Float(1.5).bitPattern)
    let encoded = map.encoded
    #expect(values[5] == encoded.withUnsafeBytes { $0.load(as: UInt32.self) })
    #expect(encoded.withUnsafeBytes { TensorMap(encoded: $0) } == map)
    #expect([UInt8](repeating: 0, count: 128).withUnsafeBytes { TensorMap(encoded: $0) } == nil)
    let error = #expect(throws: EmulatorError.self) {
      try gpu.launch(
        module, "k", LaunchConfiguration(grid: Extent(1), block: Extent(1)),
        [.tensorMap(map), .uint64(5), .uint64(1 << 40), .float32(1.5), .pointer(out)])
    }
    #expect(error?.code == .launch && error!.message.contains("parameter a has 4 bytes"))
  }

  /// 32 lanes each in a bank of their own, in one of them, and in two rows of it; a broadcast.
  @Test(arguments: [(4, 0), (128, 31), (8, 1), (0, 0), (132, 0)]) func bankConflicts(stride: Int, conflicts: Int) throws
  {
    let body = """
      .shared .align 16 .b8 tile[4352];
      mov.u32 %r0, tile; mad.lo.u32 %r0, %t, \(stride), %r0; st.shared.u32 [%r0], %t; ld.shared.u32 %r1, [%r0];
      """
    let options = EmulatedGPU.Options(detectsRaces: false)
    let result = try Emulation.run(Emulation.kernel(0, body), options: options)
    #expect(result.report.sharedConflicts == 2 * conflicts)
    #expect(result.report.sharedPasses == 2 * (1 + conflicts))
    #expect(result.report.sharedBytes == 256)
  }

  @Test func scatteredSectors() throws {
    let body = "mul.wide.u32 %d0, %t, 64; add.u64 %d1, %P0, %d0; ld.global.u32 %r1, [%d1];"
    let result = try Emulation.run(Emulation.kernel(1, body), buffers: [Self.words(16 * 32)])
    #expect(result.report.globalLoadSectors == 32 && result.report.globalLoadBytes == 128)
  }

  // MARK: Atomics

  /// Every thread of several blocks changes one element: the final value is that of any order.
  @Test(arguments: ["global", "shared"]) func atomics(space: String) throws {
    var random = RandomCase("atomics \(space)")
    let values = (0..<128).map { _ in UInt32(truncatingIfNeeded: random.bits()) }
    let start = UInt32(truncatingIfNeeded: random.bits())
    for (form, fold) in [
      ("add.u32", { $0 &+ $1 }), ("and.b32", { $0 & $1 }), ("or.b32", { $0 | $1 }), ("xor.b32", { $0 ^ $1 }),
      ("min.u32", { min($0, $1) }), ("max.u32", { max($0, $1) }),
      ("min.s32", { UInt32(bitPattern: min(Int32(bitPattern: $0), Int32(bitPattern: $1))) }),
      ("max.s32", { UInt32(bitPattern: max(Int32(bitPattern: $0), Int32(bitPattern: $1))) }),
    ] as [(String, (UInt32, UInt32) -> UInt32)] {
      for opcode in ["red", "atom"] {
        let target = space == "global" ? "[%P1]" : "[cell]"
        let body = """
          .shared .align 8 .b32 cell[2];
          mul.wide.u32 %d0, %t, 4; add.u64 %d0, %P0, %d0; ld.global.u32 %r1, [%d0];
          setp.eq.u32 %p1, %t, 0; ld.global.u32 %r2, [%P2]; @%p1 st.shared.u32 [cell], %r2; bar.sync 0;
          \(opcode).\(space).\(form) \(opcode == "atom" ? "%r3, " : "")\(target), %r1;
          bar.sync 0; ld.\(space).u32 %r4, \(target); @%p1 st.global.u32 [%P2], %r4;
          """
        let result = try Emulation.run(
          Emulation.kernel(3, body), block: Extent(128), buffers: [values, [start], [start]])
        #expect(result.buffers[2][0] == values.reduce(start, fold), "\(opcode).\(space).\(form) \(random)")
        #expect(result.report.atomics == 128)
      }
    }
  }

  /// The old values of a counter are all different.
  @Test func oldValues() throws {
    let body = """
      atom.global.inc.u32 %r1, [%P0], 47; mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P1, %d0; st.global.u32 [%d1], %r1;
      atom.global.dec.u32 %r1, [%P0+4], 3;
      """
    let result = try Emulation.run(
      Emulation.kernel(2, body), grid: Extent(3), block: Extent(16),
      buffers: [[0, 2], [UInt32](repeating: 0, count: 48)])
    #expect(result.buffers[1].sorted() == Array(0..<48))
    #expect(result.buffers[0] == [0, UInt32([2, 1, 0, 3][48 % 4])])
  }

  @Test func floatsAndVectors() throws {
    let one = Float(1).bitPattern
    let half: UInt32 = 0x3C00
    let body = """
      red.global.add.f32 [%P0], 0f3F800000;
      mov.b32 %r1, 0x3C003C00; red.global.add.noftz.f16x2 [%P0+4], %r1;
      .reg .f64 %e; mov.f64 %e, 0d3FF0000000000000; red.global.add.f64 [%P0+8], %e;
      mov.f32 %f1, 0f3F800000; mov.f32 %f2, 0f40000000;
      red.global.v4.f32.add [%P0+16], {%f1, %f2, %f1, %f2};
      atom.global.v2.f32.add {%f3, %f4}, [%P0+32], {%f1, %f2};
      .reg .b64 %o, %n; mov.b64 %o, 0; mov.b64 %n, 5; atom.global.cas.b64 %o, [%P0+40], %o, %n;
      .reg .b16 %x, %y; mov.b16 %x, 0; mov.b16 %y, 9; atom.global.cas.b16 %x, [%P0+48], %x, %y;
      mov.b16 %x, 0x3F80; atom.global.add.noftz.bf16 %y, [%P0+50], %x;
      atom.global.exch.b32 %r2, [%P0+52], %t;
      """
    let result = try Emulation.run(
      Emulation.kernel(1, body), target: "sm_90a", buffers: [[UInt32](repeating: 0, count: 14)])
    func f(_ value: Float) -> UInt32 { value.bitPattern }
    let sixteen = half + 5 << 10
    #expect(
      result.buffers[0] == [
        f(32), sixteen << 16 | sixteen, 0, UInt32(Double(32).bitPattern >> 32), f(32), f(64), f(32), f(64), f(32),
        f(64),
        5, 0, 0x4200 << 16 | 9, 31,
      ])
    #expect(one == f(1))
  }

  /// A lock of compare-and-swap, taken by all lanes of diverged warps.
  @Test func locks() throws {
    let body = """
      AGAIN:
        atom.global.acquire.gpu.cas.b32 %r1, [%P0], 0, 1;
        setp.ne.u32 %p1, %r1, 0;
        @%p1 bra AGAIN;
        ld.volatile.global.u32 %r2, [%P0+4]; add.u32 %r2, %r2, 1; st.volatile.global.u32 [%P0+4], %r2;
        fence.acq_rel.gpu; atom.global.release.gpu.exch.b32 %r1, [%P0], 0;
      """
    let result = try Emulation.run(
      Emulation.kernel(1, body), grid: Extent(3), block: Extent(64), buffers: [[0, 0]])
    #expect(result.buffers[0] == [0, 192])
  }

  // MARK: Errors

  @Test(
    arguments: [
      (
        "ld.global.u32 %r1, [%P0+40];", EmulatorError.Code.outOfBounds,
        "0 bytes behind the end of \"buffer 0\" (40 bytes"
      ),
      ("ld.global.u32 %r1, [%P0-4];", .outOfBounds, "4 bytes before \"buffer 0\""),
      ("ld.global.v2.u32 {%r1, %r2}, [%P0+36];", .misaligned, "no multiple of 8"),
      ("ld.global.b64 %d1, [%P0+36];", .misaligned, "or use narrower accesses"),
      ("mov.b64 %d1, 0; st.global.u32 [%d1], 1;", .outOfBounds, "bytes before"),
      ("shl.b32 %r9, %t, 2; ld.shared.u32 %r1, [%r9];", .outOfBounds, "outside of the block's"),
      (".shared .b32 v[4]; ld.shared.u32 %r1, [v+16];", .outOfBounds, "more dynamic shared memory"),
      ("add.u32 %r1, %r2, 1;", .uninitialised, "%r2 is read"),
      ("@%p1 mov.u32 %r1, 1;", .uninitialised, "%p1"),
      ("ld.global.u32 %r1, [%d5];", .uninitialised, "%d5"),
      ("setp.ge.u32 %p1, %t, 7; @%p1 trap;", .trap, "lane 7"),
    ])
  func faults(body: String, code: EmulatorError.Code, message: String) throws {
    let error = #expect(throws: EmulatorError.self) {
      try Emulation.run(Emulation.kernel(1, body), buffers: [[UInt32](repeating: 0, count: 10)])
    }
    #expect(error?.code == code)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    #expect(
      error?.message.contains("kernel k, instruction ") == true && error!.message.contains("block (0, 0, 0), warp 0"))
  }

  /// The lane and the block of a fault.
  @Test func placeOfAFault() throws {
    let error = #expect(throws: EmulatorError.self) {
      try Emulation.run(
        Emulation.kernel(1, "mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P0, %d0; st.global.u32 [%d1], %g;"),
        grid: Extent(2), block: Extent(64), buffers: [[UInt32](repeating: 0, count: 101)])
    }
    #expect(error?.place?.block == "(1, 0, 0)" && error?.place?.warp == 1 && error?.place?.lane == 5)
    #expect(error?.place?.instruction == "st.global.u32 [%d1], %g")
  }
}
