// Every form of a scalar instruction that is known: it is decoded, and NVIDIA's assembler takes it, too (checked with ptxas 13.0 for
// sm_100a).

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct FormsTests {
  @Test(arguments: forms.split(separator: "\n").map(String.init)) func isDecoded(form: String) throws {
    let text = """
      .version 9.0
      .target sm_100a
      .address_size 64
      .visible .entry k(.param .u64 pp, .param .align 8 .b8 arr[64])
      {
        .reg .b32 %r<19>; .reg .b64 %d<19>; .reg .b16 %h<19>; .reg .pred %p<9>; .reg .f32 %f<9>; .reg .b8 %c<9>;
        .reg .b128 %q<3>; .reg .f64 %e<3>; .shared .align 16 .b32 v[64]; .local .align 16 .b32 l[16];
        \(form)
        ret;
      }
      """
    _ = try EmulatedGPU(.b200).load(PTXModule(parsing: text))
  }

  private static let forms = """
    add.u16x2 %r1, %r2, %r3;
    add.s16x2 %r1, %r2, %r3;
    min.relu.s32 %r1, %r2, %r3;
    min.relu.s16x2 %r1, %r2, %r3;
    sad.u16 %h1, %h2, %h3, %h4;
    madc.hi.cc.u32 %r1,%r2,%r3,%r4;
    addc.cc.s64 %d1,%d2,%d3;
    add.cc.u32 %r1,%r2,%r3;
    dp2a.hi.s32.u32 %r1,%r2,%r3,%r4;
    mul24.hi.s32 %r1,%r2,%r3;
    add.f32 %f1, %f2, 0f3F800000;
    add.rn.f32x2 %d1,%d2,%d3;
    fma.rn.ftz.f32x2 %d1,%d2,%d3,%d4;
    mul.rz.f32x2 %d1,%d2,%d3;
    min.xorsign.abs.f32 %f1,%f2,%f3;
    min.NaN.ftz.f32 %f1,%f2,%f3;
    min.f32 %f1,%f2,%f3,%f4;
    fma.rn.relu.bf16 %h1,%h2,%h3,%h4;
    fma.rn.relu.f16x2 %r1,%r2,%r3,%r4;
    fma.rn.sat.f16 %h1,%h2,%h3,%h4;
    add.rn.bf16 %h1,%h2,%h3;
    add.sat.f16x2 %r1,%r2,%r3;
    mul.rn.bf16x2 %r1,%r2,%r3;
    neg.bf16x2 %r1,%r2;
    abs.f16 %h1,%h2;
    neg.ftz.f16 %h1,%h2;
    max.NaN.xorsign.abs.bf16x2 %r1,%r2,%r3;
    min.ftz.f16 %h1,%h2,%h3;
    ex2.approx.ftz.bf16x2 %r1,%r2;
    ex2.approx.f16 %h1,%h2;
    tanh.approx.bf16 %h1,%h2;
    tanh.approx.f32 %f1,%f2;
    rcp.approx.ftz.f64 %d1,%d2;
    rsqrt.approx.f64 %d1,%d2;
    sqrt.rn.f64 %d1,%d2;
    sqrt.approx.f32 %f1,%f2;
    rcp.rz.ftz.f32 %f1,%f2;
    div.full.f32 %f1,%f2,%f3;
    div.approx.ftz.f32 %f1,%f2,%f3;
    div.rm.f32 %f1,%f2,%f3;
    copysign.f32 %f1,%f2,%f3;
    testp.infinite.f32 %p1,%f2;
    add.rn.f32.f16 %f1,%h1,%f3;
    fma.rn.f32.bf16 %f1,%h1,%h2,%f3;
    sub.rz.f32.bf16 %f1,%h1,%f2;
    mad.rn.f32 %f1,%f2,%f3,%f4;
    popc.b64 %r1, %d1;
    clz.b32 %r1,%r2;
    bfind.shiftamt.s64 %r1,%d1;
    bfind.u32 %r1,%r2;
    brev.b64 %d1,%d2;
    bfe.s64 %d1,%d2,%r1,%r2;
    bfi.b64 %d1,%d2,%d3,%r1,%r2;
    fns.b32 %r1,%r2,%r3,%r4;
    szext.wrap.s32 %r1,%r2,%r3;
    bmsk.clamp.b32 %r1,%r2,%r3;
    prmt.b32.f4e %r1,%r2,%r3,%r4;
    shf.l.wrap.b32 %r1,%r2,%r3,%r4;
    shl.b16 %h1,%h2,%r1;
    shr.s64 %d1,%d2,%r1;
    lop3.b32 %r1,%r2,%r3,%r4,0xE8;
    lop3.or.b32 %r1|%p1,%r2,%r3,%r4,0xE8,%p2;
    and.pred %p1,%p2,%p3;
    not.pred %p1,%p2;
    cnot.b16 %h1,%h2;
    xor.b64 %d1,%d2,%d3;
    mov.b32 {%h1,%h2}, %r1;
    mov.b32 %r1,{%h1,%h2};
    mov.b64 %d1,{%h1,%h2,%h3,%h4};
    mov.b64 {%r1,%r2},%d1;
    mov.b128 %q1,{%d1,%d2};
    mov.b128 {%d1,%d2},%q1;
    mov.b32 {%c1,%c2,%c3,%c4},%r1;
    mov.b64 {_,%r2},%d1;
    mov.b16 {%c1,%c2},%h1;
    mov.pred %p1,%p2;
    mov.u32 %r1, v;
    mov.u64 %d1, v;
    mov.u32 %r1,%clock;
    mov.u64 %d1,%globaltimer;
    mov.b32 %r1, %f1;
    mov.b16 %h1, 5;
    selp.b32 %r1,%r2,%r3,%p1;
    selp.f32 %f1,%f2,0f00000000,%p1;
    selp.b16 %h1,%h2,%h3,%p1;
    slct.f32.f32 %f1,%f2,%f3,%f4;
    slct.b32.s32 %r1,%r2,%r3,%r4;
    setp.lt.and.f32 %p1|%p2,%f1,%f2,!%p3;
    setp.ltu.ftz.f32 %p1,%f1,%f2;
    setp.num.f64 %p1,%e1,%e2;
    setp.lo.u32 %p1,%r1,%r2;
    setp.eq.b16 %p1,%h1,%h2;
    setp.gt.f16x2 %p1|%p2,%r1,%r2;
    setp.gt.bf16 %p1,%h1,%h2;
    set.gt.u32.f32 %r1,%f1,%f2;
    set.gt.and.f32.s32 %f1,%r1,%r2,%p1;
    set.lt.f16x2.f16x2 %r1,%r2,%r3;
    set.lt.ftz.f16.f16 %h1,%h2,%h3;
    set.lt.bf16x2.bf16x2 %r1,%r2,%r3;
    isspacep.shared %p1,%d1;
    isspacep.shared::cta %p1,%d1;
    isspacep.shared::cluster %p1,%d1;
    cvta.to.shared.u64 %d1,%d2;
    cvta.shared.u64 %d1,%d2;
    cvta.to.global.u64 %d1,%d2;
    cvta.param.u64 %d1,%d2;
    cvta.shared::cta.u64 %d1,%d2;
    cvt.rn.f16.f32 %h1,%f1;
    cvt.rn.f16x2.f32 %r1,%f1,%f2;
    cvt.rn.relu.bf16x2.f32 %r1,%f1,%f2;
    cvt.rz.satfinite.bf16x2.f32 %r1,%f1,%f2;
    cvt.f32.f16 %f1,%h1;
    cvt.f32.bf16 %f1,%h1;
    cvt.rni.s32.f32 %r1,%f1;
    cvt.rzi.ftz.sat.u8.f32 %r1,%f1;
    cvt.rn.f32.s64 %f1,%d1;
    cvt.rn.bf16.s32 %h1,%r1;
    cvt.rzi.s16.bf16 %h1,%h2;
    cvt.rpi.f32.f32 %f1,%f2;
    cvt.sat.f32.f32 %f1,%f2;
    cvt.u8.u32 %r1,%r2;
    cvt.sat.s8.s32 %r1,%r2;
    cvt.rm.f32.f64 %f1,%e1;
    cvt.f64.f32 %e1,%f1;
    cvt.s64.s32 %d1,%r1;
    cvt.rni.f16.f16 %h1,%h2;
    cvt.rn.f16.bf16 %h1,%h2;
    cvt.pack.sat.s8.s32.b32 %r1,%r2,%r3,%r4;
    cvt.pack.sat.u16.s32 %r1,%r2,%r3;
    cvt.rn.relu.f16.f32 %h1,%f1;
    cvt.rn.relu.satfinite.bf16.f32 %h1,%f1;
    ld.param.u64 %d1,[pp];
    ld.param.v2.u32 {%r1,%r2},[arr+8];
    ld.param.u8 %r1,[arr+3];
    ld.global.v8.b32 {%r1,%r2,%r3,%r4,%r5,%r6,%r7,%r8},[%d1];
    ld.global.v4.u64 {%d2,%d3,%d4,%d5},[%d1+32];
    ld.global.b128 %q1,[%d1];
    ld.global.nc.L1::no_allocate.L2::128B.v4.f32 {%f1,%f2,%f3,%f4},[%d1];
    ld.global.L1::evict_last.L2::cache_hint.b32 %r1,[%d1],%d2;
    ld.volatile.shared.u32 %r1,[v];
    ld.acquire.gpu.global.u32 %r1,[%d1];
    ld.relaxed.sys.global.u64 %d2,[%d1];
    ld.u32 %r1,[%d1];
    ld.shared.v2.b16 {%h1,%h2},[%r1];
    ld.shared::cluster.b32 %r2,[%r3+4];
    ld.local.b32 %r1,[l+4];
    ld.shared.s8 %r1,[%r2];
    ld.shared.u8 %h1,[%r2];
    ld.global.s16 %d2,[%d1];
    ld.weak.global.ca.u32 %r1,[%d1];
    ld.mmio.relaxed.sys.global.u32 %r1,[%d1];
    ldu.global.u32 %r1,[%d1];
    ld.global.cs.u32 %r1,[%d1];
    ld.global.lu.u32 %r1,[%d1];
    ld.global.cv.u32 %r1,[%d1];
    st.global.L1::no_allocate.v4.b32 [%d1],{%r1,%r2,%r3,%r4};
    st.release.sys.global.u32 [%d1],%r1;
    st.volatile.shared.u32 [v],%r1;
    st.shared::cluster.v4.b32 [%r1],{%r1,%r2,%r3,%r4};
    st.global.u8 [%d1],%r1;
    st.local.b32 [l],%r1;
    st.global.wb.u32 [%d1],5;
    st.global.wt.f32 [%d1],0f00000000;
    st.relaxed.gpu.global.b32 [%d1],%r1;
    st.global.b128 [%d1],%q1;
    st.global.v8.f32 [%d1],{%f1,%f1,%f1,%f1,%f1,%f1,%f1,%f1};
    prefetch.global.L2 [%d1];
    prefetchu.L1 [%d1];
    prefetch.global.L2::evict_last [%d1];
    atom.global.add.u32 %r1,[%d1],%r2;
    atom.add.noftz.f16x2 %r1,[%d1],%r2;
    atom.global.add.noftz.bf16 %h1,[%d1],%h2;
    atom.shared.cas.b64 %d2,[%r1],%d3,%d4;
    atom.global.v4.f32.add {%f1,%f2,%f3,%f4},[%d1],{%f1,%f2,%f3,%f4};
    atom.acq_rel.gpu.global.exch.b32 %r1,[%d1],%r2;
    atom.shared.inc.u32 %r1,[v],%r2;
    atom.global.min.s64 %d2,[%d1],%d3;
    atom.cas.b16 %h1,[%d1],%h2,%h3;
    atom.global.exch.b128 %q1,[%d1],%q2;
    atom.relaxed.cta.shared::cta.or.b32 %r1,[v],%r2;
    atom.global.add.f64 %e1,[%d1],%e2;
    atom.global.v2.f16x2.add.noftz {%r1,%r2},[%d1],{%r3,%r4};
    atom.global.v8.f16.add.noftz {%h1,%h2,%h3,%h4,%h5,%h6,%h7,%h8},[%d1],{%h1,%h2,%h3,%h4,%h5,%h6,%h7,%h8};
    red.global.add.f32 [%d1],%f1;
    red.relaxed.gpu.global.add.v2.f32 [%d1],{%f1,%f2};
    red.global.v4.f32.add [%d1],{%f1,%f2,%f3,%f4};
    red.release.gpu.global.add.s32 [%d1],%r1;
    red.shared.and.b32 [v],%r1;
    red.global.add.u64 [%d1],%d2;
    red.global.L2::cache_hint.add.f32 [%d1],%f1,%d2;
    red.global.min.noftz.v4.bf16x2 [%d1],{%r1,%r2,%r3,%r4};
    """
}
