// Softmax, norms and rotary embedding, and their gradients, against plain loops in Double.

import CKernels
import Core
import Testing

@Suite struct RowsTests {
  static let shapes = [(0, 5), (1, 1), (3, 0), (2, 7), (9, 64), (17, 1025), (70, 33)]

  @Test(arguments: testedISAs) func softmax(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes {
      for (rows, width) in Self.shapes {
        let x = Buffer(type, random: rows * width, &numbers), dy = Buffer(type, random: rows * width, &numbers)
        if width > 5 {
          x[0] = -.infinity
          if rows > 5 { for i in 0..<width { x[5 * width + i] = i == 3 ? .nan : 1 } }
        }
        let y = Buffer(type, count: x.count), dx = Buffer(type, count: x.count)
        var expected: [Double] = [], gradient: [Double] = []
        withContext(isa) { context in
          ck_softmax(context, type, Int64(rows), Int64(width), x.memory, y.memory)
          ck_softmax_backward(context, type, Int64(rows), Int64(width), y.memory, dy.memory, dx.memory)
        }
        for r in 0..<rows {
          let row = (0..<width).map { x[r * width + $0] }
          let e = row.map { exp($0 - (row.max() ?? 0)) }, total = row.contains(where: \.isNaN) ? .nan : e.reduce(0, +)
          expected += e.map { $0 / total }
          let sum = (0..<width).reduce(0.0) { $0 + y[r * width + $1] * dy[r * width + $1] }
          gradient += (0..<width).map { y[r * width + $0] * (dy[r * width + $0] - sum) }
        }
        let what = "\(type) \(rows) x \(width), \(name(isa)), seed \(numbers.seed)"
        expectClose(y, expected, relative: 4 * type.epsilon, absolute: 1e-7, "softmax " + what)
        expectClose(dx, gradient, relative: 4 * type.epsilon, absolute: 1e-5, "softmax backward " + what)
      }
    }
  }

  /// `centred`: layer norm, else RMS norm.
  private func checkNorm(
    _ isa: ck_isa, _ type: ck_type, _ weightType: ck_type, _ rows: Int, _ width: Int, centred: Bool, weighted: Bool,
    _ numbers: inout SeededNumbers
  ) {
    let n = rows * width, statistic = type == CK_F64 ? CK_F64 : CK_F32, epsilon = 1e-5
    let x = Buffer(type, random: n, &numbers), dy = Buffer(type, random: n, &numbers)
    let w = Buffer(weightType, random: width, &numbers), b = Buffer(weightType, random: width, &numbers)
    let y = Buffer(type, count: n), dx = Buffer(type, count: n)
    let dw = Buffer(weightType, count: width), db = Buffer(weightType, count: width)
    let mean = Buffer(statistic, count: rows), rstd = Buffer(statistic, count: rows)
    let weight = weighted ? UnsafeRawPointer(w.memory) : nil
    let (r64, w64) = (Int64(rows), Int64(width))
    withContext(isa) { context in
      let scratch = Buffer(CK_U8, count: ck_norm_backward_scratch(context, r64, w64))
      if centred {
        ck_layer_norm(
          context, type, weightType, r64, w64, epsilon, x.memory, weight, weighted ? b.memory : nil, y.memory,
          mean.memory, rstd.memory)
        ck_layer_norm_backward(
          context, type, weightType, r64, w64, x.memory, weight, mean.memory, rstd.memory, dy.memory, dx.memory,
          dw.memory, db.memory, scratch.memory)
      } else {
        ck_rms_norm(context, type, weightType, r64, w64, epsilon, x.memory, weight, y.memory, rstd.memory)
        ck_rms_norm_backward(
          context, type, weightType, r64, w64, x.memory, weight, rstd.memory, dy.memory, dx.memory, dw.memory,
          scratch.memory)
      }
    }
    var expected: [Double] = [], dxs: [Double] = []
    var dws = [Double](repeating: 0, count: width), dbs = dws
    for r in 0..<rows {
      let row = (0..<width).map { x[r * width + $0] }, d = (0..<width).map { dy[r * width + $0] }
      let m = centred ? row.reduce(0, +) / Double(width) : 0
      let variance = row.reduce(0) { $0 + ($1 - m) * ($1 - m) } / Double(width)
      let scale = 1 / (variance + epsilon).squareRoot(), hat = row.map { ($0 - m) * scale }
      let g = (0..<width).map { weighted ? d[$0] * w[$0] : d[$0] }
      let meanG = centred ? g.reduce(0, +) / Double(width) : 0
      let meanGX = zip(g, hat).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
      for i in 0..<width {
        expected.append(weighted ? hat[i] * w[i] + (centred ? b[i] : 0) : hat[i])
        dxs.append(scale * (g[i] - meanG - hat[i] * meanGX))
        dws[i] += d[i] * hat[i]
        dbs[i] += d[i]
      }
    }
    let kind = "\(centred ? "layer" : "RMS") norm \(type)/\(weightType)"
    let what = "\(kind) \(rows) x \(width), \(name(isa)), seed \(numbers.seed)"
    let slack = type == CK_F64 ? 1e-9 : 2e-4  // sums of a thousand terms in f32; a width of 1 divides by epsilon
    let loose = width < 3 ? 100.0 : 1.0
    expectClose(y, expected, relative: 4 * type.epsilon, absolute: slack * loose, what)
    expectClose(dx, dxs, relative: 8 * type.epsilon, absolute: slack * loose * loose, "gradient of " + what)
    expectClose(dw, dws, relative: 8 * weightType.epsilon, absolute: slack * loose * 10, "weight gradient of " + what)
    if centred { expectClose(db, dbs, relative: 2 * weightType.epsilon, absolute: slack, "bias gradient of " + what) }
  }

