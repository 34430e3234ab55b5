// Registers that warps give back and ask for, and clusters that others do the work of.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct LaunchControlTests {
  /// Three warpgroups with 168 registers each thread: one gives back, two ask for more.
  private func roles(_ producer: Int, _ consumer: Int) -> Trial {
    Trial(
      """
      setp.lt.u32 %p0, %t, 128;
      @%p0 bra PRODUCER;
      setmaxnreg.inc.sync.aligned.u32 \(consumer);
      bra END;
      PRODUCER:
      setmaxnreg.dec.sync.aligned.u32 \(producer);
      END:
      """, threads: 384, directives: ".maxntid 384, 1, 1 .minnctapersm 1")
  }

  @Test func registersThatAreThere() {
    roles(24, 240).isClean()
    roles(40, 232).isClean()
  }

  @Test func registersThatAreNotThere() {
    roles(40, 240).finds(.registerBudget, saying: ["wants 2304 more", "are free"])
    roles(24, 256).finds(.registerBudget)
  }

  @Test func registersThatNobodyMayAskFor() {
    roles(20, 240).finds(.registerBudget, saying: ["multiple of 8 from 24 to 256, not 20"])
    roles(28, 240).finds(.registerBudget)
    roles(24, 264).finds(.registerBudget)
    roles(176, 240).finds(.registerBudget, saying: ["holds 168", "gives some back"])
    roles(24, 160).finds(.registerBudget, saying: ["holds 168 already"])
    var trial = roles(24, 240)
    trial.directives = ".maxntid 384, 1, 1"
    trial.finds(.registerBudget, saying: ["the assembler ignores setmaxnreg", ".minnctapersm"])
    trial.directives = ".maxnreg 168"
    trial.isClean(seeds: 0..<4)
    // One warp of the four does not take part.
    roles(24, 240).replacing(
      "setp.lt.u32 %p0, %t, 128;", "setp.ge.u32 %p1, %t, 352; @%p1 bra END; setp.lt.u32 %p0, %t, 128;"
    )
    .finds(.registerBudget, saying: ["some warps of a warpgroup only", "1, 1, 1, 0 times"])
  }

  /// Two launches, the second of which reads what the first has written, and may begin before that has ended.
  @Test func theGridBefore() throws {
    func run(_ wait: String, overlaps: Bool, seed: UInt64 = 0) throws -> LaunchReport {
      let text = """
        .version 8.0 .target sm_90a .address_size 64
        .visible .entry first(.param .u64 p) { .reg .b64 %d; ld.param.u64 %d, [p]; griddepcontrol.launch_dependents; st.global.u32 [%d], 7; ret; }
        .visible .entry second(.param .u64 p) {
          .reg .b64 %d; .reg .b32 %r, %t; .reg .pred %p; ld.param.u64 %d, [p];
          mov.u32 %t, %tid.x; setp.eq.u32 %p, %t, 0;
          \(wait)
          ld.global.u32 %r, [%d];
          ret;
        }
        """
      let gpu = EmulatedGPU(.h200, options: EmulatedGPU.Options(seed: seed))
      let module = try gpu.load(PTXModule(parsing: text))
      let address = try gpu.allocate(4, name: "data")
      var configuration = LaunchConfiguration(grid: Extent(1), block: Extent(1))
      _ = try gpu.launch(module, "first", configuration, [.pointer(address)])
      (configuration.overlapsPrevious, configuration.block) = (overlaps, Extent(64))
      return try gpu.launch(module, "second", configuration, [.pointer(address)])
    }
    _ = try run("", overlaps: false)
    _ = try run("griddepcontrol.wait;", overlaps: true)
    for seed in 0..<12 as Range<UInt64> {
      _ = try run("@%p griddepcontrol.wait; bar.sync 0;", overlaps: true, seed: seed)
    }
    for (wait, seed) in [("", 0), ("", 1)] + (0..<12).map({ ("@%p griddepcontrol.wait;", $0) }) as [(String, UInt64)] {
      let error = #expect(throws: EmulatorError.self) { try run(wait, overlaps: true, seed: seed) }
      #expect(error?.code == .race)
      #expect(error?.message.contains("`st.global.u32 [%d], 7` of kernel first") == true)
      #expect(error?.message.contains("griddepcontrol.wait") == true)
    }
  }

  /// Each block adds 1 to the count of its own index and of those that it takes over from clusters that have not begun.
  private let workers = Trial(
    """
    setp.eq.u32 %p0, %t, 0; mov.u32 %r0, tile; mov.u32 %r1, bar; mov.u32 %r5, 0; mov.u32 %r6, %c;
    @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
    @%p0 fence.mbarrier_init.release.cluster;
    bar.sync 0;
    LOOP:
    mul.wide.u32 %d0, %r6, 4; add.u64 %d0, %d0, %P0;
    @%p0 red.global.add.u32 [%d0], 1;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 16;
    @%p0 clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [%r0], [%r1];
    WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], %r5;
    @!%p1 bra WAIT;
    ld.shared.b128 %q0, [%r0];
    bar.sync 0;
    xor.b32 %r5, %r5, 1;
    clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 %p2, %q0;
    clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128 {%r6, %r7, %r8, _}, %q0;
    clusterlaunchcontrol.query_cancel.get_first_ctaid::x.b32.b128 %r9, %q0;
    setp.eq.and.u32 %p3, %r6, %r9, %p2;
    @%p3 bra LOOP;
    """, blocks: 60, threads: 64, target: "sm_100a", buffers: [Trial.zeros(60)])

  @Test func clustersThatAreTakenOver() {
    // Each piece of work is done once, whoever does it.
    var few = workers
    few.residentBlocks = 5
    few.isClean { $0[0] == [UInt32](repeating: 1, count: 60) }
    var old = workers
    old.target = "sm_90a"
    old.finds(.unsupported, saying: ["sm_100a"])
  }
}
