// Weights of other files as blocks, against what the packages of those formats make of them
// (Scripts/make-repacking-fixtures.py).

import Core
import FoundationEssentials
import Support
import Tensors
import Testing

@Suite struct BlockRepackingTests {
  /// One recorded matrix.
  private struct Fixture {
    let members: JSONValue

    var rows: Int { members["rows"]!.integer! }
    var columns: Int { members["columns"]!.integer! }
    var values: [Double] { floats("values").map(Double.init) }
    subscript(key: String) -> Int { members[key]!.integer! }

    func has(_ key: String) -> Bool { members[key] != nil }

    func bytes(_ key: String) -> [UInt8] {
      let digits = members[key]!.string!.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
      return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    func floats(_ key: String) -> [Float] {
      bytes(key).withUnsafeBytes { bytes in
        (0..<(bytes.count / 4)).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }

    /// A member as bytes that stay where they are for the test's life.
    func data(_ key: String) -> UnsafeRawBufferPointer {
      let bytes = bytes(key)
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      memory.copyBytes(from: bytes)
      return UnsafeRawBufferPointer(memory)
    }

    func scales(_ element: ElementType, columns: Int) -> BlockRepacking.Scales {
      BlockRepacking.Scales(data("scales"), element, columns: columns)
    }

    var shape: BlockRepacking.Shape {
      let bits = has("bits") ? self["bits"] : has("qweight") ? 4 : 8
      return BlockRepacking.Shape(rows: rows, columns: columns, bits: bits, group: self["group"])
    }

    /// What the blocks that `fill` writes stand for.
    func dequantized(_ format: BlockFormat, _ fill: (UnsafeMutableRawBufferPointer) -> Void) throws -> [Double] {
      let blocks = TensorData(TensorType(.uint8, [rows, format.rowBytes(columns: columns)!]))
      fill(blocks.bytes)
      return try OpCase(.dequantize(format, .float32), [blocks]).results(on: ReferenceBackend())[0].doubles
    }
  }

  private static let fixtures: JSONValue = {
    let folder = #filePath[..<#filePath.lastIndex(of: "/")!]
    do {
      return try JSONValue(parsing: String(contentsOfFile: folder + "/Fixtures/repacking.json", encoding: .utf8))
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private func fixture(_ name: String) -> Fixture { Fixture(members: Self.fixtures[name]!) }

  @Test(arguments: ["gptq4", "gptq8", "gptq4 g_idx"]) func `GPTQ`(name: String) throws {
    let file = fixture(name)
    let groups = file.bytes("g_idx").withUnsafeBytes { bytes in
      (0..<file.columns).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
    }
    let order = BlockRepacking.order(groups: groups, group: file["group"])
    #expect((order == nil) == !name.hasSuffix("g_idx"))
    let actual = try file.dequantized(file.shape.format) { result in
      BlockRepacking.gptq(
        file.shape, qweight: file.data("qweight"), qzeros: file.data("qzeros"),
        scales: file.scales(.float16, columns: file.rows), order: order, to: result)
    }
    let expected = (0..<actual.count).map { index in
      let column = index % file.columns
      return file.values[index - column + (order?[column] ?? column)]
    }
    #expect(actual == expected)
  }

  @Test func `AWQ`() throws {
    let file = fixture("awq")
    let actual = try file.dequantized(file.shape.format) { result in
      BlockRepacking.awq(
        file.shape, qweight: file.data("qweight"), qzeros: file.data("qzeros"),
        scales: file.scales(.float16, columns: file.rows), to: result)
    }
    #expect(actual == file.values)
  }

  @Test(arguments: ["packed4", "packed4 zeros", "packed8"]) func `Packed compressed-tensors`(name: String) throws {
    let file = fixture(name)
    let actual = try file.dequantized(file.shape.format) { result in
      BlockRepacking.packed(
        file.shape, packed: file.data("packed"),
        scales: file.scales(.bfloat16, columns: file.columns / file["group"]),
        zeros: file.has("zeros") ? file.data("zeros") : nil, to: result)
    }
    #expect(actual == file.values)
  }

  @Test func `Compressed-tensors of eight bits with a scale a row`() throws {
    let file = fixture("int8")
    #expect(file.shape.format == .int8(group: nil))
    let actual = try file.dequantized(file.shape.format) { result in
      BlockRepacking.int8(
        file.shape, weight: file.data("weight"), scales: file.scales(.float16, columns: 1), zeros: file.data("zeros"),
        to: result)
    }
    #expect(actual == file.values)
  }

  @Test func `NF4, its scales quantised once more or not`() throws {
    let nested = fixture("nf4 nested")
    let absmax = BlockRepacking.nestedAbsmax(
      codes: nested.data("codes"), map: nested.floats("map"), scales: nested.floats("scales"),
      blockSize: nested["blockSize"], offset: nested.floats("offset")[0])
    let actual = try nested.dequantized(.nf4) { result in
      BlockRepacking.nf4(
        rows: nested.rows, columns: nested.columns, weight: nested.data("weight"), absmax: absmax, blockSize: 64,
        to: result)
    }
    #expect(actual == nested.values)

    let plain = fixture("nf4")
    let other = try plain.dequantized(.nf4) { result in
      BlockRepacking.nf4(
        rows: plain.rows, columns: plain.columns, weight: plain.data("weight"), absmax: plain.floats("absmax"),
        blockSize: plain["blockSize"], to: result)
    }
    #expect(other == plain.values)
  }

  @Test func `MXFP4 of gpt-oss`() throws {
    let file = fixture("mxfp4")
    let actual = try file.dequantized(.mxfp4) { result in
      BlockRepacking.mxfp4(
        rows: file.rows, columns: file.columns, blocks: file.data("blocks"), scales: file.data("scales"), to: result)
    }
    #expect(actual == file.values)
  }

  @Test func `FP8 with scales for blocks and for rows`() throws {
    let blocks = fixture("fp8 blocks")
    let actual = try blocks.dequantized(.fp8E4M3(group: 64)) { result in
      BlockRepacking.fp8(
        rows: blocks.rows, columns: blocks.columns, weight: blocks.data("weight"),
        scales: blocks.scales(.float32, columns: 2), rowsPerScale: 4, columnsPerScale: 64, to: result)
    }
    #expect(actual == blocks.values)

    let rows = fixture("fp8 rows")
    let other = try rows.dequantized(.fp8E4M3(group: nil)) { result in
      BlockRepacking.fp8(
        rows: rows.rows, columns: rows.columns, weight: rows.data("weight"), scales: rows.scales(.bfloat16, columns: 1),
        rowsPerScale: 1, columnsPerScale: rows.columns, to: result)
    }
    #expect(other == rows.values)
  }
}
