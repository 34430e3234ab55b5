// PTX as values, as text, and back.

internal import KernelLanguage
internal import Testing

@Suite struct PTXTests {
  private let text = """
    // A module with every kind of statement and operand.
    .version 8.0
    .target sm_90a
    .address_size 64
    .extern .shared .align 1024 .b8 smem[];
    .const .align 4 .f32 table[2] = {0f3F800000, 0fBF800000};
    .visible .entry gemm(.param .align 64 .b8 tA[128], .param .u32 nk, .param .u64 order)
      .maxntid 384, 1, 1 .minnctapersm 1 .reqnctapercluster 2, 1, 1
    {
      .reg .b32 %a, %b, %r<10>, %c; .reg .pred %p, %q; .reg .b64 %d, %e;
      .shared .align 8 .b64 full[4], empty[2], last;
      .pragma "nounroll";
      mov.u32 %r1, %tid.x; /* x */
      setp.eq.u32 %p|%q, %r1, 0x10;
      @!%p bra $L1;
      { .reg .b64 %f; ld.param.u64 %f, [order+8]; ld.global.L1::no_allocate.v2.f32 {%r1, %r2}, [%f-16]; }
    $L1:
      cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%d, {%r3, -4}], [%r5];
      mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r3], 49152;
      wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r1, %r2}, %d, %e, !%p, 1, 1, 0, 0;
      mov.b64 %d, 0xFFFFFFFFFFFFFFFF;
      mov.f64 %e, 0d3FF0000000000000;
      ret;
    }
    """

  @Test func printingAndParsingAreInverse() throws {
    let module = try PTXModule(parsing: text)
    #expect(module.version == PTXVersion(8, 0))
    #expect(module.target == .sm90a)
    #expect(module.kernels.map(\.name) == ["gemm"])
    #expect(module.kernels[0].parameters.map(\.names) == [["tA"], ["nk"], ["order"]])
    #expect(try PTXModule(parsing: module.text) == module)
    #expect(try PTXModule(parsing: module.text).text == module.text)
  }

  @Test(arguments: [
    ("", "begins with its version"),
    (".version 8", "begins with its version"),
    (".version 8.0 .target sm_90a .address_size 32", "64 bits"),
    (".version 8.0 .target sm_90a .address_size 64 .entry k() { mov.u32 %r1 }", "line 1, column"),
    (".version 8.0 .target sm_90a .address_size 64 .entry k() { mov.u32 %r1, 1.5; }", "operand"),
    (".version 8.0 .target sm_90a .address_size 64 .entry k() { ret;", "'}' is missing"),
    (".version 8.0 .target sm_90a .address_size 64 .entry k() .fast { ret; }", "no directive"),
    (".version 8.0 .target sm_90a .address_size 64 .func f()", "declaration"),
    (".version 8.0 .target sm_90a .address_size 64 /* k", "no end"),
  ])
  func textThatIsNotPTX(text: String, problem: String) {
    let error = #expect(throws: PTXError.self) { try PTXModule(parsing: text) }
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
  }
}
