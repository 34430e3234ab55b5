// Attention forward and backward against its definition in Double, on every instruction set, with all options.

import CKernels
import Testing

/// What the kernels wrote, and what they read besides the case's tensors.
private struct Written {
  let o: HeadTensor, dq: HeadTensor, dk: HeadTensor, dv: HeadTensor
  let logsumexp: Buffer, dSinks: Buffer
  let lengths: Buffer, kScales: Buffer, vScales: Buffer

  var all: [Buffer] { [o.buffer, logsumexp, dq.buffer, dk.buffer, dv.buffer, dSinks] }
}

private func attention(_ context: UnsafePointer<ck_context>, _ c: AttentionCase) -> Written {
  let written = Written(
    o: c.q.empty(), dq: c.q.empty(), dk: c.k.empty(), dv: c.v.empty(),
    logsumexp: Buffer(CK_F32, count: c.batch * c.heads * c.queries), dSinks: Buffer(CK_F32, count: c.heads),
    lengths: Buffer(CK_I32, (c.lengths ?? []).map { Double($0) }),
    kScales: Buffer(CK_F32, (c.scales?.k ?? []).map { Double($0) }),
    vScales: Buffer(CK_F32, (c.scales?.v ?? []).map { Double($0) }))
  var a = ck_attention_arguments()
  a.type = c.type
  (a.batch, a.queries, a.keys) = (Int64(c.batch), Int64(c.queries), Int64(c.keys))
  (a.heads, a.kv_heads, a.head_size) = (Int64(c.heads), Int64(c.kvHeads), Int64(c.headSize))
  (a.scale, a.causal, a.window, a.softcap) = (Float(c.scale), c.causal, Int64(c.window), Float(c.softcap))
  (a.q, a.q_row, a.q_batch) = (UnsafeRawPointer(c.q.buffer.memory), c.q.rowStride, c.q.batchStride)
  (a.k, a.k_row, a.k_batch) = (UnsafeRawPointer(c.k.buffer.memory), c.k.rowStride, c.k.batchStride)
  (a.v, a.v_row, a.v_batch) = (UnsafeRawPointer(c.v.buffer.memory), c.v.rowStride, c.v.batchStride)
  (a.d_o, a.do_row, a.do_batch) = (UnsafeRawPointer(c.dO.buffer.memory), c.dO.rowStride, c.dO.batchStride)
  (a.o, a.o_row, a.o_batch) = (written.o.buffer.memory, written.o.rowStride, written.o.batchStride)
  (a.d_q, a.dq_row, a.dq_batch) = (written.dq.buffer.memory, written.dq.rowStride, written.dq.batchStride)
  (a.d_k, a.dk_row, a.dk_batch) = (written.dk.buffer.memory, written.dk.rowStride, written.dk.batchStride)
  (a.d_v, a.dv_row, a.dv_batch) = (written.dv.buffer.memory, written.dv.rowStride, written.dv.batchStride)
  a.logsumexp = written.logsumexp.memory.assumingMemoryBound(to: Float.self)
  // Kept by the result for as long as the kernels read them.
  if c.lengths != nil { a.lengths = UnsafePointer(written.lengths.memory.assumingMemoryBound(to: Int32.self)) }
  if c.scales != nil {
    a.k_scales = UnsafePointer(written.kScales.memory.assumingMemoryBound(to: Float.self))
    a.v_scales = UnsafePointer(written.vScales.memory.assumingMemoryBound(to: Float.self))
  }
  (c.segments ?? []).withUnsafeBufferPointer { segments in
    (c.sinks ?? []).withUnsafeBufferPointer { sinks in
      if c.segments != nil { a.segments = segments.baseAddress }
      if c.sinks != nil {
        a.sinks = sinks.baseAddress
        a.d_sinks = written.dSinks.memory.assumingMemoryBound(to: Float.self)
      }
      let forward = Buffer(CK_U8, count: ck_attention_scratch(context, &a))
      ck_attention(context, &a, forward.memory)
      if c.isCache { return }
      let backward = Buffer(CK_U8, count: ck_attention_backward_scratch(context, &a))
      ck_attention_backward(context, &a, backward.memory)
    }
  }
  return written
}

/// Expects each value within `factor` roundings of the magnitudes that went into it, and the padding untouched.
private func expectWithin(
  _ factor: Double, _ type: ck_type, _ tensor: HeadTensor, _ expected: [Double], _ bound: [Double], _ what: String
) {
  let untouched = tensor.empty().buffer, smallest = type == CK_F16 ? 0x1p-24 : 1e-30
  for i in expected.indices {
    let got = tensor.buffer[i], padding = i % tensor.row >= tensor.heads * tensor.headSize
    let wanted = padding ? untouched[i] : expected[i]
    let tolerance = padding ? 0 : factor * type.epsilon * (bound[i] + abs(expected[i])) + smallest
    if abs(got - wanted) <= tolerance { continue }
    Issue.record("\(what): element \(i) is \(got), not \(wanted) (tolerance \(tolerance))")
    return
  }
}

