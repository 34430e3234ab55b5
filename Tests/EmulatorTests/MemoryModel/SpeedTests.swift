// What the detector costs.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct SpeedTests {
  /// Coalesced accesses of warps, which a detector of races checks byte by byte.
  private func loop(_ body: String) -> Trial {
    Trial(
      """
      mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1; cvt.u64.u32 %d0, %r1; add.u64 %d1, %P0, %d0;
      mov.u32 %r3, 0; st.shared.u32 [%r2], %t; st.shared.u32 [%r2+2048], %t;
      bar.sync 0;
      LOOP:
      \(body)
      add.u32 %r3, %r3, 1; setp.lt.u32 %p0, %r3, 2000;
      @%p0 bra LOOP;
      """, threads: 256, buffers: [Trial.zeros(1024)])
  }

  @Test(arguments: [
    ("shared loads", "ld.shared.u32 %r4, [%r2];"), ("shared stores", "st.shared.u32 [%r2+2048], %r3;"),
    ("global loads", "ld.global.u32 %r4, [%d1];"), ("global stores", "st.global.u32 [%d1+2048], %r3;"),
    ("with barriers", "ld.shared.u32 %r4, [%r2]; bar.sync 0; st.shared.u32 [%r2], %r3; bar.sync 0;"),
  ])
  func accessesAreCheckedQuickly(_ name: String, _ body: String) throws {
    func seconds(_ detectsRaces: Bool, _ trial: Trial) throws -> Double {
      let clock = ContinuousClock()
      var best = Double.infinity
      for _ in 0..<3 {
        let time = try clock.measure { _ = try trial.run(seed: 1, detectsRaces: detectsRaces) }
        best = min(best, Double(time.components.attoseconds) * 1e-18 + Double(time.components.seconds))
      }
      return best
    }
    let (with, without) = (try seconds(true, loop(body)), try seconds(false, loop(body)))
    // 8 warps, 2000 times.
    let nanoseconds = (with - without) / 16_000 * 1e9
    print("detector, \(name): \(Int(nanoseconds)) ns more for each turn of a warp, of \(Int(without / 16_000 * 1e9))")
    #expect(nanoseconds < 20_000, "a busy machine may be slow, but not as slow as that")
  }
}
