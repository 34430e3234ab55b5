// GGUF files: those of the reference implementation and our own.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct GGUFTests {
  @Test func readsTheReferenceImplementationsValues() throws {
    let file = try GGUFFile(path: TestFiles.fixture("sample.gguf"))
    #expect(file.version == 3)
    let values: [String: GGUFValue] = [
      "general.architecture": .string("llama"), "general.alignment": .uint32(64),
      "test.uint8": .uint8(200), "test.int8": .int8(-100), "test.uint16": .uint16(60_000),
      "test.int16": .int16(-30_000), "test.uint32": .uint32(4_000_000_000), "test.int32": .int32(-2_000_000_000),
      "test.uint64": .uint64(.max), "test.int64": .int64(-(1 << 62)), "test.float32": .float32(0.1),
      "test.float64": .float64(0.1), "test.bool": .bool(true), "test.string": .string("é\n\"quoted\""),
      "test.strings": .array(GGUFArray(strings: ["a", "", "日本", "<0x0A>"])),
      "test.integers": .array(GGUFArray(numbers: [1, -2, 3] as [Int32])),
      "test.floats": .array(GGUFArray(numbers: [0.5, -1.5] as [Float])),
      "test.bools": .array(GGUFArray(flags: [true, false, true])),
    ]
    for (key, value) in values { #expect(file.metadata[key] == value, "\(key)") }
    #expect(file.keys.first == "general.architecture")
    #expect(Set(file.keys) == Set(file.metadata.keys) && file.keys.count == file.metadata.count)
    #expect(file.metadata["test.uint64"]?.integer == nil)
    #expect(file.metadata["test.strings"]?.array.map { try? $0.strings() } == ["a", "", "日本", "<0x0A>"])
    #expect(try file.metadata["test.strings"]?.array?.prefix(2) == GGUFArray(strings: ["a", ""]))
    #expect(try file.metadata["test.integers"]?.array?.integers() == [1, -2, 3])
    #expect(try file.metadata["test.floats"]?.array?.doubles() == [0.5, -1.5])
    #expect(throws: FormatsError.self) { try file.metadata["test.floats"]?.array?.strings() }
    #expect(throws: FormatsError.self) { try file.metadata["test.strings"]?.array?.integers() }
  }

  @Test func readsTheReferenceImplementationsTensors() throws {
    let file = try GGUFFile(path: TestFiles.fixture("sample.gguf"))
    let tensors = [
      GGUFTensor(name: "f32", type: .f32, shape: [2, 3]), GGUFTensor(name: "f16", type: .f16, shape: [2, 3, 4]),
      GGUFTensor(name: "i32", type: .i32, shape: [2]),
    ]
    #expect(Array(file.tensors.prefix(3)) == tensors)
    #expect(file.withBytes(of: "f32") { $0.loadUnaligned(fromByteOffset: 20, as: Float.self) } == 5)
    #expect(file.withBytes(of: "i32") { $0.loadUnaligned(fromByteOffset: 4, as: Int32.self) } == -8)
    let blocks: [(GGUFType, columns: Int)] = [
      (.bf16, 5), (.q4_0, 64), (.q8_0, 32), (.q4_K, 256), (.q6_K, 256), (.mxfp4, 32),
    ]
    for (type, columns) in blocks {
      let name = type.name.lowercased()
      #expect(file.tensor(name) == GGUFTensor(name: name, type: type, shape: [2, columns]))
      let size = 2 * columns / type.blockElements * type.blockBytes
      #expect(file.withBytes(of: name, Array.init) == (0..<size).map { UInt8($0 % 251) })
      #expect(file.tensor(name)?.count == 2 * columns)
    }
    #expect(file.tensors.count == 3 + blocks.count)
    #expect(file.withBytes(of: "none", Array.init) == nil)
  }

  @Test func bytesOutliveTheFile() throws {
    var file: GGUFFile? = try GGUFFile(path: TestFiles.fixture("sample.gguf"))
    let mapped = try #require(file?.mapped("f32"))
    file = nil
    let last = withExtendedLifetime(mapped.owner) { mapped.bytes.loadUnaligned(fromByteOffset: 20, as: Float.self) }
    #expect(last == 5)
  }

  @Test(arguments: 1...2) func anyPartOpensTheWhole(part: Int) throws {
    let file = try GGUFFile(path: TestFiles.fixture("split-0000\(part)-of-00002.gguf"))
    #expect(file.tensors.map { $0.name } == ["first", "second"])
    #expect(file.metadata["general.name"] == .string("in parts"))
    #expect(file.withBytes(of: "second") { $0.loadUnaligned(fromByteOffset: 0, as: Float.self) } == 4)
    #expect(file.paths.count == 2)
  }

  @Test func partsMustBeThereUnderTheirNames() throws {
    try TestFiles.withFolder { folder in
      let first = try Data(TestFiles.bytes(TestFiles.fixture("split-00001-of-00002.gguf")))
      func write(_ name: String) throws { try first.write(to: URL(filePath: "\(folder)/\(name)")) }
      try write("renamed.gguf")
      #expect(throws: FormatsError.self) { try GGUFFile(path: folder + "/renamed.gguf") }
      try write("split-00001-of-00002.gguf")
      #expect(throws: FormatsError.self) { try GGUFFile(path: folder + "/split-00001-of-00002.gguf") }
      try write("split-00002-of-00002.gguf")
      #expect(throws: FormatsError.self) { try GGUFFile(path: folder + "/split-00001-of-00002.gguf") }
    }
  }

  @Test(arguments: [1, 32, 64, 4096]) func whatIsWrittenIsReadBack(alignment: Int) throws {
    try TestFiles.withFolder { folder in
      let sample = try GGUFFile(path: TestFiles.fixture("sample.gguf"))
      let path = folder + "/copy.gguf"
      let scalar = GGUFTensor(name: "scalar", type: .f32, shape: [])
      let empty = GGUFTensor(name: "empty", type: .q4_0, shape: [3, 0])
      try GGUFWriter.write(
        [scalar, empty] + sample.tensors, metadata: sample.keys.map { ($0, sample.metadata[$0]!) },
        alignment: alignment, to: path
      ) { tensor, emit in
        let bytes = sample.withBytes(of: tensor.name, Array.init) ?? [UInt8](repeating: 1, count: tensor.byteCount)
        let cut = bytes.count / 3
        try bytes.withUnsafeBytes { try emit(UnsafeRawBufferPointer(rebasing: $0[..<cut])) }
        try bytes.withUnsafeBytes { try emit(UnsafeRawBufferPointer(rebasing: $0[cut...])) }
      }
      let copy = try GGUFFile(path: path)
      #expect(copy.tensors == [scalar, empty] + sample.tensors)
      for tensor in sample.tensors {
        #expect(copy.withBytes(of: tensor.name, Array.init) == sample.withBytes(of: tensor.name, Array.init))
      }
      var expected = sample.metadata
      expected["general.alignment"] = alignment == 32 ? nil : .uint32(UInt32(alignment))
      #expect(copy.metadata == expected)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["copy.gguf"])
    }
  }

  @Test func versionTwoIsTheSame() throws {
    try TestFiles.withFolder { folder in
      var bytes = try TestFiles.bytes(TestFiles.fixture("sample.gguf"))
      bytes[4] = 2
      try Data(bytes).write(to: URL(filePath: folder + "/two.gguf"))
      let file = try GGUFFile(path: folder + "/two.gguf")
      #expect(file.version == 2)
      #expect(file.tensors.count == 9)
    }
  }
}