private func check(_ c: AttentionCase, _ seed: UInt64) {
  let expected = AttentionResult(c)
  // In f32: dot products of a few hundred terms, exp2 and tanh to 2e-7. Narrower types round inputs of later products.
  let factor = c.type == CK_F32 ? 48.0 : c.type == CK_F64 ? 1000 : 4
  for isa in testedISAs {
    for native in isa == CK_AVX512 && c.type == CK_BF16 && ck_has_bf16() ? [false, true] : [false] {
      var reference: [[UInt8]]?
      for threads in testedThreads {
        let written = withContext(isa, threads: threads, bf16: native) { attention($0, c) }
        let bytes = written.all.map(\.bytes)
        let what = "\(c), \(name(isa))\(native ? " native bf16" : ""), \(threads) threads, seed \(seed)"
        if let reference {
          #expect(bytes == reference, "bits differ: \(what)")
          continue
        }
        reference = bytes
        expectWithin(factor, c.type, written.o, expected.o, expected.oBound, "o: \(what)")
        expectClose(written.logsumexp, expected.logsumexp, relative: 1e-5, absolute: 1e-5, "logsumexp: \(what)")
        if c.isCache { continue }
        expectWithin(factor, c.type, written.dq, expected.dq, expected.dqBound, "dq: \(what)")
        expectWithin(factor, c.type, written.dk, expected.dk, expected.dkBound, "dk: \(what)")
        expectWithin(factor, c.type, written.dv, expected.dv, expected.dvBound, "dv: \(what)")
        guard c.sinks != nil else { continue }
        for h in 0..<c.heads {
          let tolerance = max(factor * c.type.epsilon, 1e-6) * (expected.dSinksBound[h] + abs(expected.dSinks[h]))
          #expect(abs(written.dSinks[h] - expected.dSinks[h]) <= tolerance + 1e-30, "dSinks: \(what)")
        }
      }
    }
  }
}

@Suite struct AttentionKernelTests {
  @Test(arguments: floatTypes) func randomProblems(type: ck_type) {
    var numbers = SeededNumbers()
    let lengths = [0, 1, 2, 5, 17, 65, 97, 129, 193, 200], sizes = [1, 7, 16, 40, 64, 96, 128, 256]
    for _ in 0..<(type == CK_F32 || type == CK_BF16 ? 40 : 12) {
      let queries = lengths.randomElement(using: &numbers)!
      let keys = numbers.int(0...1) == 0 ? queries : lengths.randomElement(using: &numbers)!
      let size = sizes.randomElement(using: &numbers)!
      if queries * keys * size > 1_500_000 { continue }
      check(AttentionCase(type: type, queries: queries, keys: keys, headSize: size, &numbers), numbers.seed)
    }
  }

  /// Several blocks of keys and queries, and limits in all places relative to them.
  @Test func severalBlocks() {
    var numbers = SeededNumbers()
    for (type, queries, keys) in [(CK_F32, 400, 400), (CK_BF16, 400, 400), (CK_F32, 130, 500), (CK_BF16, 210, 390)] {
      for window in [0, 150] {
        var c = AttentionCase(type: type, queries: queries, keys: keys, headSize: 16, &numbers)
        (c.causal, c.window) = (true, window)
        check(c, numbers.seed)
      }
    }
  }

  /// A few queries after many keys, as when decoding.
  @Test func fewQueries() {
    var numbers = SeededNumbers()
    for (type, queries, headSize) in [(CK_F32, 1, 64), (CK_BF16, 1, 96), (CK_F16, 3, 40), (CK_F32, 4, 33)] {
      for keys in [1, 256, 700] {
        check(AttentionCase(type: type, queries: queries, keys: keys, headSize: headSize, &numbers), numbers.seed)
      }
    }
  }

  /// A cache of which only the first keys exist, of floats and of int8: what is read depends on the lengths alone.
  @Test(arguments: floatTypes) func caches(type: ck_type) {
    var numbers = SeededNumbers()
    for (queries, keys, headSize) in [
      (1, 1, 64), (1, 1500, 16), (1, 300, 96), (2, 130, 80), (8, 130, 33), (70, 200, 8), (1, 40, 576),
    ] {
      for int8 in [false, true] {
        let c = AttentionCase(type: type, queries: queries, keys: keys, headSize: headSize, &numbers)
        check(c.onCache(int8: int8, &numbers), numbers.seed)
      }
    }
  }

  /// With more queries than keys the first rows see nothing: zeros, no gradient, logsumexp -inf.
  @Test func rowsThatSeeNothing() {
    var numbers = SeededNumbers()
    for type in floatTypes {
      var c = AttentionCase(type: type, queries: 70, keys: 9, headSize: 24, &numbers)
      (c.causal, c.window) = (true, 0)
      check(c, numbers.seed)
      c.sinks = nil
      for isa in testedISAs {
        let written = withContext(isa) { attention($0, c) }
        #expect((0..<61).allSatisfy { written.logsumexp[$0] == -.infinity })
        #expect((0..<61).allSatisfy { written.o.buffer[c.q.index(0, $0, 0, 0)] == 0 })
      }
    }
  }

  /// A NaN in a key reaches every row that sees it and no other.
  @Test func nanSpreads() {
    var numbers = SeededNumbers()
    for type in [CK_F32, CK_BF16] {
      var c = AttentionCase(type: type, queries: 50, keys: 50, headSize: 16, &numbers)
      (c.causal, c.window, c.segments, c.softcap) = (true, 0, nil, 0)
      c.k.buffer[c.k.index(0, 20, 0, 3)] = .nan
      for isa in testedISAs {
        let o = withContext(isa) { attention($0, c) }.o
        for t in 0..<50 { #expect(o.buffer[o.index(0, t, 0, 5)].isNaN == (t >= 20), "\(name(isa)) row \(t)") }
      }
    }
  }
}
