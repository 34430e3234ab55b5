// Reductions, arg-max and cumulative sums against plain loops in Double.

import CKernels
import Testing

@Suite struct ReduceTests {
  /// outer, reduced, inner: empty ones, rows, columns, narrow columns, more than a chunk.
  static let shapes = [
    (1, 0, 1), (3, 0, 4), (0, 5, 1), (1, 1, 1), (5, 7, 1), (3, 1025, 1), (1, 70_001, 1), (1, 300, 515), (4, 33, 5),
    (1, 5000, 3), (40, 9, 600), (1, 129, 1),
  ]
  static let reductions = [
    CK_REDUCE_SUM, CK_REDUCE_PRODUCT, CK_REDUCE_MAX, CK_REDUCE_MIN, CK_REDUCE_SUM_SQUARES, CK_REDUCE_ALL,
    CK_REDUCE_ANY,
  ]

  private func lowest(_ type: ck_type) -> Double {
    switch type {
    case CK_I8: -128
    case CK_I32: Double(Int32.min)
    case CK_I64: Double(Int64.min)
    case CK_U8, CK_BOOL: 0
    default: -.infinity
    }
  }

  private func highest(_ type: ck_type) -> Double {
    switch type {
    case CK_I8: 127
    case CK_U8: 255
    case CK_I32: Double(Int32.max)
    case CK_I64: Double(Int64.max)
    case CK_BOOL: 1
    default: .infinity
    }
  }

  private func combine(_ reduction: ck_reduction, _ type: ck_type, _ values: [Double]) -> Double {
    switch reduction {
    case CK_REDUCE_SUM: values.reduce(0, +)
    case CK_REDUCE_PRODUCT: values.reduce(1, *)
    case CK_REDUCE_MAX: values.reduce(lowest(type)) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    case CK_REDUCE_MIN: values.reduce(highest(type)) { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }
    case CK_REDUCE_SUM_SQUARES: values.reduce(0) { $0 + $1 * $1 }
    case CK_REDUCE_ALL: values.allSatisfy { $0 != 0 } ? 1 : 0
    default: values.contains { $0 != 0 } ? 1 : 0
    }
  }

  @Test(arguments: testedISAs) func everyReduction(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes + integerTypes {
      for (outer, reduced, inner) in Self.shapes {
        let x = Buffer(type, random: outer * reduced * inner, &numbers)
        if type.isFloat && x.count > 600 { x[577] = .nan }
        // Column by column, once for all reductions.
        let values = x.values
        let columns = (0..<outer * inner).map { place in
          (0..<reduced).map { values[(place / inner * reduced + $0) * inner + place % inner] }
        }
        for reduction in Self.reductions {
          let overflows = reduction == CK_REDUCE_PRODUCT && reduced > 8
          if overflows { for i in 0..<x.count { x[i] = i % 3 == 0 && type != CK_U8 ? -1 : 1 } }
          let logical = reduction == CK_REDUCE_ALL || reduction == CK_REDUCE_ANY
          let extreme = reduction == CK_REDUCE_MAX || reduction == CK_REDUCE_MIN
          let typeOut = logical ? CK_BOOL : extreme ? type : type == CK_BF16 ? CK_F32 : type.isFloat ? type : CK_I64
          let y = Buffer(typeOut, count: outer * inner)
          withContext(isa) { context in
            let (o, r, i) = (Int64(outer), Int64(reduced), Int64(inner))
            let scratch = Buffer(CK_U8, count: ck_reduce_scratch(context, type, o, r, i))
            ck_reduce(context, reduction, type, typeOut, o, r, i, x.memory, y.memory, scratch.memory)
          }
          let source =
            overflows
            ? (0..<outer * inner).map { place in
              (0..<reduced).map { x[(place / inner * reduced + $0) * inner + place % inner] }
            } : columns
          let slack = (type == CK_F64 ? 1e-12 : 4e-6) * Double(reduced + 1).squareRoot()
          expectClose(
            y, source.map { typeOut.rounded(combine(reduction, type, $0)) },
            relative: 2 * typeOut.epsilon + (type == CK_F64 ? 1e-12 : 1e-5),
            absolute: typeOut == CK_F16 ? 0.1 : slack,
            "\(reduction) of \(type) [\(outer), \(reduced), \(inner)], \(name(isa)), seed \(numbers.seed)")
          if overflows { for (i, value) in values.enumerated() { x[i] = value } }
        }
      }
    }
  }

  @Test(arguments: testedISAs) func argMax(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes + integerTypes {
      for (outer, reduced, inner) in Self.shapes where reduced > 0 {
        let x = Buffer(type, random: outer * reduced * inner, &numbers)
        if type.isFloat && x.count > 40 { (x[17], x[33]) = (.nan, .nan) }
        let y = Buffer(CK_I32, count: outer * inner)
        withContext(isa) {
          ck_arg_max(
            $0, type, Int64(outer), Int64(reduced), Int64(inner), x.memory,
            y.memory.assumingMemoryBound(to: Int32.self))
        }
        let expected = (0..<outer * inner).map { place -> Double in
          var best = 0
          let value = { (r: Int) in x[(place / inner * reduced + r) * inner + place % inner] }
          for r in 0..<reduced where value(r) > value(best) || (value(r).isNaN && !value(best).isNaN) { best = r }
          return Double(best)
        }
        expectClose(
          y, expected, relative: 0, "\(type) [\(outer), \(reduced), \(inner)], \(name(isa)), seed \(numbers.seed)")
      }
    }
  }

  @Test(arguments: testedISAs) func cumulativeSums(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes + integerTypes where type != CK_BOOL {
      for (outer, count, inner) in [(1, 0, 1), (2, 1, 1), (3, 700, 1), (2, 37, 5), (1, 20, 300)] {
        for (reverse, exclusive) in [(false, false), (true, false), (false, true), (true, true)] {
          let x = Buffer(type, random: outer * count * inner, &numbers), y = Buffer(type, count: x.count)
          withContext(isa) {
            ck_cumulative_sum(
              $0, type, Int64(outer), Int64(count), Int64(inner), reverse, exclusive, x.memory, y.memory)
          }
          var expected = x.values
          for place in 0..<(count == 0 ? 0 : outer * inner) {
            var sum = 0.0
            for step in 0..<count {
              let r = reverse ? count - 1 - step : step
              let at = (place / inner * count + r) * inner + place % inner
              let before = sum
              sum += x[at]
              expected[at] = type.rounded(exclusive ? before : sum)
            }
          }
          expectClose(
            y, expected, relative: 2 * type.epsilon, absolute: 1e-9,
            "\(type) [\(outer), \(count), \(inner)] \(reverse) \(exclusive), \(name(isa)), seed \(numbers.seed)")
        }
      }
    }
  }

  @Test func threadsDoNotMatter() {
    var numbers = SeededNumbers()
    for (outer, reduced, inner) in [(1, 200_003, 1), (3, 70_001, 1), (1, 1000, 129), (2, 9000, 7)] {
      let x = Buffer(CK_F32, random: outer * reduced * inner, &numbers)
      expectSameBits("sum over [\(outer), \(reduced), \(inner)], seed \(numbers.seed)") { context in
        let y = Buffer(CK_F32, count: outer * inner), (o, r, i) = (Int64(outer), Int64(reduced), Int64(inner))
        let scratch = Buffer(CK_U8, count: ck_reduce_scratch(context, CK_F32, o, r, i))
        ck_reduce(context, CK_REDUCE_SUM, CK_F32, CK_F32, o, r, i, x.memory, y.memory, scratch.memory)
        return [y]
      }
    }
  }
}
