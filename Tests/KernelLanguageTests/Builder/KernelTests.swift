// Kernels as they are built: the PTX that comes out, letter by letter where it shows a rule.

internal import KernelLanguage
internal import Testing

@Suite struct KernelTests {
  @Test func addReadsLikePseudoCode() throws {
    let add = Kernel("add", target: .sm80) { k in
      let a = k.pointer("a", to: F32.self)
      let b = k.pointer("b", to: F32.self)
      let c = k.pointer("c", to: F32.self)
      let n = k.parameter("n", U32.self)
      let i = k.globalThread
      k.when(i .< n) { c[i] = a[i] + b[i] }
    }
    #expect(
      add.module.text == """
        .version 8.0
        .target sm_80
        .address_size 64

        .visible .entry add(
          .param .u64 a,
          .param .u64 b,
          .param .u64 c,
          .param .u32 n)
        {
          .reg .pred %p<1>;
          .reg .b32 %r<5>;
          .reg .b64 %d<6>;
          .reg .f32 %f<3>;
          ld.param.u64 %d0, [a];
          ld.param.u64 %d1, [b];
          ld.param.u64 %d2, [c];
          ld.param.u32 %r0, [n];
          mov.u32 %r1, %ctaid.x;
          mov.u32 %r2, %ntid.x;
          mov.u32 %r3, %tid.x;
          mad.lo.u32 %r4, %r1, %r2, %r3;
          setp.lt.u32 %p0, %r4, %r0;
          @!%p0 bra L1;
          mad.wide.u32 %d3, %r4, 4, %d0;
          ld.global.f32 %f0, [%d3];
          mad.wide.u32 %d4, %r4, 4, %d1;
          ld.global.f32 %f1, [%d4];
          add.rn.f32 %f2, %f0, %f1;
          mad.wide.u32 %d5, %r4, 4, %d2;
          st.global.f32 [%d5], %f2;
        L1:
          ret;
        }

        """)
    #expect(try PTXModule(parsing: add.module.text) == add.module)
  }

  @Test func constantsAreFoldedAndOffsetsAreDisplacements() {
    let kernel = Kernel("k", target: .sm80) { k in
      let p = k.pointer("p", to: F32.self)
      let two: Value<U32> = 2
      p[two * 3 + 1] = p[3]
      let shared = k.shared(F32.self, count: 8)
      _ = k.shared(F32.self, count: 3)
      let last = k.shared(F64.self, count: 2, alignment: 64)
      shared[1] = 1.5
      last[1] = -2
    }
    let text = kernel.module.text
    #expect(text.contains("ld.global.f32 %f0, [%d0+12];"))
    #expect(text.contains("st.global.f32 [%d0+28], %f0;"))
    #expect(text.contains("st.shared.f32 [%r0+4], 0f3FC00000;"))
    #expect(text.contains("st.shared.f64 [%r2+72], 0dC000000000000000;"))
    #expect(text.contains(".extern .shared .align 64 .b8 sharedMemory[];"))
    #expect(kernel.sharedBytes == 80)
  }

  @Test func loopsAndBranchesNest() throws {
    let kernel = Kernel("k", target: .sm90a, threads: 128, blocks: 2, cluster: Extent(2)) { k in
      let n = k.parameter("n", S32.self)
      let sum = k.variable(Value<F32>(0))
      k.loop(n) { i in
        k.when(i % 2 .== 0) {
          sum += 1
        } otherwise: {
          k.loop { loop in
            loop.leave(when: sum .> 3)
            sum *= 2
          }
        }
      }
      k.only(if: k.isNaN(sum)) { k.trap() }
    }
    let text = kernel.module.text
    #expect(text.contains("  .maxntid 128, 1, 1\n  .minnctapersm 2\n  .reqnctapercluster 2, 1, 1"))
    #expect(text.contains("@%p2 bra L"))
    #expect(text.contains("@%p3 trap;"))
    #expect(try PTXModule(parsing: text) == kernel.module)
  }
}
