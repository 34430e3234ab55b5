// Clusters: peers' shared memory, multicast, remote arrivals, and blocks that leave too early.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct ClusterTests {
  private static let end = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;"

  /// Each block reads a word of its peer.
  private let exchange = Trial(
    """
    mov.u32 %r0, tile; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1;
    mad.lo.u32 %r3, %c, 100, %t;
    st.shared.u32 [%r2], %r3;
    barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
    xor.b32 %r4, %rank, 1;
    mapa.shared::cluster.u32 %r5, %r2, %r4;
    ld.shared::cluster.u32 %r6, [%r5];
    getctarank.shared::cluster.u32 %r7, %r5;
    mad.lo.u32 %r6, %r7, 1000, %r6;
    mad.lo.u32 %r8, %c, 32, %t; mul.wide.u32 %d0, %r8, 4; add.u64 %d0, %d0, %P0; st.global.u32 [%d0], %r6;
    barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;
    """, blocks: 4, cluster: 2, buffers: [Trial.zeros(128)])

  @Test func peersAreRead() {
    let trial = exchange.replacing("arrive.relaxed", "arrive.release")
    trial.isClean { result in
      (0..<128).allSatisfy { (thread: Int) -> Bool in
        let peer = (thread / 32) ^ 1
        return Int(result[0][thread]) == peer * 100 + thread % 32 + peer % 2 * 1000
      }
    }
    trial.replacing(
      "arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\nxor",
      "arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;\nxor"
    )
    .finds(.race, saying: ["barrier.cluster.arrive.release"])
    // The generic way.
    trial.replacing(
      "ld.shared::cluster.u32 %r6, [%r5];", "cvt.u64.u32 %d3, %r5; cvta.shared.u64 %d3, %d3; ld.u32 %r6, [%d3];"
    ).isClean(seeds: 0..<4)
  }

  @Test func leavingBeforeThePeerHasRead() {
    // The reader's last arrival is relaxed: it does not say that it has read.
    exchange.finds(.exitedPeer, saying: ["exits", "`ld.shared::cluster.u32 %r6, [%r5]`", "barrier.cluster"])
    exchange.replacing("barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;", "").finds(
      .exitedPeer)
  }

  @Test func theBarrierOfTheCluster() {
    Trial("barrier.cluster.wait;", blocks: 2, cluster: 2).finds(.barrier, saying: ["without barrier.cluster.arrive"])
    Trial("barrier.cluster.arrive; barrier.cluster.arrive;", blocks: 2, cluster: 2).finds(.barrier, saying: ["twice"])
    let trial = Trial(
      "setp.eq.u32 %p0, %rank, 0; @%p0 bra END; barrier.cluster.arrive; barrier.cluster.wait; END: TAIL", blocks: 2,
      cluster: 2)
    // Those who have exited are not waited for.
    trial.replacing("TAIL", "").isClean()
    trial.replacing(
      "TAIL",
      "mov.u32 %r0, bar; setp.eq.u32 %p1, %t, 0; @%p1 mbarrier.init.shared::cta.b64 [%r0], 1; bar.sync 0; WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r0], 0; @!%p2 bra WAIT;"
    )
    .finds(.deadlock, saying: ["cluster's barrier: phase 0", "1 of 1 arrivals pending"])
    Trial("mov.u32 %r0, tile; mapa.shared::cluster.u32 %r1, %r0, 2;", blocks: 2, cluster: 2).finds(
      .outOfBounds, saying: ["rank 2"])
  }

  // MARK: Remote arrivals

  /// Block 1 writes into block 0's tile and arrives at its barrier; block 0 waits and reads.
  private let remote = Trial(
    """
    mov.u32 %r0, tile; mov.u32 %r1, bar; setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p1, %rank, 1;
    @%p0 mbarrier.init.shared::cta.b64 [%r1], 32;
    @%p0 fence.mbarrier_init.release.cluster;
    barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
    shl.b32 %r2, %t, 2; add.u32 %r3, %r0, %r2; mov.u32 %r9, 0;
    mapa.shared::cluster.u32 %r4, %r3, %r9; mapa.shared::cluster.u32 %r5, %r1, %r9;
    @!%p1 bra WAIT;
    st.shared::cluster.u32 [%r4], %t;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r5];
    bra END;
    WAIT:
    mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r1], 0;
    @!%p2 bra WAIT;
    ld.shared.u32 %r6, [%r3];
    mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0; st.global.u32 [%d0], %r6;
    END:
    """, blocks: 2, cluster: 2, buffers: [Trial.zeros(32)])

  @Test func remoteArrivals() {
    remote.isClean { $0[0] == Trial.numbers(32) }
  }

  @Test func scopesThatAreTooSmall() {
    remote.replacing("arrive.release.cluster.shared::cluster", "arrive.shared::cluster").finds(
      .race, saying: ["scope .cta", ".release.cluster"])
    remote.replacing("try_wait.parity.acquire.cluster", "try_wait.parity").finds(
      .race, saying: ["scope .cta", ".acquire.cluster"])
    remote.replacing("arrive.release.cluster.shared::cluster", "arrive.relaxed.cluster.shared::cluster").finds(.race)
    remote.replacing("try_wait.parity.acquire.cluster", "try_wait.parity.relaxed.cluster").finds(.race)
  }

  @Test func aRemoteBarrierThatIsNotReady() {
    remote.replacing("@%p0 fence.mbarrier_init.release.cluster;", "").finds(
      .missingProxyFence, saying: ["another block", "fence.mbarrier_init.release.cluster"])
    remote.replacing(
      "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\nshl", "bar.sync 0;\nshl"
    ).finds(
      .race, .barrier, .exitedPeer)
    // A relaxed arrival is enough behind the fence.
    remote.replacing(
      "arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\nshl",
      "arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;\nshl"
    )
    .isClean()
  }

  @Test func arrivingAtABlockThatHasLeft() {
    let trial = remote.replacing(
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r1], 0;\n@!%p2 bra WAIT;\nld.shared.u32 %r6, [%r3];",
      "mov.u32 %r6, 0;")
    trial.finds(.exitedPeer, saying: ["exit"])
  }

  @Test func storesThatComeLater() {
    let trial = Trial(
      """
      mov.u32 %r0, tile; mov.u32 %r1, bar; setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p1, %rank, 1;
      @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
      @%p0 fence.mbarrier_init.release.cluster;
      shl.b32 %r2, %t, 2; add.u32 %r3, %r0, %r2; mov.u32 %r9, 0;
      st.shared.u32 [%r3+128], 5;
      barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
      mapa.shared::cluster.u32 %r4, %r3, %r9; mapa.shared::cluster.u32 %r5, %r1, %r9;
      @!%p1 bra FIRST;
      st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r4], %t, [%r5];
      red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r4+128], %t, [%r5];
      bra END;
      FIRST:
      @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 256;
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
      @!%p2 bra WAIT;
      ld.shared.u32 %r6, [%r3]; ld.shared.u32 %r7, [%r3+128]; mad.lo.u32 %r6, %r6, 100, %r7;
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P0; st.global.u32 [%d0], %r6;
      END:
      """, blocks: 2, cluster: 2, buffers: [Trial.zeros(32)])
    trial.isClean { $0[0] == (0..<32).map { $0 * 101 + 5 } }
    trial.replacing("[%r1], 256;", "[%r1], 128;").finds(
      .transactionCount, .inFlight, .race, .uninitialised, .exitedPeer)
    trial.replacing("@!%p2 bra WAIT;", "").sometimesFinds(.race, .inFlight, .uninitialised, .exitedPeer)
  }

  // MARK: Multicast

  /// Block 0 copies 64 bytes into the tiles of both blocks, once both are ready.
  private let multicast = Trial(
    """
    mov.u32 %r0, tile; mov.u32 %r1, bar; setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p1, %rank, 0; and.pred %p1, %p1, %p0;
    @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
    @%p0 fence.mbarrier_init.release.cluster;
    barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 64;
    mov.u16 %h0, 3;
    @%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r0], [%P0], 64, [%r1], %h0;
    WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
    @!%p2 bra WAIT;
    and.b32 %r2, %t, 15; shl.b32 %r2, %r2, 2; add.u32 %r2, %r2, %r0;
    ld.shared.u32 %r3, [%r2];
    mad.lo.u32 %r4, %c, 32, %t; mul.wide.u32 %d0, %r4, 4; add.u64 %d0, %d0, %P1; st.global.u32 [%d0], %r3;
    """, blocks: 2, cluster: 2, buffers: [Trial.numbers(16), Trial.zeros(64)])

  @Test func copiesToAllBlocks() {
    multicast.isClean { $0[1] == (0..<64).map { $0 % 16 } }
  }

  @Test func copiesToBlocksThatAreNotReady() {
    multicast.replacing("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;", "bar.sync 0;")
      .finds(
        .race, .barrier, .exitedPeer)
    multicast.replacing("@%p0 fence.mbarrier_init.release.cluster;", "").finds(
      .missingProxyFence, saying: ["a copy", "fence.mbarrier_init"])
    multicast.replacing("mov.u16 %h0, 3;", "mov.u16 %h0, 7;").finds(.outOfBounds, saying: ["0x7", "cluster of 2"])
    // Block 1 does not wait, and leaves.
    multicast.replacing("WAIT:", "setp.eq.u32 %p3, %rank, 1; @%p3 bra END;\nWAIT:").replacing(
      "st.global.u32 [%d0], %r3;", "st.global.u32 [%d0], %r3;\nEND:"
    )
    .finds(.exitedPeer, .transactionCount, saying: ["block (1, 0, 0)", "exit"])
  }

  @Test func pairsOfBlocksShareABarrier() {
    // Each block copies its own half; both tell the barrier of block 0.
    var trial = Trial(
      """
      mov.u32 %r0, tile; mov.u32 %r1, bar; setp.eq.u32 %p0, %t, 0; mov.u32 %r9, 0;
      @%p0 mbarrier.init.shared::cta.b64 [%r1], 1;
      @%p0 fence.mbarrier_init.release.cluster;
      barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
      mapa.shared::cluster.u32 %r5, %r1, %r9; shl.b32 %r10, %rank, 3;
      setp.eq.u32 %p1, %rank, 0; and.pred %p1, %p1, %p0;
      @%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 64;
      @%p0 cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.cta_group::2 [%r0], [%M0, {%r10}], [%r5];
      setp.ne.u32 %p4, %rank, 0;
      @%p4 bra END;
      WAIT:
      mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r1], 0;
      @!%p2 bra WAIT;
      END:
      barrier.cluster.arrive.release; barrier.cluster.wait.acquire;
      setp.ge.u32 %p3, %t, 8; @%p3 bra OUT;
      shl.b32 %r2, %t, 2; add.u32 %r2, %r2, %r0; ld.shared.u32 %r3, [%r2];
      mad.lo.u32 %r4, %c, 8, %t; mul.wide.u32 %d0, %r4, 4; add.u64 %d0, %d0, %P1; st.global.u32 [%d0], %r3;
      OUT:
      """, blocks: 2, cluster: 2, target: "sm_100a", buffers: [Trial.numbers(16), Trial.zeros(16)],
      maps: [{ TensorMap(.uint32, address: $0[0], dimensions: [16], strides: [], box: [8]) }])
    trial.isClean { $0[1] == Trial.numbers(16) }
    trial = trial.replacing(".cta_group::2", "")
    trial.finds(.barrier, saying: ["must tell an mbarrier of that block"])
  }
}
