// Weights files: those of the reference implementation, our own, and hostile ones.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct SafetensorsTests {
  @Test func readsTheReferenceImplementation() throws {
    let file = try SafetensorsFile(path: TestFiles.fixture("sample.safetensors"))
    #expect(file.metadata == ["format": "np", "note": "é\n"])
    #expect(Set(file.tensors.map { $0.name }).count == 7)
    #expect(file.tensor("b.weight") == SafetensorsTensor(name: "b.weight", type: .f32, shape: [3, 5]))
    #expect(file.tensor("empty")?.byteCount == 0)
    #expect(file.withBytes(of: "scalar") { $0.loadUnaligned(as: Double.self) } == 2.5)
    let numbers = file.withBytes(of: "a.bias") { bytes in
      (0..<7).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self) }
    }
    #expect(numbers == Array(0..<7))
    #expect(file.withBytes(of: "mask", Array.init) == [1, 0, 1])
    #expect(file.withBytes(of: "odd \"name\"\n é", Array.init) == [0, 1, 2, 3, 4])
    #expect(file.withBytes(of: "none", Array.init) == nil)
  }

  @Test func whatIsWrittenIsReadBackWhateverTheOrder() throws {
    try TestFiles.withFolder { folder in
      let sample = try SafetensorsFile(path: TestFiles.fixture("sample.safetensors"))
      let tensors = sample.tensors.map { (tensor: $0, bytes: sample.bytes(of: $0.name)!) }
      try SafetensorsWriter.write(tensors, metadata: sample.metadata, to: folder + "/a.safetensors")
      try SafetensorsWriter.write(tensors.reversed(), metadata: sample.metadata, to: folder + "/b.safetensors")
      #expect(try TestFiles.bytes(folder + "/a.safetensors") == TestFiles.bytes(folder + "/b.safetensors"))
      let again = try SafetensorsFile(path: folder + "/a.safetensors")
      #expect(again.metadata == sample.metadata)
      for (tensor, bytes) in tensors {
        #expect(again.tensor(tensor.name) == tensor)
        #expect(again.withBytes(of: tensor.name, Array.init) == Array(bytes))
      }
      withExtendedLifetime(sample) {}
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2, "no temporary file is left")
    }
  }

  @Test func anIndexJoinsShards() throws {
    try TestFiles.withFolder { folder in
      let values: [Float] = [1, 2, 3]
      try values.withUnsafeBytes { bytes in
        for name in ["x", "y"] {
          let tensor = SafetensorsTensor(name: name, type: .f32, shape: [3])
          try SafetensorsWriter.write([(tensor, bytes)], to: "\(folder)/\(name).safetensors")
        }
      }
      func write(_ map: String) throws {
        let text = #"{"metadata": {"total_size": 24}, "weight_map": {\#(map)}}"#
        try Data(text.utf8).write(to: URL(filePath: folder + "/model.safetensors.index.json"))
      }
      try write(#""x": "x.safetensors", "y": "y.safetensors""#)
      let weights = try WeightFiles(path: folder)
      #expect(weights.names == ["x", "y"])
      #expect(weights.withBytes(of: "y") { $0.loadUnaligned(fromByteOffset: 8, as: Float.self) } == 3)
      try write(#""x": "y.safetensors""#)
      #expect(throws: FormatsError.self) { try WeightFiles(path: folder) }
      try write(#""x": "../x.safetensors""#)
      #expect(throws: FormatsError.self) { try WeightFiles(path: folder) }
    }
    #expect(throws: FormatsError.self) { try WeightFiles(path: "/nonexistent") }
  }

  @Test func largeModelsAreWrittenInShards() throws {
    try TestFiles.withFolder { folder in
      let tensors = (0..<5).map { SafetensorsTensor(name: "t\($0)", type: .i16, shape: [$0 + 1, 3]) }
      func value(_ tensor: SafetensorsTensor) -> [UInt8] {
        (0..<tensor.byteCount).map { UInt8($0) + tensor.name.utf8.last! }
      }
      // 6, 12 | 18 | 24 | 30 bytes: the third does not fit behind the first two, the last is larger than the limit.
      try WeightFiles.write(tensors, metadata: ["format": "pt"], to: folder, limit: 26) { tensor, emit in
        try value(tensor).withUnsafeBytes(emit)
      }
      let weights = try WeightFiles(path: folder)
      #expect(weights.files.map { $0.tensors.count } == [2, 1, 1, 1])
      #expect(weights.files.allSatisfy { $0.metadata == ["format": "pt"] })
      #expect(weights.names == tensors.map { $0.name })
      for tensor in tensors { #expect(weights.withBytes(of: tensor.name, Array.init) == value(tensor)) }
      let index = try String(
        decoding: TestFiles.bytes(folder + "/model.safetensors.index.json"), as: UTF8.self)
      #expect(try JSONValue(parsing: index)["metadata"]?["total_size"] == 90)
      let first = try #require(weights.files.first)
      #expect(first.path.hasSuffix("/model-00001-of-00004.safetensors"))
    }
  }

  @Test func typesOfLessThanAByteFillWholeBytes() throws {
    try TestFiles.withFolder { folder in
      let path = folder + "/small.safetensors"
      let tensors = [
        SafetensorsTensor(name: "a", type: .f4, shape: [3, 2]), SafetensorsTensor(name: "b", type: .f6E2M3, shape: [4]),
        SafetensorsTensor(name: "c", type: .f8E4M3, shape: [2]),
      ]
      #expect(tensors.map { $0.byteCount } == [3, 3, 2])
      try SafetensorsWriter.write(tensors, to: path) { tensor, emit in
        try [UInt8](repeating: 7, count: tensor.byteCount).withUnsafeBytes(emit)
      }
      #expect(try Set(SafetensorsFile(path: path).tensors.map { $0.name }) == ["a", "b", "c"])
    }
  }

  static let entry = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#
  static let hostile: [(header: String, data: Int)] = [
    ("", 0), ("{", 0), ("[]", 0), ("{} x", 0), ("{\(entry)}", 7), ("{\(entry)}", 9), ("{\(entry),\(entry)}", 8),
    (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),
    (#"{"a":{"dtype":"F32","shape":[2]}}"#, 8),
    (#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8),
    (#"{"a":{"dtype":"U8","shape":[9223372036854775807,2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[9223372036854775807,9223372036854775807]}}"#, 0),
    (#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, 8),
    (#"{\#(entry),"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#, 8),
    (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, 2),
    (#"{"a":{"dtype":"U8","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, 0),
    (#"{"__metadata__":{"a":1}}"#, 0), (#"{"a\ud800":1}"#, 0), ("{\"a\u{1}\":1}", 0),
    (String(repeating: "[", count: 100_000), 0), (#"{"a":"# + String(repeating: "[", count: 100_000), 0),
  ]

  @Test(arguments: hostile.indices)
  func hostileHeadersAreRefused(index: Int) throws {
    let (header, data) = Self.hostile[index]
    let size = withUnsafeBytes(of: UInt64(header.utf8.count)) { Array($0) }
    try check(size + Array(header.utf8) + [UInt8](repeating: 0, count: data))
  }

  @Test(arguments: [0, 1, 7, 8, 9, 100_000_000, 100_000_001, Int64.max, -1] as [Int64])
  func hostileSizesAreRefused(size: Int64) throws {
    try check(Array(withUnsafeBytes(of: size) { Array($0) }))
    try check(Array(withUnsafeBytes(of: size) { Array($0) }.dropLast()))
  }

  private func check(_ bytes: [UInt8]) throws {
    try TestFiles.withFolder { folder in
      let path = folder + "/hostile.safetensors"
      try Data(bytes).write(to: URL(filePath: path))
      #expect(throws: FormatsError.self) { try SafetensorsFile(path: path) }
    }
  }

  @Test func noBitFlipOfAHeaderCrashes() throws {
    let bytes = try TestFiles.bytes(TestFiles.fixture("sample.safetensors"))
    var generator = Generator(seed: 99)
    try TestFiles.withFolder { folder in
      let path = folder + "/flipped.safetensors"
      for _ in 0..<500 {
        var changed = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
          changed[Int.random(in: 0..<600, using: &generator)] ^= 1 << UInt8.random(in: 0...7, using: &generator)
        }
        try Data(changed).write(to: URL(filePath: path))
        guard let file = try? SafetensorsFile(path: path) else { continue }
        #expect(file.tensors.allSatisfy { file.withBytes(of: $0.name, Array.init)?.count == $0.byteCount })
      }
    }
  }
}
