// Strided copies, transposes, casts and fills against plain loops.

import CKernels
import Testing

private func copy(
  _ context: UnsafePointer<ck_context>, _ dimensions: [Int], _ input: Buffer, _ from: [Int], _ output: Buffer,
  _ to: [Int]
) {
  var arguments = ck_copy_arguments()
  arguments.rank = Int32(dimensions.count)
  for d in dimensions.indices {
    set(&arguments.dimensions, d, Int64(dimensions[d]))
    set(&arguments.input_strides, d, Int64(from[d]))
    set(&arguments.output_strides, d, Int64(to[d]))
  }
  (arguments.input, arguments.input_type) = (UnsafeRawPointer(input.memory), input.type)
  (arguments.output, arguments.output_type) = (output.memory, output.type)
  ck_copy(context, &arguments)
}

@Suite struct CopyTests {
  @Test(arguments: testedISAs) func anyStridesAndTypes(isa: ck_isa) {
    var numbers = SeededNumbers()
    for _ in 0..<200 {
      let rank = numbers.int(0...4)
      let dimensions = (0..<rank).map { _ in [1, 2, 3, 5, 16, 17, 64, 65, 0].randomElement(using: &numbers)! }
      let total = dimensions.reduce(1, *)
      if total > 150_000 { continue }
      var from = rowMajor(dimensions), next = 1
      for d in (0..<rank).shuffled(using: &numbers) {
        from[d] = next
        next *= dimensions[d]
      }
      for d in 0..<rank where numbers.int(0...4) == 0 { from[d] = 0 }
      // Rows of the output may be padded.
      let padding = numbers.int(0...2)
      var to = rowMajor(dimensions)
      for d in to.indices.dropLast() { to[d] += padding * to[d] }
      let types = floatTypes + integerTypes
      let input = Buffer(types.randomElement(using: &numbers)!, random: max(1, total), &numbers)
      let same = numbers.int(0...2) > 0
      let room = zip(dimensions, to).reduce(1) { $0 + max(0, $1.0 - 1) * $1.1 }
      let output = Buffer(same ? input.type : types.randomElement(using: &numbers)!, count: room)
      var expected = output.values
      for (source, target) in zip(offsets(dimensions, from), offsets(dimensions, to)) {
        expected[target] = output.type.rounded(input[source])
      }
      withContext(isa) { copy($0, dimensions, input, from, output, to) }
      expectClose(
        output, expected, relative: 0, absolute: 0,
        "\(dimensions) \(input.type) from \(from) to \(output.type) \(to), \(name(isa)), seed \(numbers.seed)")
    }
  }

  @Test(arguments: testedISAs) func transposes(isa: ck_isa) {
    var numbers = SeededNumbers()
    for type in [CK_I8, CK_BF16, CK_F32, CK_F64] {
      for (rows, columns) in [(1, 1), (16, 16), (17, 33), (130, 67), (3, 400), (400, 3)] {
        let input = Buffer(type, random: rows * columns, &numbers), output = Buffer(type, count: rows * columns)
        withContext(isa) { copy($0, [columns, rows], input, [1, columns], output, [rows, 1]) }
        let expected = (0..<columns).flatMap { c in (0..<rows).map { input[$0 * columns + c] } }
        expectClose(output, expected, relative: 0, absolute: 0, "\(type) \(rows) x \(columns), \(name(isa))")
      }
    }
  }

  @Test(arguments: testedISAs) func fills(isa: ck_isa) {
    for type in floatTypes + integerTypes {
      for count in [0, 1, 1000, 70_001] {
        let output = Buffer(type, count: count), pattern = Buffer(type, [1])
        withContext(isa) { ck_fill($0, output.memory, Int64(count), type, pattern.memory) }
        #expect(output.values.allSatisfy { $0 == 1 }, "\(type) x \(count), \(name(isa))")
      }
    }
  }
}
