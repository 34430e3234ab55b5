// The linear layer with its cross-entropy, in all three uses, against the definition in Double.

import CKernels
import Core
import Testing

private struct CrossEntropyCase: CustomStringConvertible {
  var type: ck_type
  var rows: Int, width: Int, vocabulary: Int
  var softcap: Double
  var x: Buffer, w: Buffer, targets: [Int32], dLoss: Buffer

  init(_ type: ck_type, _ rows: Int, _ width: Int, _ vocabulary: Int, softcap: Double, _ numbers: inout SeededNumbers) {
    (self.type, self.rows, self.width, self.vocabulary, self.softcap) = (type, rows, width, vocabulary, softcap)
    x = Buffer(type, (0..<rows * width).map { _ in numbers.double(-1, 1) })
    w = Buffer(type, (0..<vocabulary * width).map { _ in numbers.double(-1, 1) })
    // Some are outside on either side: they do not count.
    targets = (0..<rows).map { _ in
      Int32(numbers.int(0...5) == 0 ? [-1, vocabulary][numbers.int(0...1)] : numbers.int(0...vocabulary - 1))
    }
    dLoss = Buffer(CK_F32, (0..<rows).map { _ in numbers.double(-1, 1) })
  }

  var description: String { "\(type) \(rows) x \(width) x \(vocabulary), softcap \(softcap)" }
}

private struct CrossEntropyResult {
  var loss: [Double], logsumexp: [Double], dx: [Double], dw: [Double], dxBound: [Double], dwBound: [Double]
  var largest = 0.0  // logit

  init(_ c: CrossEntropyCase) {
    let x = c.x.values, w = c.w.values, n = c.width
    loss = [Double](repeating: 0, count: c.rows)
    logsumexp = loss
    dx = [Double](repeating: 0, count: x.count)
    dw = [Double](repeating: 0, count: w.count)
    (dxBound, dwBound) = (dx, dw)
    for i in 0..<c.rows {
      let logits = (0..<c.vocabulary).map { v in
        let raw = (0..<n).reduce(0.0) { $0 + x[i * n + $1] * w[v * n + $1] }
        return c.softcap > 0 ? c.softcap * tanh(raw / c.softcap) : raw
      }
      largest = logits.reduce(largest) { max($0, abs($1)) }
      logsumexp[i] = log(logits.reduce(0) { $0 + exp($1) })
      let target = Int(c.targets[i])
      guard target >= 0 && target < c.vocabulary else { continue }
      loss[i] = logsumexp[i] - logits[target]
      for v in 0..<c.vocabulary {
        let ratio = c.softcap > 0 ? logits[v] / c.softcap : 0
        let p = exp(logits[v] - logsumexp[i]), one = v == target ? 1.0 : 0
        let g = c.dLoss[i] * (p - one) * (1 - ratio * ratio), bound = abs(c.dLoss[i]) * (p + one)
        for k in 0..<n {
          dx[i * n + k] += g * w[v * n + k]
          dxBound[i * n + k] += bound * abs(w[v * n + k])
          dw[v * n + k] += g * x[i * n + k]
          dwBound[v * n + k] += bound * abs(x[i * n + k])
        }
      }
    }
  }
}

private struct Written {
  let loss: Buffer, logsumexp: Buffer, dx: Buffer, dw: Buffer
}

private func crossEntropy(
  _ context: UnsafePointer<ck_context>, _ c: CrossEntropyCase, gradientType: ck_type, forward: Bool = true,
  backward: Bool = true
) -> Written {
  let written = Written(
    loss: Buffer(CK_F32, count: c.rows), logsumexp: Buffer(CK_F32, count: c.rows),
    dx: Buffer(gradientType, count: c.rows * c.width), dw: Buffer(gradientType, count: c.vocabulary * c.width))
  var a = ck_cross_entropy_arguments()
  (a.type, a.type_dx, a.type_dw) = (c.type, gradientType, gradientType)
  (a.rows, a.width, a.vocabulary) = (Int64(c.rows), Int64(c.width), Int64(c.vocabulary))
  (a.softcap, a.x, a.w) = (Float(c.softcap), UnsafeRawPointer(c.x.memory), UnsafeRawPointer(c.w.memory))
  if forward {
    a.loss = written.loss.memory.assumingMemoryBound(to: Float.self)
    a.logsumexp = written.logsumexp.memory.assumingMemoryBound(to: Float.self)
  }
  if backward {
    a.d_loss = UnsafePointer(c.dLoss.memory.assumingMemoryBound(to: Float.self))
    (a.dx, a.dw) = (written.dx.memory, written.dw.memory)
  }
  c.targets.withUnsafeBufferPointer { targets in
    a.targets = targets.baseAddress
    let scratch = Buffer(CK_U8, count: ck_cross_entropy_scratch(context, &a))
    ck_cross_entropy(context, &a, scratch.memory)
  }
  return written
}

