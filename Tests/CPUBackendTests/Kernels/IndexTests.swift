// Gather, scatter-add, take and its transpose against plain loops.

import CKernels
import Testing

@Suite struct IndexTests {
  private func randomIndices(_ type: ck_type, _ count: Int, _ entries: Int, _ numbers: inout SeededNumbers) -> Buffer {
    // One below and one above are outside.
    Buffer(type, (0..<count).map { _ in Double(numbers.int(-1...entries)) })
  }

  @Test(arguments: testedISAs) func gatherAndScatterAdd(isa: ck_isa) {
    var numbers = SeededNumbers()
    for (type, typeOut) in (floatTypes + integerTypes).map({ ($0, $0) }) + [(CK_BF16, CK_F32), (CK_F32, CK_BF16)] {
      for (outer, entries, count, inner) in [
        (1, 5, 0, 3), (0, 2, 2, 2), (1, 1, 1, 1), (2, 7, 20, 1), (1, 10, 30, 17), (3, 4, 9, 600),
      ] {
        let indexType = [CK_I32, CK_I64].randomElement(using: &numbers)!
        let indices = randomIndices(indexType, count, entries, &numbers)
        let table = Buffer(type, random: outer * entries * inner, &numbers)
        let gathered = Buffer(type, count: outer * count * inner)
        let updates = Buffer(type, random: outer * count * inner, &numbers)
        let sums = Buffer(typeOut, count: outer * entries * inner)
        withContext(isa) { context in
          let (o, e, c, i) = (Int64(outer), Int64(entries), Int64(count), Int64(inner))
          ck_gather(context, type, indexType, o, e, c, i, table.memory, indices.memory, gathered.memory)
          let scratch = Buffer(CK_U8, count: ck_scatter_add_scratch(context, e, c))
          ck_scatter_add(
            context, type, typeOut, indexType, o, e, c, i, updates.memory, indices.memory, sums.memory, scratch.memory)
        }
        var wantedRows: [Double] = [], wantedSums = [Double](repeating: 0, count: sums.count)
        for o in 0..<outer {
          for j in 0..<count {
            let e = Int(indices[j]), inside = e >= 0 && e < entries
            for i in 0..<inner {
              wantedRows.append(inside ? table[(o * entries + e) * inner + i] : 0)
              if inside { wantedSums[(o * entries + e) * inner + i] += updates[(o * count + j) * inner + i] }
            }
          }
        }
        let what = "\(type) [\(outer), \(entries), \(count), \(inner)], \(name(isa)), seed \(numbers.seed)"
        expectClose(gathered, wantedRows, relative: 0, absolute: 0, "gather " + what)
        expectClose(
          sums, wantedSums.map(typeOut.rounded), relative: 2 * typeOut.epsilon, absolute: type == CK_F64 ? 1e-13 : 1e-5,
          "scatter-add " + what)
      }
    }
  }

  @Test(arguments: testedISAs) func takeAndItsTranspose(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes + integerTypes {
      for (rows, entries, count) in [(0, 3, 3), (3, 4, 0), (1, 1, 1), (5, 9, 4), (3, 1300, 7), (2, 600, 1000)] {
        let indices = randomIndices(CK_I32, rows * count, entries, &numbers)
        let table = Buffer(type, random: rows * entries, &numbers), taken = Buffer(type, count: rows * count)
        let updates = Buffer(type, random: rows * count, &numbers), sums = Buffer(type, count: rows * entries)
        withContext(isa) { context in
          let (r, e, c) = (Int64(rows), Int64(entries), Int64(count))
          ck_take(context, type, CK_I32, r, e, c, table.memory, indices.memory, taken.memory)
          ck_take_add(context, type, CK_I32, r, e, c, updates.memory, indices.memory, sums.memory)
        }
        var wanted: [Double] = [], wantedSums = [Double](repeating: 0, count: sums.count)
        for place in 0..<rows * count {
          let e = Int(indices[place]), row = place / count * entries, inside = e >= 0 && e < entries
          wanted.append(inside ? table[row + e] : 0)
          if inside { wantedSums[row + e] += updates[place] }
        }
        let what = "\(type) [\(rows), \(entries), \(count)], \(name(isa)), seed \(numbers.seed)"
        expectClose(taken, wanted, relative: 0, absolute: 0, "take " + what)
        expectClose(
          sums, wantedSums.map(type.rounded), relative: 2 * type.epsilon, absolute: type == CK_F64 ? 1e-13 : 1e-5,
          "take-add " + what)
      }
    }
  }

  @Test func threadsDoNotMatter() {
    var numbers = SeededNumbers()
    let indices = randomIndices(CK_I32, 3000, 300, &numbers), updates = Buffer(CK_F32, random: 3000 * 64, &numbers)
    expectSameBits("scatter-add, seed \(numbers.seed)") { context in
      let sums = Buffer(CK_F32, count: 300 * 64)
      let scratch = Buffer(CK_U8, count: ck_scatter_add_scratch(context, 300, 3000))
      ck_scatter_add(
        context, CK_F32, CK_F32, CK_I32, 1, 300, 3000, 64, updates.memory, indices.memory, sums.memory, scratch.memory)
      return [sums]
    }
  }
}
