// mbarriers in kernels: what is used wrongly is found, what is used rightly runs clean.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct BarrierFaultTests {
  /// Thread 0 copies 64 bytes into the tile, all threads wait for them and pass them on.
  static let copy = Trial(
    """
    setp.eq.u32 %p0, %t, 0;
    mov.u32 %r0, tile; mov.u32 %r1, bar;
    @!%p0 bra READY;
    mbarrier.init.shared::cta.b64 [%r1], 1;
    fence.mbarrier_init.release.cluster;
    READY:
    bar.sync 0;
    @!%p0 bra WAIT;
    mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r1], 64;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%P0], 64, [%r1];
    WAIT:
    mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p1, [%r1], 0;
    @!%p1 bra WAIT;
    and.b32 %r2, %t, 15; shl.b32 %r2, %r2, 2; add.u32 %r3, %r0, %r2;
    ld.shared.u32 %r4, [%r3];
    mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P1; st.global.u32 [%d0], %r4;
    """, threads: 64, buffers: [Trial.numbers(16), Trial.zeros(64)])

  @Test func aCopyThatIsWaitedFor() {
    Self.copy.isClean { $0[1] == (0..<64).map { $0 % 16 } }
    // The same with states instead of parities, and with a wait that does not suspend.
    Self.copy.replacing("try_wait.parity.acquire.cta", "test_wait.parity").isClean()
    Self.copy.replacing("@!%p1 bra WAIT;", "@!%p1 bra WAIT; mbarrier.test_wait.parity.shared::cta.b64 %p2, [%r1], 0;")
      .isClean()
  }

  @Test func aCopyThatNobodyWaitsFor() {
    Self.copy.replacing("@!%p1 bra WAIT;", "").sometimesFinds(.inFlight, .race, .uninitialised, .exitedPeer)
    Self.copy.replacing("mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p1, [%r1], 0;\n@!%p1 bra WAIT;", "")
      .finds(.inFlight, .race, .uninitialised, .exitedPeer)
  }

  @Test func theWrongNumberOfBytes() {
    Self.copy.replacing("[%r1], 64;\ncp", "[%r1], 80;\ncp").finds(
      .transactionCount, saying: ["16 bytes outstanding", "0 of 1 arrivals pending", "phase 0"])
    Self.copy.replacing("[%r1], 64;\ncp", "[%r1], 48;\ncp").finds(.transactionCount, saying: ["expect"])
    Self.copy.replacing(
      "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r1], 64;", "mbarrier.arrive.shared::cta.b64 _, [%r1];"
    )
    .finds(.transactionCount, .inFlight, .race, .uninitialised)
  }

  @Test func theWrongParity() {
    Self.copy.replacing("%p1, [%r1], 0;", "%p1, [%r1], 1;").finds(.inFlight, .race, .uninitialised, .exitedPeer)
    Self.copy.replacing("%p1, [%r1], 0;", "%p1, [%r1], 2;").finds(.parity, saying: ["0 or 1, not 2"])
  }

  @Test func barriersThatWereNotInitialised() {
    Self.copy.replacing("mbarrier.init.shared::cta.b64 [%r1], 1;", "").finds(
      .barrier, saying: ["no mbarrier at shared 0x2400", "mbarrier.init"])
    Self.copy.replacing("fence.mbarrier_init.release.cluster;", "").finds(
      .missingProxyFence, saying: ["fence.mbarrier_init.release.cluster", "lane 0"])
    Self.copy.replacing("fence.mbarrier_init.release.cluster;", "fence.proxy.async;").isClean()
    Self.copy.replacing("bar.sync 0;", "").finds(.race, .barrier, saying: ["mbarrier.init"])
    Self.copy.replacing(
      "mbarrier.init.shared::cta.b64 [%r1], 1;",
      "mbarrier.init.shared::cta.b64 [%r1], 1; mbarrier.init.shared::cta.b64 [%r1], 1;"
    )
    .finds(.barrier, saying: ["in use already", "mbarrier.inval"])
    Self.copy.replacing("mbarrier.init.shared::cta.b64 [%r1], 1;", "mbarrier.init.shared::cta.b64 [%r1+4], 1;").finds(
      .misaligned, saying: [".align 8"])
    Self.copy.replacing("[%r1], 1;\nfence", "[%r1], 0;\nfence").finds(.barrier, saying: ["not 0"])
  }

  @Test func barriersThatAreOverwritten() {
    Self.copy.replacing("READY:", "READY: @%p0 st.shared.u32 [%r1+4], 7;").finds(.barrier, saying: ["overwritten"])
    Self.copy.replacing("READY:", "READY: @%p0 ld.shared.u32 %r9, [%r1];").finds(.uninitialised)
  }

  @Test func theWrongNumberOfArrivals() {
    Self.copy.replacing("[%r1], 1;\nfence", "[%r1], 2;\nfence").finds(
      .deadlock, saying: ["1 of 2 arrivals pending", "warp 0 lane 0 of block (0, 0, 0) arrived last", "warp 1"])
    Self.copy.replacing("WAIT:", "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r1], 2;\nWAIT:").finds(
      .barrier, .transactionCount, saying: ["arrival"])
  }

  /// Warp 0 arrives again and again, warp 1 waits for each phase, and lets warp 0 go on (or not).
  private func laps(_ back: String) -> Trial {
    Trial(
      """
      mov.u32 %r0, bar; setp.eq.u32 %p0, %t, 0;
      @%p0 mbarrier.init.shared::cta.b64 [%r0], 32;
      @%p0 mbarrier.init.shared::cta.b64 [%r0+8], 32;
      bar.sync 0;
      mov.u32 %r1, 0;
      setp.ge.u32 %p1, %t, 32;
      @%p1 bra SECOND;
      FIRST:
      mbarrier.arrive.shared::cta.b64 _, [%r0];
      \(back)
      add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 8;
      @%p2 bra FIRST;
      bra END;
      SECOND:
      and.b32 %r2, %r1, 1;
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r0], %r2;
      @!%p3 bra WAIT;
      mbarrier.arrive.shared::cta.b64 _, [%r0+8];
      add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 8;
      @%p2 bra SECOND;
      END:
      """, threads: 64)
  }

  @Test func aWaiterThatIsTwoPhasesBehind() {
    laps("and.b32 %r2, %r1, 1; BACK: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r0+8], %r2; @!%p3 bra BACK;")
      .isClean()
    laps("").sometimesFinds(.parity, .deadlock, saying: [])
    laps("").sometimesFinds(.parity, .deadlock)
  }

  @Test func statesOfArrivals() {
    let trial = Trial(
      """
      mov.u32 %r0, bar; setp.eq.u32 %p0, %t, 0;
      @%p0 mbarrier.init.shared::cta.b64 [%r0], 64;
      bar.sync 0;
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0;
      st.global.u32 [%d0], %t;
      mbarrier.arrive.shared::cta.b64 %d1, [%r0];
      mbarrier.pending_count.b64 %r1, %d1;
      WAIT:
      mbarrier.try_wait.shared::cta.b64 %p1, [%r0], %d1;
      @!%p1 bra WAIT;
      xor.b32 %r2, %t, 33; mul.wide.u32 %d2, %r2, 4; add.u64 %d2, %d2, %P0;
      ld.global.u32 %r3, [%d2];
      add.u64 %d3, %d0, 256; st.global.u32 [%d3], %r3;
      """, threads: 64, buffers: [Trial.zeros(128)])
    trial.isClean { $0[0][64...].elementsEqual((0..<64).map { $0 ^ 33 }) }
    trial.replacing("@!%p1 bra WAIT;", "").sometimesFinds(.race)
  }

  @Test func bytesOfAThreadThatCopiesItself() {
    // cp.async by all threads, told to an mbarrier.
    let trial = Trial(
      """
      mov.u32 %r0, bar; mov.u32 %r1, tile; setp.eq.u32 %p0, %t, 0;
      @%p0 mbarrier.init.shared::cta.b64 [%r0], 64;
      bar.sync 0;
      shl.b32 %r2, %t, 4; add.u32 %r3, %r1, %r2; cvt.u64.u32 %d0, %r2; add.u64 %d1, %P0, %d0;
      cp.async.cg.shared.global [%r3], [%d1], 16;
      cp.async.mbarrier.arrive.noinc.shared.b64 [%r0];
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r0], 0;
      @!%p1 bra WAIT;
      xor.b32 %r4, %r2, 512; add.u32 %r4, %r4, %r1;
      ld.shared.u32 %r5, [%r4];
      mul.wide.u32 %d2, %t, 4; add.u64 %d2, %d2, %P1; st.global.u32 [%d2], %r5;
      """, threads: 64, buffers: [Trial.numbers(256), Trial.zeros(64)])
    trial.isClean { $0[1] == (0..<64).map { ($0 ^ 32) * 4 } }
    trial.replacing("cp.async.mbarrier.arrive.noinc.shared.b64 [%r0];", "mbarrier.arrive.shared::cta.b64 _, [%r0];")
      .finds(.inFlight, .race, .uninitialised)
    // Without .noinc the arrivals come on top.
    trial.replacing(".noinc", "").finds(.deadlock, saying: ["64 of 64 arrivals pending"])
  }
}