private func expectWithin(
  _ tolerance: Double, _ got: Buffer, _ expected: [Double], _ bound: [Double], _ what: String
) {
  for i in expected.indices where !(abs(got[i] - expected[i]) <= tolerance * (bound[i] + abs(expected[i])) + 1e-30) {
    Issue.record("\(what): element \(i) is \(got[i]), not \(expected[i])")
    return
  }
}

private func check(_ c: CrossEntropyCase, _ seed: UInt64) {
  let expected = CrossEntropyResult(c)
  // bf16 logits are rounded: an error of the exponent, hence of the probabilities.
  let logit = (expected.largest + 1) * (c.type == CK_BF16 ? 0x1p-8 : c.type == CK_F64 ? 1e-12 : 2e-6)
  for isa in testedISAs {
    for native in isa == CK_AVX512 && c.type == CK_BF16 && ck_has_bf16() ? [false, true] : [false] {
      for gradientType in c.type == CK_F64 ? [CK_F64] : [CK_F32, c.type] {
        let what = "\(c) gradients \(gradientType), \(name(isa))\(native ? " native" : ""), seed \(seed)"
        func run(_ threads: Int, forward: Bool = true, backward: Bool = true) -> Written {
          withContext(isa, threads: threads, bf16: native) {
            crossEntropy($0, c, gradientType: gradientType, forward: forward, backward: backward)
          }
        }
        let written = run(2), rounding = 2 * gradientType.epsilon + 2 * logit + (c.type == CK_BF16 ? 0x1p-8 : 0)
        expectClose(written.loss, expected.loss, relative: 1e-6, absolute: 2 * logit + 1e-6, "loss: \(what)")
        expectClose(written.logsumexp, expected.logsumexp, relative: 1e-6, absolute: logit + 1e-6, "logsumexp: \(what)")
        expectWithin(rounding, written.dx, expected.dx, expected.dxBound, "dx: \(what)")
        expectWithin(rounding, written.dw, expected.dw, expected.dwBound, "dw: \(what)")
        for threads in testedThreads {
          let again = run(threads), forward = run(threads, backward: false), backward = run(threads, forward: false)
          for (one, other) in [
            (again.loss, written.loss), (again.dx, written.dx), (again.dw, written.dw), (forward.loss, written.loss),
            (forward.logsumexp, written.logsumexp), (backward.dx, written.dx), (backward.dw, written.dw),
          ] {
            #expect(one.bytes == other.bytes, "bits differ with \(threads) threads or by use: \(what)")
          }
        }
      }
    }
  }
}

@Suite struct CrossEntropyKernelTests {
  @Test(arguments: floatTypes) func randomProblems(type: ck_type) {
    var numbers = SeededNumbers()
    for (rows, width, vocabulary) in [(1, 1, 1), (3, 16, 2), (17, 33, 129), (65, 24, 1030), (40, 64, 257)] {
      for softcap in [0, 1.5] {
        check(CrossEntropyCase(type, rows, width, vocabulary, softcap: softcap, &numbers), numbers.seed)
      }
    }
  }

  @Test func noRowsGiveNoGradient() {
    var numbers = SeededNumbers()
    for isa in testedISAs {
      let c = CrossEntropyCase(CK_F32, 0, 8, 20, softcap: 0, &numbers)
      let written = withContext(isa) { crossEntropy($0, c, gradientType: CK_F32) }
      #expect(written.dw.values.allSatisfy { $0 == 0 })
    }
  }

  /// More logits than the scratch holds at a time: the sums of dw go over chunks.
  @Test(arguments: [CK_F32, CK_BF16]) func severalChunks(type: ck_type) {
    var numbers = SeededNumbers()
    let rows = 300, vocabulary = type == CK_F32 ? 120_000 : 240_000
    var c = CrossEntropyCase(type, rows, 2, vocabulary, softcap: 0, &numbers)
    for isa in testedISAs where isa != CK_PORTABLE {
      let whole = withContext(isa) { crossEntropy($0, c, gradientType: type) }
      // The same in two halves, each of one chunk, has the same loss and dx, and dw adds up.
      var sum = [Double](repeating: 0, count: vocabulary * 2)
      let (x, targets, dLoss) = (c.x, c.targets, c.dLoss)
      for half in 0..<2 {
        let range = half * 150..<(half + 1) * 150
        (c.rows, c.targets) = (150, Array(targets[range]))
        c.x = Buffer(type, range.flatMap { [x[2 * $0], x[2 * $0 + 1]] })
        c.dLoss = Buffer(CK_F32, range.map { dLoss[$0] })
        let part = withContext(isa) { crossEntropy($0, c, gradientType: CK_F32) }
        for i in sum.indices { sum[i] += part.dw[i] }
        #expect(part.loss.values == Array(whole.loss.values[range]), "\(type) \(name(isa)), seed \(numbers.seed)")
      }
      (c.rows, c.x, c.targets, c.dLoss) = (rows, x, targets, dLoss)
      expectClose(
        whole.dw, sum, relative: 2 * type.epsilon, absolute: 1e-6, "dw \(type) \(name(isa)), seed \(numbers.seed)")
    }
  }
}
