// Weights in blocks: what they mean, and what passes make of them.

import CPUBackend
import Core
import FoundationEssentials
import Support
import Tensors
import Testing

@Suite struct BlockFormatTests {
  private static let backends: [any Backend] =
    [ReferenceBackend()]
    + CPUBackend.InstructionSet.available.map { CPUBackend(threads: 2, instructionSet: $0, spins: 100) }

  /// Random blocks and what `gguf` makes of them (Scripts/make-block-fixtures.py).
  private static let fixtures: [(format: BlockFormat, blocks: [UInt8], values: [UInt8])] = {
    let folder = #filePath[..<#filePath.lastIndex(of: "/")!]
    do {
      let text = try String(contentsOfFile: folder + "/Fixtures/blocks.json", encoding: .utf8)
      let file = try JSONValue(parsing: text)
      return BlockFormat.all.compactMap { format in
        file[format.name].map { (format, bytes($0["blocks"]!.string!), bytes($0["values"]!.string!)) }
      }
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private static func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private static func data(_ bytes: [UInt8], _ type: TensorType) -> TensorData {
    let result = TensorData(type)
    result.bytes.copyBytes(from: bytes)
    return result
  }

  @Test func `Blocks of GGUF are the numbers that gguf makes of them, to the bit`() throws {
    #expect(Self.fixtures.count == 13)
    for (format, blocks, values) in Self.fixtures {
      let expected = Self.data(values, TensorType(.float32, [1, 512]))
      let input = Self.data(blocks, TensorType(.uint8, [1, blocks.count]))
      for backend in Self.backends {
        let actual = try OpCase(.dequantize(format, .float32), [input]).results(on: backend)[0]
        let wrong = (0..<512).filter { actual[$0].double != expected[$0].double }
        #expect(wrong.isEmpty, "\(format.name) on \(backend.name): elements \(wrong.prefix(4))")
      }
    }
  }

  @Test func `A row knows its columns by its bytes`() {
    for format in BlockFormat.all {
      for columns in [0, 256, 512, 1280] {
        let bytes = format.rowBytes(columns: columns)
        #expect(bytes.flatMap(format.columns) == columns, "\(format.name)")
      }
      #expect(format.rowBytes(columns: 40) == nil && format.columns(rowBytes: 3) == nil, "\(format.name)")
    }
  }

  @Test func `A group's header is a scale and a zero point`() throws {
    var random = RandomCase("block header")
    let (scale, zero) = (Float(half: Float(random.uniform(0.01...1)).half), UInt32(random.integer(0...16)))
    let header = scale.bitPattern | zero
    let head: [UInt8] = (0..<4).map { UInt8(truncatingIfNeeded: header >> UInt32(8 * $0)) }
    let codes: [UInt8] = (0..<16).map { $0 << 4 | (15 - $0) }
    let input = Self.data(head + codes, TensorType(.uint8, [1, 20]))
    let expected: [Double] = (Array((0...15).reversed()) + Array(0...15)).map { Double(Float($0 - Int(zero)) * scale) }
    for backend in Self.backends {
      let actual = try OpCase(.dequantize(.int4(group: 32), .float32), [input]).results(on: backend)[0]
      #expect(actual.doubles == expected, "\(backend.name) \(random)")
    }
  }

  @Test func `All 256 floats of eight bits`() throws {
    let bytes: [UInt8] = [0, 0, 0x80, 0x3F] + (0..<256).map { UInt8($0) }
    let input = Self.data(bytes, TensorType(.uint8, [1, 260]))
    for backend in Self.backends {
      let actual = try OpCase(.dequantize(.fp8E4M3(group: nil), .float32), [input]).results(on: backend)[0].doubles
      #expect(actual[1] == 0x1p-9 && actual[8] == 0x1p-6 && actual[0x38] == 1 && actual[0x7E] == 448)
      #expect(actual[0x7F].isNaN && actual[0xFF].isNaN && actual[0xBC] == -1.5, "\(backend.name)")
    }
  }

  @Test func `A product with blocks whose columns are in another order gathers the other factor`() throws {
    var random = RandomCase("ordered block product")
    let order = (0..<64).map { Int32($0 * 37 % 64) }
    let x = Tensor.input("x", TensorType(.float32, [3, 64]))
    let type = TensorType(.uint8, [5, BlockFormat.q80.rowBytes(columns: 64)!])
    let blocks = (0..<2).map { Tensor.input("w\($0)", type) }
    let outputs = blocks.map { x.linear($0.dequantized(.q80).gathered(Tensor(order), axis: 1)) }
    let program = Program(inputs: [x] + blocks, outputs: outputs, options: .init(exactBlocks: true))
    // Both products share what was gathered.
    let names = program.instructions.map(\.op.name).filter { $0 != "constant" }
    #expect(names.sorted() == ["blockMatmul", "blockMatmul", "gather"], "\(program)")
    let data = [random.data(.float32, [3, 64])] + (0..<2).map { _ in random.blocks(.q80, rows: 5, columns: 64) }
    let plain = Program(inputs: [x] + blocks, outputs: outputs, options: .init(simplifies: false, fuses: false))
    let expected = try ReferenceBackend().compile(plain).run(data)
    for backend in Self.backends {
      for (found, value) in zip(try backend.compile(program).run(data), expected) {
        for (a, b) in zip(found.doubles, value.doubles) {
          #expect(abs(a - b) <= 1e-4 * max(1, abs(b)), "\(backend.name) \(random)")
        }
      }
    }
  }

  @Test func `A product with weights in blocks reads the blocks`() throws {
    var random = RandomCase("block product")
    for (element, exact) in [(ElementType.float32, true), (.float32, false), (.bfloat16, true)] {
      let x = Tensor.input("x", TensorType(element, [3, 512]))
      let blocks = Tensor.input("w", TensorType(.uint8, [7, BlockFormat.q4K.rowBytes(columns: 512)!]))
      let weights = blocks.dequantized(.q4K)
      let outputs = [x.linear(weights.cast(element)).cast(.float32)]
      let program = Program(inputs: [x, blocks], outputs: outputs, options: .init(exactBlocks: exact))
      #expect(program.instructions.map(\.op.name) == ["blockMatmul"], "\(program)")
      let plain = Program(inputs: [x, blocks], outputs: outputs, options: .init(simplifies: false, fuses: false))
      let data = [random.data(element, [3, 512]), random.blocks(.q4K, rows: 7, columns: 512)]
      let expected = try ReferenceBackend().compile(plain).run(data)[0]
      for backend in Self.backends {
        let actual = try backend.compile(program).run(data)[0]
        // Int8 activations have a test of their own, which knows the weights' size.
        let tolerance = element == .bfloat16 ? 1e-2 : exact ? 1e-5 : 1e-1
        expectClose(actual, expected, tolerance: tolerance, "\(backend.name) \(random)")
      }
    }
  }

  @Test func `Products of one x with weights in blocks are one instruction with the same bits`() throws {
    var random = RandomCase("joined block products")
    let x = Tensor.input("x", TensorType(.float32, [3, 512]))
    let formats: [BlockFormat] = [.q4K, .q40, .q4K, .q6K, .q80]
    let blocks = formats.map { Tensor.input("w", TensorType(.uint8, [70, $0.rowBytes(columns: 512)!])) }
    let outputs = zip(blocks, formats).map { x.linear($0.dequantized($1)) }
    let program = Program(inputs: [x] + blocks, outputs: outputs)
    // At most four become one.
    #expect(program.instructions.map(\.op.name) == ["blockMatmuls", "blockMatmul"], "\(program)")
    let data = [random.data(.float32, [3, 512])] + formats.map { random.blocks($0, rows: 70, columns: 512) }
    for backend in Self.backends {
      let actual = try backend.compile(program).run(data)
      for index in formats.indices {
        let alone = Program(inputs: [x, blocks[index]], outputs: [outputs[index]])
        let expected = try backend.compile(alone).run([data[0], data[1 + index]])[0]
        expectClose(actual[index], expected, tolerance: 0, "\(backend.name) \(formats[index]) \(random)")
      }
    }
  }

  @Test func `What follows a row in memory does not touch its product`() throws {
    var random = RandomCase("rows of blocks")
    for (format, columns) in [(BlockFormat.q40, 768), (.q80, 96), (.q4K, 768), (.q41, 544)] {
      let blocks = random.blocks(format, rows: 5, columns: columns)
      let rowBytes = blocks.shape[-1]
      // The scales of the second and of the last row are infinite.
      for row in [1, 4] {
        blocks.bytes[row * rowBytes] = 0
        blocks.bytes[row * rowBytes + 1] = 0x7C
      }
      let x = random.data(.float32, [3, columns])
      let product = OpCase(.blockMatmul(BlockMatmul(format: format, type: .float32)), [x, blocks])
      for backend in Self.backends {
        let y = try product.results(on: backend)[0].doubles
        for (index, value) in y.enumerated() {
          #expect(value.isFinite == ![1, 4].contains(index % 5), "\(backend.name) \(format) \(index) \(random)")
        }
      }
    }
  }

  @Test func `A lookup in weights in blocks makes floats of the rows that are asked for`() throws {
    var random = RandomCase("block lookup")
    let blocks = Tensor.input("w", TensorType(.uint8, [11, BlockFormat.q6K.rowBytes(columns: 256)!]))
    let ids = Tensor.input("ids", TensorType(.int32, [2, 3]))
    let table = blocks.dequantized(.q6K, .bfloat16)
    let x = table.gathered(ids)
    // The table is a tied output too.
    let program = Program(inputs: [blocks, ids], outputs: [x, x.linear(table)])
    #expect(program.instructions.map(\.op.name) == ["gather", "dequantize", "reshape", "blockMatmul", "reshape"])
    let data = [
      random.blocks(.q6K, rows: 11, columns: 256), TensorData([0, 10, 3, 11, -1, 3] as [Int32], shape: [2, 3]),
    ]
    let off = Program.Options(simplifies: false, rematerialises: false, fuses: false)
    let plain = Program(inputs: [blocks, ids], outputs: [x, x.linear(table)], options: off)
    let expected = try ReferenceBackend().compile(plain).run(data)
    for backend in Self.backends {
      let actual = try backend.compile(program).run(data)
      expectClose(actual[0], expected[0], tolerance: 0, "\(backend.name) \(random)")
      expectClose(actual[1], expected[1], "\(backend.name) \(random)")
    }
  }

  @Test func `A row's product has the same bits alone as among many`() throws {
    var random = RandomCase("block rows")
    for format in BlockFormat.all where format.isInteger {
      let unit = max(32, format.block?.elements ?? 32)
      let columns = unit * random.integer(1...max(1, 1500 / unit))
      let x = random.data(.float32, [19, columns])
      let blocks = random.blocks(format, rows: 35, columns: columns)
      let product = Op.blockMatmul(BlockMatmul(format: format, type: .float32))
      for backend in Self.backends.dropFirst() {
        let all = try OpCase(product, [x, blocks]).results(on: backend)[0]
        for count in [1, 2, 7] {
          let some = try OpCase(product, [x.prefix(rows: count), blocks]).results(on: backend)[0]
          #expect(some.bytes.elementsEqual(all.bytes.prefix(some.type.bytes)), "\(format.name) \(count) \(random)")
        }
      }
    }
  }

  @Test func `Int8 activations cost less than a percent`() throws {
    var random = RandomCase("int8 activations")
    for format in BlockFormat.all where format.rowBytes(columns: 1024) != nil {
      let inputs = [random.data(.float32, [4, 1024]), random.blocks(format, rows: 16, columns: 1024)]
      let (exact, fast) = try (
        OpCase(.blockMatmul(BlockMatmul(format: format, type: .float32, exact: true)), inputs)
          .results(on: ReferenceBackend())[0].doubles,
        OpCase(.blockMatmul(BlockMatmul(format: format, type: .float32)), inputs)
          .results(on: ReferenceBackend())[0].doubles
      )
      let weights = try OpCase(.dequantize(format, .float32), [inputs[1]]).results(on: ReferenceBackend())[0].doubles
      // A step of an activation is at most 2 / 127; half of it, evenly spread, against every weight of a row.
      for (index, (a, b)) in zip(exact, fast).enumerated() {
        let row = weights[(index % 16 * 1024)..<(index % 16 * 1024 + 1024)]
        let deviation = (row.reduce(0) { $0 + $1 * $1 }).squareRoot() * (2.0 / 127) / 12.0.squareRoot()
        #expect(abs(a - b) <= 6 * deviation, "\(format.name) element \(index) \(random)")
      }
    }
  }
}
