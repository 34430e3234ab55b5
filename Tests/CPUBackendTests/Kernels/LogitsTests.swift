// The passes over logits against plain loops in Double.

import CKernels
import Core
import Testing

@Suite struct LogitsTests {
  @Test(arguments: testedISAs) func passes(isa: ck_isa) {
    var numbers = SeededNumbers()
    for count in [1, 2, 63, 64, 65, 128, 1000, 4097] {
      let blocks = (count + 63) / 64
      let random = Buffer(CK_F32, random: count, &numbers)
      var logits = (0..<count).map { Float(random[$0] * 4) }
      for index in 1..<max(1, count) where index % 13 == 5 { logits[index] = index % 2 == 0 ? .nan : -.infinity }
      // One block of which nothing is left.
      if count > 200 { for index in 64..<128 { logits[index] = .nan } }
      let mask = (0..<blocks).map { block -> UInt64 in
        block % 4 == 2 ? 0 : block % 4 == 3 ? .max : 0x5A5A_F00F_3C3C_0001
      }
      let what = "\(count) logits, \(name(isa)), seed \(numbers.seed)"

      func largest(_ allowed: (Int) -> Bool) -> [Float] {
        (0..<blocks).map { block in
          (block * 64..<min(count, block * 64 + 64)).filter { allowed($0) && !logits[$0].isNaN }.map { logits[$0] }
            .max() ?? -.infinity
        }
      }
      var maxima = [Float](repeating: 9, count: blocks)
      ck_logit_maxima(isa, Int64(count), logits, &maxima)
      #expect(maxima == largest { _ in true }, "\(what)")

      var copy = [Float](repeating: 7, count: count)
      var masked = maxima
      ck_logit_copy(isa, Int64(count), logits, mask, &copy, &masked)
      func isAllowed(_ index: Int) -> Bool { mask[index / 64] >> UInt64(index % 64) & 1 == 1 }
      #expect(masked == largest(isAllowed), "\(what)")
      for index in 0..<count where masked[index / 64] > -.infinity {
        let expected = isAllowed(index) ? logits[index] : -.infinity
        #expect(copy[index].bitPattern == expected.bitPattern, "\(index) of \(what)")
      }

      let most = maxima.max()!
      for (scale, cut) in [(1, -Float.infinity), (0.3, -2), (20, 0)] as [(Float, Float)] {
        var sums = [Float](repeating: -1, count: blocks)
        ck_logit_sums(isa, Int64(count), logits, maxima, most, scale, cut, &sums)
        for block in 0..<blocks {
          var expected = 0.0
          for index in block * 64..<min(count, block * 64 + 64) where logits[index] >= cut {
            expected += exp(Double(logits[index] - most) * Double(scale))
          }
          #expect(abs(Double(sums[block]) - expected) <= 1e-5 * expected + 1e-30, "block \(block) of \(what)")
        }
      }

      let moments = ck_logit_moments(isa, Int64(count), logits, maxima, most)
      let finite = logits.filter { $0 > -.infinity }.map { Double($0 - most) }
      #expect(moments.count == Double(finite.count), "\(what)")
      #expect(abs(moments.sum - finite.reduce(0, +)) < 1e-4 * Double(count), "\(what)")
      #expect(abs(moments.squares - finite.map { $0 * $0 }.reduce(0, +)) < 1e-3 * Double(count), "\(what)")
    }
  }
}
