// Asynchronous copies by each thread and in bulk: what is read or changed too early is found.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct CopyFaultTests {
  // MARK: cp.async

  /// Each thread copies 16 bytes in each of two groups, waits for the first, and reads a word of what another thread
  /// copied.
  private let groups = Trial(
    """
    mov.u32 %r0, tile; shl.b32 %r1, %t, 4; add.u32 %r2, %r0, %r1;
    cvt.u64.u32 %d0, %r1; add.u64 %d1, %P0, %d0;
    cp.async.cg.shared.global [%r2], [%d1], 16;
    cp.async.commit_group;
    cp.async.cg.shared.global [%r2+1024], [%d1+1024], 16;
    cp.async.commit_group;
    cp.async.wait_group 1;
    bar.sync 0;
    xor.b32 %r3, %r1, 512; add.u32 %r3, %r3, %r0;
    ld.shared.u32 %r4, [%r3];
    mul.wide.u32 %d2, %t, 4; add.u64 %d2, %d2, %P1; st.global.u32 [%d2], %r4;
    """, threads: 64, target: "sm_80", buffers: [Trial.numbers(512), Trial.zeros(64)])

  @Test func groupsThatAreWaitedFor() {
    groups.isClean { $0[1] == (0..<64).map { ($0 ^ 32) * 4 } }
    groups.replacing("wait_group 1;", "wait_group 0;").replacing(
      "add.u32 %r3, %r3, %r0;", "add.u32 %r3, %r3, %r0; add.u32 %r3, %r3, 1024;"
    )
    .isClean { $0[1] == (0..<64).map { ($0 ^ 32) * 4 + 256 } }
    groups.replacing("cp.async.wait_group 1;", "cp.async.wait_all;").isClean()
    // One's own bytes need no barrier.
    groups.replacing("bar.sync 0;", "").replacing("xor.b32 %r3, %r1, 512;", "mov.u32 %r3, %r1;").isClean()
  }

  @Test func groupsThatAreNotWaitedFor() {
    groups.replacing("cp.async.wait_group 1;", "").finds(
      .inFlight, .race, .uninitialised, saying: ["shared 0x"])
    groups.replacing("cp.async.wait_group 1;", "cp.async.wait_group 2;").finds(.inFlight, .race, .uninitialised)
    groups.replacing("[%r3];", "[%r3+1024];").finds(.inFlight, .race, .uninitialised)
    groups.replacing("bar.sync 0;", "").finds(.inFlight, .race, .uninitialised)
    // The neighbour's bytes, within a warp.
    groups.replacing("bar.sync 0;", "").replacing("xor.b32 %r3, %r1, 512;", "xor.b32 %r3, %r1, 16;").finds(
      .race, saying: ["cp.async.wait_group in the threads that copy"])
    groups.replacing("bar.sync 0;", "bar.warp.sync 0xFFFFFFFF;").replacing(
      "xor.b32 %r3, %r1, 512;", "xor.b32 %r3, %r1, 16;"
    )
    .isClean()
    // The tile is written again while the copy still writes it.
    groups.replacing("cp.async.wait_group 1;", "st.shared.u32 [%r2], %t; cp.async.wait_group 1;").finds(
      .inFlight, .race, saying: ["cp.async.cg.shared.global [%r2], [%d1], 16"])
  }

  @Test func whatIsLeftOutIsZero() {
    let trial = Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 4; add.u32 %r2, %r0, %r1;
      cvt.u64.u32 %d0, %r1; add.u64 %d1, %P0, %d0;
      and.b32 %r5, %t, 15; setp.eq.u32 %p0, %r5, 3;
      cp.async.cg.shared.global [%r2], [%d1], 16, %r5;
      cp.async.ca.shared.global [%r2+1024], [%d1], 8, %p0;
      cp.async.wait_all;
      ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r2];
      ld.shared.v2.u32 {%r10, %r11}, [%r2+1024];
      add.u64 %d2, %P1, %d0;
      add.u32 %r8, %r8, %r9;
      st.global.v4.u32 [%d2], {%r6, %r7, %r10, %r11};
      """, target: "sm_80", buffers: [Trial.numbers(128).map { $0 + 0x0101_0101 }, Trial.zeros(128)])
    trial.isClean { result in
      (0..<32).allSatisfy { thread in
        let words = result[1][thread * 4..<thread * 4 + 4].map { $0 }
        let size = thread & 15
        func word(_ index: Int) -> UInt32 {
          let kept = max(0, min(4, size - 4 * index))
          let mask: UInt32 = kept == 4 ? .max : (1 << UInt32(8 * kept)) - 1
          return result[0][thread * 4 + index] & mask
        }
        let second: [UInt32] = size == 3 ? [0, 0] : [result[0][thread * 4], result[0][thread * 4 + 1]]
        return words == [word(0), word(1)] + second
      }
    }
  }

  @Test func copiesThatDoNotFit() {
    groups.replacing("[%r2], [%d1], 16;", "[%r2+8], [%d1], 16;").finds(
      .misaligned, saying: ["target of cp.async", "multiple of 16"])
    groups.replacing("[%r2], [%d1], 16;", "[%r2], [%d1+4], 16;").finds(.misaligned, saying: ["source of cp.async"])
    groups.replacing("[%d1+1024]", "[%d1+2048]").finds(.outOfBounds, saying: ["one allocation"])
    groups.replacing("[%r2], [%d1], 16;", "[%r2], [%d1], 8;").finds(.unsupported, saying: ["cp.async.cg 16"])
  }

  // MARK: Bulk copies to global memory

  /// All threads write the tile, thread 0 copies it to global memory.
  private let store = Trial(
    """
    mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1; setp.eq.u32 %p0, %t, 0;
    st.shared.u32 [%r2], %t;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    @!%p0 bra AFTER;
    cp.async.bulk.global.shared::cta.bulk_group [%P0], [%r0], 256;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group.read 0;
    AFTER:
    bar.sync 0;
    st.shared.u32 [%r2], %t;
    """, threads: 64, buffers: [Trial.zeros(64)])

  @Test func storesThatAreFenced() {
    store.isClean { $0[0] == Trial.numbers(64) }
    store.replacing(".read 0", " 0").isClean()
    // The thread that copies may fence for all that it knows of.
    store.replacing("fence.proxy.async.shared::cta;", "").replacing(
      "cp.async.bulk.global", "fence.proxy.async; cp.async.bulk.global"
    )
    .isClean()
  }

  @Test func aStoreWithoutAProxyFence() {
    store.replacing("fence.proxy.async.shared::cta;", "").finds(
      .missingProxyFence,
      saying: [
        "fence.proxy.async.shared::cta", "`cp.async.bulk.global.shared::cta.bulk_group [%P0], [%r0], 256`",
        "`st.shared.u32 [%r2], %t`",
        "of warp 0 of block (0, 0, 0)",
      ])
    // Only thread 0 fences, and before the barrier: for itself alone.
    store.replacing("fence.proxy.async.shared::cta;", "@%p0 fence.proxy.async.shared::cta;").finds(.missingProxyFence)
    store.replacing("bar.sync 0;\n@!%p0", "@!%p0").finds(.race, .uninitialised)
  }

  @Test func aSourceThatIsStillRead() {
    store.replacing("cp.async.bulk.wait_group.read 0;", "").finds(.inFlight, .race, saying: ["cp.async.bulk"])
    store.replacing("cp.async.bulk.commit_group;", "").finds(.inFlight, .race, saying: ["cp.async.bulk"])
    store.replacing("AFTER:\nbar.sync 0;", "AFTER:").finds(.inFlight, .race)
    // Nobody writes it again, but the block may be gone.
    store.replacing("cp.async.bulk.wait_group.read 0;", "").replacing(
      "AFTER:\nbar.sync 0;\nst.shared.u32 [%r2], %t;", "AFTER:"
    ).finds(
      .inFlight, saying: ["exits", "cp.async.bulk.wait_group 0 (or .read)"])
  }

  @Test func aTargetThatIsStillWritten() {
    let trial = store.replacing(
      "AFTER:\nbar.sync 0;\nst.shared.u32 [%r2], %t;", "@%p0 ld.global.u32 %r3, [%P0];\nAFTER:")
    trial.finds(.inFlight, .race, saying: ["cp.async.bulk.wait_group in the thread that copies"])
    trial.replacing(".read 0", " 0").isClean()
  }

  @Test func bytesThatWereNotWritten() {
    store.replacing("[%r0], 256;", "[%r0], 272;").replacing(
      "@!%p0 bra AFTER;", "@!%p0 bra AFTER; sub.u64 %P0, %P0, 16;"
    ).finds(
      .outOfBounds)
    store.replacing("st.shared.u32 [%r2], %t;\nfence", "@%p0 st.shared.u32 [%r2], %t;\nfence").finds(
      .uninitialised, saying: ["byte 4 of 256 at shared 0x400"])
  }

  @Test func bulkCopiesThatDoNotFit() {
    store.replacing("[%r0], 256;", "[%r0], 248;").finds(.misaligned, saying: ["multiple of 16 bytes", "248"])
    store.replacing("[%r0], 256;", "[%r0+8], 64;").finds(.misaligned, saying: ["source of a bulk copy"])
    store.replacing("[%P0], [%r0], 256;", "[%P0+8], [%r0], 64;").finds(.misaligned, saying: ["target of a bulk copy"])
  }

  @Test func reductions() {
    let trial = Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1; setp.eq.u32 %p0, %t, 0;
      st.shared.u32 [%r2], %t;
      fence.proxy.async.shared::cta;
      bar.sync 0;
      @!%p0 bra AFTER;
      cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%P0], [%r0], 256;
      cp.reduce.async.bulk.global.shared::cta.bulk_group.max.s32 [%P1], [%r0], 256;
      cp.async.bulk.commit_group;
      cp.async.bulk.wait_group 0;
      AFTER:
      """, blocks: 3, threads: 64, buffers: [Trial.numbers(64), [UInt32](repeating: 7, count: 64)])
    trial.isClean { $0[0] == (0..<64).map { 4 * $0 } && $0[1] == (0..<64).map { max(7, $0) } }
    // Without the reduction, three blocks write the same.
    trial.replacing(
      "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32", "cp.async.bulk.global.shared::cta.bulk_group"
    ).finds(
      .race, .inFlight)
  }

  // MARK: Bulk copies from global memory

  @Test func aTileThatIsReusedTooEarly() {
    // Two copies into the same tile; between them all threads have read, or have not.
    let trial = Trial(
      """
      setp.eq.u32 %p0, %t, 0; mov.u32 %r0, tile; mov.u32 %r1, bar; shl.b32 %r2, %t, 2; add.u32 %r2, %r0, %r2;
      @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
      @%p0 fence.mbarrier_init.release.cluster;
      bar.sync 0;
      mov.u32 %r5, 0; mov.u32 %r7, 0; mov.u64 %d0, %P0;
      LOOP:
      @!%p0 bra WAIT;
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 256;
      cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%d0], 256, [%r1];
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], %r5;
      @!%p1 bra WAIT;
      ld.shared.u32 %r6, [%r2]; add.u32 %r7, %r7, %r6;
      BETWEEN
      add.u64 %d0, %d0, 256; add.u32 %r5, %r5, 1; setp.lt.u32 %p2, %r5, 2;
      @%p2 bra LOOP;
      mul.wide.u32 %d1, %t, 4; add.u64 %d1, %d1, %P1; st.global.u32 [%d1], %r7;
      """, threads: 64, buffers: [Trial.numbers(128), Trial.zeros(64)])
    trial.replacing("BETWEEN", "bar.sync 0;").isClean { $0[1] == (0..<64).map { 2 * $0 + 64 } }
    trial.replacing("BETWEEN", "").finds(
      .race, .inFlight, .parity, saying: ["shared"])
  }

  @Test func whatACopyComesBehindIsKnownToThoseWhoWaitForIt() {
    // Thread 0 waits for the tile and copies it on; thread 32 waits for that copy, and fills the tile anew.
    let trial = Trial(
      """
      mov.u32 %r0, tile; mov.u32 %r1, bar; setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p1, %t, 32;
      @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
      @%p0 mbarrier.init.shared::cta.b64 [%r1+8], 1;
      @%p0 mbarrier.init.shared::cta.b64 [%r1+16], 1;
      @%p0 fence.mbarrier_init.release.cluster;
      bar.sync 0;
      @%p1 bra SECOND;
      @!%p0 bra END;
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 64;
      cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%P0], 64, [%r1];
      FIRST:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
      @!%p2 bra FIRST;
      cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r0+1024], [%r0], 64, [%r1+8];
      bra END;
      SECOND:
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+8], 64;
      MIDDLE:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1+8], 0;
      @!%p2 bra MIDDLE;
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+16], 64;
      cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%P0+64], 64, [%r1+16];
      LAST:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1+16], 0;
      @!%p2 bra LAST;
      ld.shared.u32 %r2, [%r0]; ld.shared.u32 %r3, [%r0+1024];
      st.global.v2.u32 [%P1], {%r2, %r3};
      END:
      """, threads: 64, buffers: [Trial.numbers(32), Trial.zeros(2)])
    trial.isClean { $0[1] == [16, 0] }
    trial.replacing("FIRST:", "").replacing(
      "mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;\n@!%p2 bra FIRST;", ""
    )
    .finds(.inFlight, .race, .uninitialised, .exitedPeer)
  }

  @Test func generalWritesBeforeACopyNeedAFence() {
    let trial = BarrierFaultTests.copy.replacing(
      "READY:\nbar.sync 0;",
      "READY:\nshl.b32 %r5, %t, 2; add.u32 %r5, %r5, %r0;\nst.shared.u32 [%r5], %t;\nBETWEEN\nbar.sync 0;")
    trial.replacing("BETWEEN", "fence.proxy.async.shared::cta;").isClean { $0[1] == (0..<64).map { $0 % 16 } }
    trial.replacing("BETWEEN", "").finds(
      .missingProxyFence, saying: ["cp.async.bulk.shared::cluster.global", "st.shared.u32 [%r5], %t"])
  }
}
