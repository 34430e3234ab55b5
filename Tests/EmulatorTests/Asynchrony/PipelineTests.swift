// A product in the manner of the fastest public kernel for Hopper, small: a cluster of two blocks, tensor copies with
// multicast, two stages, wgmma, stmatrix, a tensor store, persistent tiles; and the faults that the public one has,
// each on its own.
//
// Pranjal Shankhdhar, fast.cu, matmul_12; what PTX asks for beyond it is in the clean kernel here.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct PipelineTests {
  /// C = A Bᵀ, A of 256 x 256, B of 16 x 256, C of 256 x 16, in bf16; blocks compute 64 x 16 at a time, clusters 128 x
  /// 16.
  static let product = Trial(
    """
    .shared .align 1024 .b8 smem[24576];
    .reg .b32 %sA, %sB, %sC, %full, %empty, %q, %ph, %i, %n, %m, %wg, %l, %x, %y, %z, %a, %kc;
    .reg .b32 %s<4>;
    .reg .b64 %da, %db, %o;
    .reg .f32 %acc<8>;
    .reg .pred %true;
    setp.eq.u32 %true, 0, 0;
    mov.u32 %sA, smem; add.u32 %sB, %sA, 16384; add.u32 %sC, %sA, 20480;
    mov.u32 %full, bar; add.u32 %empty, %full, 16;
    shr.u32 %wg, %t, 7; and.b32 %l, %t, 127;
    setp.eq.u32 %p0, %t, 0; setp.eq.u32 %p7, %l, 0;
    @!%p0 bra INIT;
    mbarrier.init.shared::cta.b64 [%full], 1; mbarrier.init.shared::cta.b64 [%full+8], 1;
    mbarrier.init.shared::cta.b64 [%empty], 2; mbarrier.init.shared::cta.b64 [%empty+8], 2;
    fence.mbarrier_init.release.cluster;
    INIT:
    barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
    mov.u32 %q, 0; mov.u32 %i, 0;
    setp.eq.u32 %p1, %wg, 0;
    @%p1 bra PRODUCER;

    setmaxnreg.inc.sync.aligned.u32 216;
    mov.u32 %ph, 0;
    TILE:
    mul.wide.u32 %o, %i, 4; add.u64 %o, %o, %P3; ld.global.u32 %m, [%o];
    shl.b32 %m, %m, 7; shl.b32 %z, %rank, 6; add.u32 %m, %m, %z;
    mov.u32 %n, 0;
    STEP:
    shl.b32 %x, %q, 3; add.u32 %y, %full, %x;
    FULL:
    mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p3, [%y], %ph;
    @!%p3 bra FULL;
    wgmma.fence.sync.aligned;
    shl.b32 %z, %q, 13; add.u32 %z, %z, %sA; and.b32 %z, %z, 0x3FFFF; shr.u32 %z, %z, 4;
    cvt.u64.u32 %da, %z; or.b64 %da, %da, 0x4000004000010000;
    shl.b32 %z, %q, 11; add.u32 %z, %z, %sB; and.b32 %z, %z, 0x3FFFF; shr.u32 %z, %z, 4;
    cvt.u64.u32 %db, %z; or.b64 %db, %db, 0x4000004000010000;
    setp.ne.u32 %p4, %n, 0;
    wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%acc0, %acc1, %acc2, %acc3, %acc4, %acc5, %acc6, %acc7}, %da, %db, %p4, 1, 1, 0, 0;
    add.u64 %da, %da, 2; add.u64 %db, %db, 2;
    wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%acc0, %acc1, %acc2, %acc3, %acc4, %acc5, %acc6, %acc7}, %da, %db, %true, 1, 1, 0, 0;
    add.u64 %da, %da, 2; add.u64 %db, %db, 2;
    wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%acc0, %acc1, %acc2, %acc3, %acc4, %acc5, %acc6, %acc7}, %da, %db, %true, 1, 1, 0, 0;
    add.u64 %da, %da, 2; add.u64 %db, %db, 2;
    wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%acc0, %acc1, %acc2, %acc3, %acc4, %acc5, %acc6, %acc7}, %da, %db, %true, 1, 1, 0, 0;
    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
    setp.lt.u32 %p5, %l, 2; add.u32 %z, %empty, %x;
    @%p5 mapa.shared::cluster.u32 %a, %z, %l;
    @%p5 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%a];
    xor.b32 %q, %q, 1; setp.eq.u32 %p6, %q, 0;
    @%p6 xor.b32 %ph, %ph, 1;
    add.u32 %n, %n, 1; setp.lt.u32 %p6, %n, 4;
    @%p6 bra STEP;

    @%p7 cp.async.bulk.wait_group.read 0;
    bar.sync 1, 128;
    cvt.rn.bf16x2.f32 %s0, %acc1, %acc0; cvt.rn.bf16x2.f32 %s1, %acc3, %acc2;
    cvt.rn.bf16x2.f32 %s2, %acc5, %acc4; cvt.rn.bf16x2.f32 %s3, %acc7, %acc6;
    and.b32 %x, %l, 15; shr.u32 %y, %l, 5; shl.b32 %y, %y, 4; add.u32 %x, %x, %y; shl.b32 %x, %x, 5;
    and.b32 %y, %l, 16; add.u32 %x, %x, %y; add.u32 %x, %x, %sC;
    stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%x], {%s0, %s1, %s2, %s3};
    fence.proxy.async.shared::cta;
    bar.sync 1, 128;
    @%p7 cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%M2, {0, %m}], [%sC];
    @%p7 cp.async.bulk.commit_group;
    add.u32 %i, %i, 1; setp.lt.u32 %p6, %i, 2;
    @%p6 bra TILE;
    @%p7 cp.async.bulk.wait_group 0;
    bra EXIT;

    PRODUCER:
    setmaxnreg.dec.sync.aligned.u32 40;
    @!%p0 bra EXIT;
    mov.u32 %ph, 1; setp.eq.u32 %p2, %rank, 0; mov.u16 %h0, 3;
    LOAD:
    mul.wide.u32 %o, %i, 4; add.u64 %o, %o, %P3; ld.global.u32 %m, [%o];
    shl.b32 %m, %m, 7; shl.b32 %z, %rank, 6; add.u32 %m, %m, %z;
    mov.u32 %n, 0;
    NEXT:
    shl.b32 %x, %q, 3; add.u32 %y, %full, %x; add.u32 %z, %empty, %x;
    EMPTY:
    mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p3, [%z], %ph;
    @!%p3 bra EMPTY;
    mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%y], 10240;
    shl.b32 %kc, %n, 6; shl.b32 %a, %q, 13; add.u32 %a, %a, %sA;
    cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%a], [%M0, {%kc, %m}], [%y];
    shl.b32 %a, %q, 11; add.u32 %a, %a, %sB;
    @%p2 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%a], [%M1, {%kc, 0}], [%y], %h0;
    xor.b32 %q, %q, 1; setp.eq.u32 %p6, %q, 0;
    @%p6 xor.b32 %ph, %ph, 1;
    add.u32 %n, %n, 1; setp.lt.u32 %p6, %n, 4;
    @%p6 bra NEXT;
    add.u32 %i, %i, 1; setp.lt.u32 %p6, %i, 2;
    @%p6 bra LOAD;

    EXIT:
    barrier.cluster.arrive.release; barrier.cluster.wait.acquire;
    """, blocks: 2, threads: 256, cluster: 2, directives: ".maxntid 256, 1, 1 .maxnreg 128",
    buffers: [PipelineTests.bf16(256 * 256, a), PipelineTests.bf16(16 * 256, b), Trial.zeros(256 * 8), [1, 0]],
    maps: [
      {
        TensorMap(
          .bfloat16, address: $0[0], dimensions: [256, 256], strides: [512], box: [64, 64], swizzle: .bytes128)
      },
      {
        TensorMap(.bfloat16, address: $0[1], dimensions: [256, 16], strides: [512], box: [64, 16], swizzle: .bytes128)
      },
      { TensorMap(.bfloat16, address: $0[2], dimensions: [16, 256], strides: [32], box: [16, 64]) },
    ])

  /// Elements of A and B: -1, 0 and 1, so that sums are exact.
  private static func a(_ index: Int) -> Int { (index / 256 * 7 + index % 256 * 5 + index % 256 / 16) % 3 - 1 }
  private static func b(_ index: Int) -> Int { (index / 256 * 11 + index % 256 * 3 + index % 256 / 9) % 3 - 1 }

  private static func code(_ value: Int) -> UInt32 { Float(value).bitPattern >> 16 }

  private static func bf16(_ count: Int, _ value: (Int) -> Int) -> [UInt32] {
    (0..<count / 2).map { code(value(2 * $0)) | code(value(2 * $0 + 1)) << 16 }
  }

  private static let expected: [UInt32] = bf16(256 * 16) { index in
    (0..<256).reduce(0) { $0 + a(index / 16 * 256 + $1) * b(index % 16 * 256 + $1) }
  }

  private func without(_ text: String) -> Trial { Self.product.replacing(text, "") }

  @Test func theCleanKernel() { Self.product.isClean(seeds: 0..<8) { $0[2] == Self.expected } }

  @Test func barriersThatAreNotFenced() {
    without("fence.mbarrier_init.release.cluster;").finds(
      .missingProxyFence, saying: ["fence.mbarrier_init.release.cluster"], seeds: 0..<4)
  }

  @Test func aStoreOfWhatTheOtherProxyWrote() {
    without("fence.proxy.async.shared::cta;").finds(
      .missingProxyFence,
      saying: ["fence.proxy.async.shared::cta", "`stmatrix.sync", "cp.async.bulk.tensor.2d.global"], seeds: 0..<4)
  }

  @Test func leavingTooEarly() {
    without("@%p7 cp.async.bulk.wait_group 0;").finds(.inFlight, saying: ["exits", "wait_group"], seeds: 0..<4)
    without("barrier.cluster.arrive.release; barrier.cluster.wait.acquire;").finds(
      .exitedPeer, saying: ["barrier.cluster.arrive and barrier.cluster.wait"], seeds: 0..<4)
  }

  @Test func registersOfHalfAWarpgroup() {
    // Only one warp of the producer gives registers back.
    Self.product.replacing(
      "setmaxnreg.dec.sync.aligned.u32 40;",
      "setp.ge.u32 %p6, %t, 32; @%p6 bra EXIT; setmaxnreg.dec.sync.aligned.u32 40;"
    )
    .finds(.registerBudget, seeds: 0..<4)
    // Only one lane does.
    Self.product.replacing(
      "setmaxnreg.dec.sync.aligned.u32 40;\n@!%p0 bra EXIT;", "@!%p0 bra EXIT;\nsetmaxnreg.dec.sync.aligned.u32 40;"
    )
    .finds(.registerBudget, .deadlock, .divergence, seeds: 0..<4)
  }

  @Test func aScheduleThatIsTooShort() {
    Self.product.replacing("setp.lt.u32 %p6, %i, 2;", "setp.lt.u32 %p6, %i, 3;").finds(
      .outOfBounds, saying: ["buffer 3", "ld.global.u32 %m, [%o]"], seeds: 0..<4)
  }

  @Test func scopesThatAreTooSmall() {
    Self.product.replacing("mbarrier.arrive.release.cluster.shared::cluster.b64", "mbarrier.arrive.shared::cluster.b64")
      .finds(
        .race, saying: ["scope .cta", ".release.cluster"], seeds: 0..<4)
    Self.product.replacing("try_wait.parity.acquire.cluster", "try_wait.parity").finds(
      .race, saying: ["scope .cta", ".acquire.cluster"], seeds: 0..<4)
  }

  @Test func stagesThatAreFreedTooEarly() {
    // The products of this stage may still read it.
    Self.product.replacing("wgmma.wait_group.sync.aligned 0;\nsetp.lt", "wgmma.wait_group.sync.aligned 1;\nsetp.lt")
      .finds(
        .inFlight, .race, saying: ["wgmma"], seeds: 0..<4)
    // The other block has not freed its stage.
    Self.product.replacing(
      "mbarrier.init.shared::cta.b64 [%empty], 2; mbarrier.init.shared::cta.b64 [%empty+8], 2;",
      "mbarrier.init.shared::cta.b64 [%empty], 1; mbarrier.init.shared::cta.b64 [%empty+8], 1;"
    )
    .finds(.race, .inFlight, .barrier, .parity, .transactionCount, seeds: 0..<4)
  }

  @Test func protocolsThatDoNotAddUp() {
    Self.product.replacing("[%y], 10240;", "[%y], 8192;").finds(
      .transactionCount, .inFlight, .race, .uninitialised, seeds: 0..<4)
    Self.product.replacing("[%y], 10240;", "[%y], 12288;").finds(
      .transactionCount, saying: ["2048 bytes outstanding"], seeds: 0..<4)
    Self.product.replacing("mov.u32 %ph, 1; setp", "mov.u32 %ph, 0; setp").finds(
      .deadlock, saying: ["phase 0", "2 of 2 arrivals pending"], seeds: 0..<4)
    Self.product.replacing("@!%p3 bra FULL;", "").replacing(
      "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p3, [%y], %ph;", ""
    )
    .finds(.inFlight, .race, .uninitialised, seeds: 0..<4)
    Self.product.replacing("fence.proxy.async.shared::cta;\nbar.sync 1, 128;", "fence.proxy.async.shared::cta;").finds(
      .race, .uninitialised, saying: ["shared"], seeds: 0..<4)
    Self.product.replacing("@%p7 cp.async.bulk.wait_group.read 0;\n", "").finds(
      .inFlight, .race, saying: ["stmatrix", "cp.async.bulk"], seeds: 0..<4)
  }
}
