// Top-k and sorting against the standard library's sort.

import CKernels
import Testing

@Suite struct OrderTests {
  /// Places of a row in the order wanted: NaN largest, equal values by place.
  private func order(_ row: [Double], descending: Bool) -> [Int] {
    func less(_ x: Double, _ y: Double) -> Bool { x < y || (!x.isNaN && y.isNaN) }
    return row.indices.sorted { a, b in
      if less(row[a], row[b]) { return !descending }
      if less(row[b], row[a]) { return descending }
      return a < b
    }
  }

  @Test(arguments: testedISAs) func sortAndTopK(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in floatTypes + integerTypes {
      for (rows, width) in [(0, 4), (2, 0), (3, 1), (5, 40), (3, 257), (2, 3001)] {
        let x = Buffer(type, random: rows * width, &numbers)
        if type.isFloat && x.count > 40 {
          for (i, value) in [Double.nan, .infinity, -.infinity, -0.0, 0, .nan].enumerated() { x[20 + i] = value }
        }
        for descending in [false, true] {
          let values = Buffer(type, count: x.count), indices = Buffer(CK_I32, count: x.count)
          withContext(isa) { context in
            let scratch = Buffer(CK_U8, count: ck_order_scratch(context, Int64(rows), Int64(width)))
            ck_sort(
              context, type, Int64(rows), Int64(width), descending, x.memory, values.memory,
              indices.memory.assumingMemoryBound(to: Int32.self), scratch.memory)
          }
          let places = (0..<rows).map { r in
            order((0..<width).map { x[r * width + $0] }, descending: descending)
          }
          let what = "sort \(type) \(rows) x \(width) \(descending), \(name(isa)), seed \(numbers.seed)"
          expectClose(indices, places.joined().map(Double.init), relative: 0, what)
          expectClose(
            values, places.enumerated().flatMap { r, row in row.map { x[r * width + $0] } }, relative: 0, absolute: 0,
            what)
          guard descending else { continue }
          for k in [0, 1, width / 3, width] where k <= width {
            let best = Buffer(type, count: rows * k), at = Buffer(CK_I32, count: rows * k)
            withContext(isa) { context in
              let scratch = Buffer(CK_U8, count: ck_order_scratch(context, Int64(rows), Int64(width)))
              ck_top_k(
                context, type, Int64(rows), Int64(width), Int64(k), x.memory, best.memory,
                at.memory.assumingMemoryBound(to: Int32.self), scratch.memory)
            }
            let wanted = places.flatMap { $0.prefix(k) }
            expectClose(at, wanted.map(Double.init), relative: 0, "top \(k) of \(what)")
            expectClose(
              best, wanted.enumerated().map { x[$0.offset / max(1, k) * width + $0.element] }, relative: 0, absolute: 0,
              "top \(k) of \(what)")
          }
        }
      }
    }
  }
}