  @Test(arguments: testedISAs) func norms(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes {
      for (rows, width) in Self.shapes {
        for centred in [false, true] {
          checkNorm(isa, type, type, rows, width, centred: centred, weighted: true, &numbers)
          checkNorm(isa, type, CK_F32, rows, width, centred: centred, weighted: false, &numbers)
        }
      }
    }
    checkNorm(isa, CK_BF16, CK_F32, 700, 48, centred: true, weighted: true, &numbers)
  }

  @Test(arguments: testedISAs) func rotary(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes {
      for (batch, positions, heads, size) in [(0, 1, 1, 2), (1, 3, 2, 6), (2, 40, 3, 64), (1, 5, 1, 34)] {
        for (interleaved, perBatch) in [(false, false), (true, true), (false, true), (true, false)] {
          let half = size / 2, n = batch * positions * heads * size
          let angles = (0..<(perBatch ? batch : 1) * positions * half).map { _ in numbers.double() }
          let c = Buffer(CK_F32, angles.map { cos($0) }), s = Buffer(CK_F32, angles.map { sin($0) })
          let x = Buffer(type, random: n, &numbers), y = Buffer(type, count: n), back = Buffer(type, count: n)
          func rotate(_ from: Buffer, _ to: Buffer, inverse: Bool) {
            withContext(isa) { context in
              var arguments = ck_rotary_arguments()
              arguments.type = type
              (arguments.batch, arguments.positions) = (Int64(batch), Int64(positions))
              (arguments.heads, arguments.head_size) = (Int64(heads), Int64(size))
              arguments.table_batch = perBatch ? Int64(positions * half) : 0
              (arguments.interleaved, arguments.inverse) = (interleaved, inverse)
              (arguments.x, arguments.y) = (UnsafeRawPointer(from.memory), to.memory)
              arguments.cosines = UnsafePointer(c.memory.assumingMemoryBound(to: Float.self))
              arguments.sines = UnsafePointer(s.memory.assumingMemoryBound(to: Float.self))
              ck_rotary(context, &arguments)
            }
          }
          rotate(x, y, inverse: false)
          rotate(y, back, inverse: true)
          var expected = [Double](repeating: 0, count: n)
          for row in 0..<batch * positions * heads {
            let position = row / heads, table = (perBatch ? position : position % positions) * half
            for i in 0..<half {
              let first = row * size + (interleaved ? 2 * i : i), second = first + (interleaved ? 1 : half)
              expected[first] = x[first] * c[table + i] - x[second] * s[table + i]
              expected[second] = x[second] * c[table + i] + x[first] * s[table + i]
            }
          }
          let what = "\(type) [\(batch), \(positions), \(heads), \(size)], \(name(isa)), seed \(numbers.seed)"
          expectClose(y, expected, relative: 2 * type.epsilon, absolute: 1e-6, what)
          expectClose(
            back, x.values, relative: 4 * type.epsilon, absolute: 8 * type.epsilon + 1e-6, "and back, " + what)
        }
      }
    }
  }

  @Test func threadsDoNotMatter() {
    var numbers = SeededNumbers()
    let (rows, width) = (513, 129), n = 513 * 129
    let x = Buffer(CK_F32, random: n, &numbers), dy = Buffer(CK_F32, random: n, &numbers)
    let w = Buffer(CK_F32, random: width, &numbers)
    expectSameBits("norms, softmax, seed \(numbers.seed)") { context in
      let y = Buffer(CK_F32, count: n), mean = Buffer(CK_F32, count: rows), rstd = Buffer(CK_F32, count: rows)
      let dx = Buffer(CK_F32, count: n), dw = Buffer(CK_F32, count: width), db = Buffer(CK_F32, count: width)
      let s = Buffer(CK_F32, count: n), r = Int64(rows), c = Int64(width)
      let scratch = Buffer(CK_U8, count: ck_norm_backward_scratch(context, r, c))
      ck_layer_norm(
        context, CK_F32, CK_F32, r, c, 1e-5, x.memory, w.memory, nil, y.memory, mean.memory, rstd.memory)
      ck_layer_norm_backward(
        context, CK_F32, CK_F32, r, c, x.memory, w.memory, mean.memory, rstd.memory, dy.memory, dx.memory, dw.memory,
        db.memory, scratch.memory)
      ck_softmax(context, CK_F32, r, c, x.memory, s.memory)
      return [y, mean, rstd, dx, dw, db, s]
    }
  }
}
