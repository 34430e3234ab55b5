// Philox against the known answers of its authors (Random123), and the distributions made of it.

import CKernels
import Core
import Testing

@Suite struct RandomKernelTests {
  /// Word w of block b, computed plainly.
  private func philox(_ counter: [UInt32], _ key: [UInt32]) -> [UInt32] {
    var (c, k) = (counter, key)
    for _ in 0..<10 {
      let a = UInt64(0xd251_1f53) * UInt64(c[0]), b = UInt64(0xcd9e_8d57) * UInt64(c[2])
      c = [
        UInt32(b >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: b), UInt32(a >> 32) ^ c[3] ^ k[1],
        UInt32(truncatingIfNeeded: a),
      ]
      k = [k[0] &+ 0x9e37_79b9, k[1] &+ 0xbb67_ae85]
    }
    return c
  }

  @Test func plainPhiloxGivesThePublishedAnswers() {
    #expect(philox([0, 0, 0, 0], [0, 0]) == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
    let ones = UInt32.max
    #expect(
      philox([ones, ones, ones, ones], [ones, ones]) == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    #expect(
      philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0])
        == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }

  private func words(_ key: UInt64, _ stream: UInt64, _ count: Int) -> [UInt32] {
    (0..<(count + 3) / 4).flatMap { block in
      philox(
        [UInt32(block), 0, UInt32(truncatingIfNeeded: stream), UInt32(stream >> 32)],
        [UInt32(truncatingIfNeeded: key), UInt32(key >> 32)])
    }
  }

  @Test(arguments: testedISAs) func distributions(isa: ck_isa) {
    var numbers = SeededNumbers()
    let key = numbers.next(), stream = numbers.next()
    for count in [0, 1, 3, 255, 257, 40_001] {
      let w = words(key, stream, count)
      let bits = Buffer(CK_I64, count: count), narrow = Buffer(CK_I32, count: count)
      withContext(isa) { context in
        ck_random(context, CK_RANDOM_BITS, CK_I64, key, stream, Int64(count), bits.memory)
        ck_random(context, CK_RANDOM_BITS, CK_I32, key, stream, Int64(count), narrow.memory)
      }
      let what = "\(count) of \(name(isa)), seed \(numbers.seed)"
      expectClose(bits, w.prefix(count).map(Double.init), relative: 0, "bits " + what)
      expectClose(narrow, w.prefix(count).map { Double(Int32(bitPattern: $0)) }, relative: 0, "bits " + what)
      for type in floatTypes {
        let uniform = Buffer(type, count: count), normal = Buffer(type, count: count)
        withContext(isa) { context in
          ck_random(context, CK_RANDOM_UNIFORM, type, key, stream, Int64(count), uniform.memory)
          ck_random(context, CK_RANDOM_NORMAL, type, key, stream, Int64(count), normal.memory)
        }
        expectClose(
          uniform, w.prefix(count).map { type.rounded(Double($0 >> 8) * 0x1p-24) }, relative: 0, absolute: 0,
          "uniform \(type) " + what)
        let expected = (0..<count).map { i -> Double in
          let u = Double((w[i & ~1] >> 8) + 1) * 0x1p-24, v = Double(w[i | 1] >> 8) * 0x1p-24
          let r = (-2 * log(u)).squareRoot()
          return i % 2 == 0 ? r * cos(2 * .pi * v) : r * sin(2 * .pi * v)
        }
        expectClose(
          normal, expected, relative: 2 * type.epsilon, absolute: type == CK_F64 ? 1e-14 : 2e-6,
          "normal \(type) " + what)
      }
    }
  }

  @Test func threadsDoNotMatter() {
    expectSameBits("normal numbers") { context in
      let y = Buffer(CK_F32, count: 100_003)
      ck_random(context, CK_RANDOM_NORMAL, CK_F32, 7, 9, 100_003, y.memory)
      return [y]
    }
  }
}
