// Races between threads, data that nobody has written, and what orders accesses.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct RaceTests {
  /// Thread t writes its word, then reads that of a thread `%r5` further on in the block.
  private func exchange(_ between: String, distance: Int, threads: Int = 64) -> Trial {
    Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1;
      st.shared.u32 [%r2], %t;
      \(between)
      add.u32 %r3, %t, \(distance); rem.u32 %r3, %r3, \(threads); shl.b32 %r3, %r3, 2; add.u32 %r3, %r0, %r3;
      ld.shared.u32 %r4, [%r3];
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0; st.global.u32 [%d0], %r4;
      """, threads: threads, buffers: [Trial.zeros(threads)])
  }

  @Test func threadsOfTwoWarpsNeedABarrier() {
    exchange("", distance: 32).finds(.race, .uninitialised)
    exchange("bar.warp.sync 0xFFFFFFFF;", distance: 32).finds(.race, .uninitialised)
    exchange("bar.sync 0;", distance: 32).isClean { $0[0] == (0..<64).map { ($0 + 32) % 64 } }
    exchange("barrier.cta.sync.aligned 3, 64;", distance: 32).isClean()
  }

  @Test func aReadThatANeighbourOvertakes() {
    // Reads before the write of another warp: no order either.
    let trial = Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1;
      st.shared.u32 [%r2], %t;
      bar.sync 0;
      xor.b32 %r3, %r1, 128; add.u32 %r3, %r0, %r3;
      ld.shared.u32 %r4, [%r3];
      BETWEEN
      st.shared.u32 [%r2], %r4;
      """, threads: 64)
    trial.replacing("BETWEEN", "").finds(.race, saying: ["`st.shared.u32 [%r2], %r4`", "`ld.shared.u32 %r4, [%r3]`"])
    trial.replacing("BETWEEN", "bar.sync 0;").isClean()
  }

  @Test func lanesOfAWarpNeedOneOfTheirOwn() {
    exchange("", distance: 1, threads: 32).finds(
      .race,
      saying: ["bar.warp.sync", "lane 1 of warp 0 of block (0, 0, 0)", "instruction", "`st.shared.u32 [%r2], %t`"])
    exchange("bar.warp.sync 0xFFFFFFFF;", distance: 1, threads: 32).isClean { $0[0] == (0..<32).map { ($0 + 1) % 32 } }
    exchange("bar.sync 0;", distance: 1, threads: 32).isClean()
    // A lane always sees what it did itself.
    exchange("", distance: 0, threads: 32).isClean()
  }

  @Test func someLanesSynchroniseAmongThemselves() {
    let trial = Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1;
      st.shared.u32 [%r2], %t;
      setp.ge.u32 %p0, %t, 16;
      @%p0 bra END;
      bar.warp.sync 0xFFFF;
      xor.b32 %r3, %r1, OTHER; add.u32 %r3, %r0, %r3;
      ld.shared.u32 %r4, [%r3];
      END:
      """)
    trial.replacing("OTHER", "4").isClean()
    trial.replacing("OTHER", "64").finds(.race, saying: ["bar.warp.sync"])
  }

  @Test func oneLaneReleasesForItselfOnly() {
    // All lanes read, then lane 0 lets another warp overwrite.
    let trial = Trial(
      """
      mov.u32 %r0, tile; mov.u32 %r1, bar; shl.b32 %r2, %t, 2; and.b32 %r2, %r2, 124; add.u32 %r2, %r0, %r2;
      setp.ne.u32 %p0, %t, 0;
      @!%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
      setp.ge.u32 %p1, %t, 32;
      @!%p1 st.shared.u32 [%r2], %t;
      bar.sync 0;
      @%p1 bra SECOND;
      ld.shared.u32 %r3, [%r2];
      BETWEEN
      @!%p0 mbarrier.arrive.shared::cta.b64 _, [%r1];
      bra END;
      SECOND:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
      @!%p2 bra SECOND;
      st.shared.u32 [%r2], %t;
      END:
      """, threads: 64)
    trial.replacing("BETWEEN", "").finds(.race, saying: ["ld.shared.u32 %r3, [%r2]", "of warp 0 of block"])
    trial.replacing("BETWEEN", "bar.warp.sync 0xFFFFFFFF;").isClean()
    // What lane 0 itself did is known without.
    trial.replacing("BETWEEN", "").replacing("ld.shared.u32 %r3, [%r2];", "@!%p0 ld.shared.u32 %r3, [%r2];").isClean()
  }

  @Test func oneLaneWaitsForItselfOnly() {
    let trial = Trial(
      """
      mov.u32 %r0, tile; mov.u32 %r1, bar; shl.b32 %r2, %t, 2; and.b32 %r2, %r2, 124; add.u32 %r2, %r0, %r2;
      and.b32 %r4, %t, 31; setp.eq.u32 %p0, %r4, 0; setp.ge.u32 %p1, %t, 32;
      setp.eq.u32 %p3, %t, 0;
      @%p3 mbarrier.init.shared::cta.b64 [%r1], 32;
      bar.sync 0;
      @%p1 bra SECOND;
      st.shared.u32 [%r2], %t;
      mbarrier.arrive.shared::cta.b64 _, [%r1];
      bra END;
      SECOND:
      @!%p0 bra READ;
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
      @!%p2 bra WAIT;
      READ:
      BETWEEN
      ld.shared.u32 %r3, [%r2];
      END:
      """, threads: 64)
    trial.replacing("BETWEEN", "").finds(.race, .uninitialised)
    trial.replacing("BETWEEN", "bar.warp.sync 0xFFFFFFFF;").isClean()
  }

  @Test func dataThatNobodyHasWritten() {
    Trial("ld.shared.u32 %r0, [tile+64];").finds(
      .uninitialised, saying: ["shared 0x440 of block (0, 0, 0)", "nothing was written"])
    Trial(
      """
      mov.u16 %h0, 1; st.shared.u16 [tile+64], %h0;
      ld.shared.u32 %r0, [tile+64];
      """
    ).finds(.uninitialised, saying: ["shared 0x442"])
    Trial("st.shared.u32 [tile+64], %t; ld.shared.u16 %h0, [tile+66];", threads: 1).isClean()
  }

  @Test func atomicsAreNoRace() {
    let trial = Trial(
      """
      setp.eq.u32 %p0, %t, 0;
      @%p0 st.shared.u32 [tile], 0;
      bar.sync 0;
      red.shared.add.u32 [tile], 1;
      BETWEEN
      @%p0 ld.shared.u32 %r0, [tile];
      @%p0 st.global.u32 [%P0], %r0;
      """, threads: 96, buffers: [Trial.zeros(1)])
    trial.replacing("BETWEEN", "bar.sync 0;").isClean { $0[0] == [96] }
    trial.replacing("BETWEEN", "").finds(.race, saying: ["changed"])
  }

  // MARK: Global memory

  @Test func blocksThatWriteTheSame() {
    let trial = Trial(
      "mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0; st.global.u32 [%d0], %c;", blocks: 2,
      buffers: [Trial.zeros(32)])
    trial.finds(.race, saying: ["buffer 0", "atomics", "st.global.u32 [%d0], %c"])
    trial.replacing("st.global.u32 [%d0], %c;", "red.global.add.u32 [%d0], 1;").isClean {
      $0[0] == [UInt32](repeating: 2, count: 32)
    }
  }

  /// Block 0 writes data and raises a flag, block 1 waits for the flag and reads the data.
  private func flag(
    _ release: String, _ acquire: String, _ before: String = "bar.sync 0;", _ after: String = "bar.sync 0;"
  ) -> Trial {
    Trial(
      """
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0;
      setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p1, %c, 1;
      @%p1 bra SECOND;
      st.global.u32 [%d0], %t;
      \(before)
      @!%p0 bra END;
      \(release)
      bra END;
      SECOND:
      @!%p0 bra GO;
      WAIT:
      \(acquire)
      setp.eq.u32 %p2, %r0, 0;
      @%p2 bra WAIT;
      GO:
      \(after)
      ld.global.u32 %r1, [%d0];
      END:
      """, blocks: 2, threads: 64, buffers: [Trial.zeros(64), Trial.zeros(1)])
  }

  @Test func flagsInGlobalMemory() {
    flag("st.release.gpu.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];").isClean()
    flag("atom.add.acq_rel.gpu.global.u32 %r2, [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];").isClean()
    flag(
      "fence.acq_rel.gpu; red.relaxed.gpu.global.add.u32 [%P1], 1;",
      "ld.relaxed.gpu.global.u32 %r0, [%P1]; fence.acq_rel.gpu;"
    ).isClean()
    flag("membar.gl; st.volatile.global.u32 [%P1], 1;", "ld.volatile.global.u32 %r0, [%P1]; membar.gl;").isClean()
  }

  @Test func flagsThatOrderNothing() {
    flag("st.relaxed.gpu.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];").finds(
      .race, saying: [".gpu scope"])
    flag("st.release.gpu.global.u32 [%P1], 1;", "ld.relaxed.gpu.global.u32 %r0, [%P1];").finds(.race)
    flag("st.release.cta.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];").finds(.race)
    // The flag itself, without a strong access.
    flag("st.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];").finds(.race, .noProgress)
    // Other threads than the one that releases, or that acquires.
    flag("st.release.gpu.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];", "").finds(.race)
    flag("st.release.gpu.global.u32 [%P1], 1;", "ld.acquire.gpu.global.u32 %r0, [%P1];", "bar.sync 0;", "").finds(.race)
  }

  @Test func launchesAreOrdered() throws {
    let trial = Trial(
      "mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0; ld.global.u32 %r0, [%d0]; add.u32 %r0, %r0, 1; st.global.u32 [%d0], %r0;",
      buffers: [Trial.zeros(32)])
    trial.isClean { $0[0] == [UInt32](repeating: 1, count: 32) }
  }

  @Test func offMeansOff() throws {
    #expect(try exchange("", distance: 0).run(seed: 1, detectsRaces: false)[0] == (0..<64).map { $0 })
    _ = try Trial("ld.shared.u32 %r0, [tile+64];").run(seed: 0, detectsRaces: false)
  }
}
