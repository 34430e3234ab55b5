// Barriers of a block: what passes, what is reported.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct BarrierTests {
  private static func run(
    _ body: String, threads: Int = 128, buffers: [[UInt32]] = [[UInt32](repeating: 0, count: 128)], seed: UInt64 = 0,
    patience: Int = 20_000_000
  ) throws -> [[UInt32]] {
    try Emulation.run(
      Emulation.kernel(buffers.count, body), target: "sm_90a", block: Extent(threads), buffers: buffers,
      options: EmulatedGPU.Options(seed: seed, patience: patience)
    ).buffers
  }

  /// A sum by halves in shared memory: every step reads what other warps wrote before the barrier.
  @Test(arguments: [0, 1, 2, 3, 4, 5] as [UInt64]) func reduction(seed: UInt64) throws {
    let body = """
      .shared .align 4 .b32 cells[128];
      mul.wide.u32 %d0, %t, 4; add.u64 %d1, %P0, %d0; ld.global.u32 %r1, [%d1];
      mov.u32 %r2, cells; mad.lo.u32 %r2, %t, 4, %r2; st.shared.u32 [%r2], %r1;
      mov.u32 %r3, 64;
      LOOP: bar.sync 0;
      setp.lt.u32 %p1, %t, %r3; mad.lo.u32 %r4, %r3, 4, %r2;
      @%p1 ld.shared.u32 %r5, [%r4]; @%p1 ld.shared.u32 %r6, [%r2]; @%p1 add.u32 %r5, %r5, %r6;
      @%p1 st.shared.u32 [%r2], %r5;
      shr.u32 %r3, %r3, 1; setp.ne.u32 %p1, %r3, 0; @%p1 bra LOOP;
      bar.sync 0; ld.shared.u32 %r1, [cells]; st.global.u32 [%d1], %r1;
      """
    var random = RandomCase("reduction \(seed)")
    let values = (0..<128).map { _ in UInt32(truncatingIfNeeded: random.bits()) }
    let result = try Self.run(body, buffers: [values], seed: seed)
    #expect(result[0] == [UInt32](repeating: values.reduce(0, &+), count: 128), "\(random)")
  }

  /// Producers arrive and go on, consumers wait; the barrier is used again and again.
  @Test(arguments: [0, 1, 2] as [UInt64]) func producersAndConsumers(seed: UInt64) throws {
    let body = """
      .shared .align 4 .b32 cells[64];
      mov.u32 %r2, cells; and.b32 %r3, %t, 63; mad.lo.u32 %r2, %r3, 4, %r2; mov.u32 %r4, 0; mov.u32 %r6, 0;
      setp.ge.u32 %p1, %t, 64; @%p1 bra CONSUME;
      PRODUCE: add.u32 %r4, %r4, 1; mad.lo.u32 %r5, %r4, 100, %r3; st.shared.u32 [%r2], %r5;
      bar.arrive 1, 128; bar.sync 2, 128; setp.lt.u32 %p2, %r4, 5; @%p2 bra PRODUCE; bra END;
      CONSUME: add.u32 %r4, %r4, 1; bar.sync 1, 128; ld.shared.u32 %r5, [%r2]; add.u32 %r6, %r6, %r5;
      bar.arrive 2, 128; setp.lt.u32 %p2, %r4, 5; @%p2 bra CONSUME;
      mul.wide.u32 %d0, %r3, 4; add.u64 %d0, %P0, %d0; st.global.u32 [%d0], %r6;
      END:
      """
    let result = try Self.run(body, seed: seed)
    let expected = (0..<64 as Range<UInt32>).map { 1500 + 5 * $0 }
    #expect(Array(result[0].prefix(64)) == expected)
  }

  @Test func reductionsAtABarrier() throws {
    let body = """
      setp.lt.u32 %p1, %t, 50; barrier.cta.red.popc.aligned.u32 %r1, 0, %p1;
      bar.red.or.pred %p2, 1, %p1; bar.red.and.pred %p3, 2, 128, %p1; bar.red.and.pred %p4, 2, 128, !%p5;
      @%p2 add.u32 %r1, %r1, 1000; @%p3 add.u32 %r1, %r1, 10000; @%p4 add.u32 %r1, %r1, 20000;
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %P0, %d0; st.global.u32 [%d0], %r1;
      """
    let result = try Self.run("setp.ne.u32 %p5, 0, 0;\n" + body)
    #expect(result[0].allSatisfy { $0 == 21_050 })
  }

  /// Threads that have exited are not waited for, nor the lanes that a last warp does not have.
  @Test func exitedThreads() throws {
    _ = try Self.run("setp.ge.u32 %p1, %t, 70; @%p1 exit; bar.sync 0; bar.sync 0;")
    _ = try Self.run("bar.sync 0; bar.sync 3, 96;", threads: 70)
    // Lanes that come to a barrier by different ways.
    _ = try Self.run(
      "and.b32 %r1, %t, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bra A; barrier.sync 0; bra B; A: barrier.sync 0; B:")
  }

  // MARK: Errors

  @Test func aWarpThatNeverComes() throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.run("setp.lt.u32 %p1, %t, 32; @%p1 bra END; bar.sync 1, 128; END:")
    }
    #expect(error?.code == .deadlock)
    let message = error!.message
    #expect(message.contains("warp 1, block (0, 0, 0) warp 2, block (0, 0, 0) warp 3"), "\(message)")
    #expect(message.contains("barrier 1 of block (0, 0, 0): phase 0, 96 of 128 threads have arrived"), "\(message)")
    #expect(message.contains("`bar.sync 1, 128`"))
  }

  @Test func divergedLanesAtAnAlignedBarrier() throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.run("setp.lt.u32 %p1, %t, 5; @%p1 bra A; bar.sync 0; bra B; A: bar.sync 0; B:")
    }
    #expect(error?.code == .deadlock)
    #expect(error!.message.contains("for lanes 0x1f, which are elsewhere"), "\(error!.message)")
  }

  @Test(
    arguments: [
      ("bar.sync 0, 100;", "multiple of 32"), ("bar.sync 16;", "barriers 0 to 15"),
      ("setp.lt.u32 %p1, %t, 64; @%p1 bra A; bar.sync 0, 128; bra B; A: bar.sync 0, 96; B:", "use another barrier"),
      ("bar.arrive 0, 160; bar.arrive 0, 160;", "arrives at barrier 0 again"),
      ("mov.u32 %r1, %laneid; and.b32 %r1, %r1, 1; barrier.sync %r1;", "name different ones"),
    ])
  func wrongBarriers(body: String, message: String) throws {
    let error = #expect(throws: EmulatorError.self) { try Self.run(body) }
    #expect(error?.code == .barrier)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func aLoopThatWaitsForEver() throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.run(
        "L: ld.volatile.global.u32 %r1, [%P0]; setp.eq.u32 %p1, %r1, 0; @%p1 bra L;", patience: 10_000)
    }
    #expect(error?.code == .noProgress)
    #expect(error!.message.contains("10000 instructions in a row") && error!.message.contains("runs at instruction"))
  }
}
