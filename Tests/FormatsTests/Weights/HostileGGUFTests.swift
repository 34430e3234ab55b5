// GGUF files that lie: each is refused with a message that says what is wrong with it.

import Core
import Formats
import FoundationEssentials
import Testing

@Suite struct HostileGGUFTests {
  /// A file under construction, in which everything can be wrong.
  struct Bytes {
    var bytes: [UInt8] = []

    init(_ version: UInt32 = 3, tensors: UInt64 = 0, values: UInt64 = 0) {
      bytes = Array("GGUF".utf8)
      add(version)
      add(tensors)
      add(values)
    }

    mutating func add<T: FixedWidthInteger>(_ value: T) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ text: [UInt8], length: UInt64? = nil) {
      add(length ?? UInt64(text.count))
      bytes += text
    }

    func value(_ key: String, _ kind: UInt32, _ content: [UInt8] = []) -> Bytes {
      var result = self
      result.add(Array(key.utf8))
      result.add(kind)
      result.bytes += content
      return result
    }

    func array(_ key: String, of kind: UInt32, count: UInt64, _ content: [UInt8] = []) -> Bytes {
      var result = value(key, 9)
      result.add(kind)
      result.add(count)
      result.bytes += content
      return result
    }

    func tensor(_ name: String, _ shape: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) -> Bytes {
      var result = self
      result.add(Array(name.utf8))
      result.add(UInt32(shape.count))
      for size in shape { result.add(size) }
      result.add(type)
      result.add(offset)
      return result
    }

    func data(_ count: Int) -> Bytes {
      var result = self
      result.bytes += [UInt8](repeating: 0, count: -bytes.count & 31 + count)
      return result
    }

    static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      withUnsafeBytes(of: value.littleEndian, Array.init)
    }
  }

  /// Files and what the message must mention.
  static let files: [(bytes: Bytes, mentions: String)] = {
    let little = Bytes.little as (UInt64) -> [UInt8]
    var odd = Bytes(values: 1)
    odd.add([0xFF, 0xFE])
    odd.add(UInt32(0))
    odd.add(UInt8(0))
    var endless = Bytes(values: 1)
    endless.add([65], length: .max)
    endless.bytes += [UInt8](repeating: 0, count: 20)
    var cut = Bytes(tensors: 1).tensor("a", [8]).data(32)
    cut.bytes.removeLast()
    return [
      // Beginnings
      (Bytes(1), "version 1"), (Bytes(4), "version 4"), (Bytes(3 << 24), "big-endian"), (Bytes(0), "version 0"),
      // Counts and lengths
      (Bytes(tensors: .max), "the number of tensors"), (Bytes(values: 1 << 40), "the number of metadata values"),
      (Bytes(tensors: 1), "the number of tensors"), (endless, "the length of a metadata key"), (odd, "not UTF-8"),
      (Bytes(values: 1).value("a", 8, little(4) + [0xC3, 0x28, 0x41, 0x41]), "'a' at byte 45 is not UTF-8"),
      (Bytes(values: 1).value("a", 8, little(5) + [65, 65]), "the length of the value of 'a'"),
      (Bytes(values: 1).value("abcd", 10, [1, 2, 3]), "inside the value of 'abcd'"),
      (Bytes(values: 2).value("a", 0, [1]).value("a", 0, [1]), "'a' is there twice"),
      (Bytes(values: 1).value("a", 13, [1]), "unknown kind 13"), (Bytes(values: 1).value("a", 7, [2]), "truth value"),
      // Arrays
      (Bytes(values: 1).array("a", of: 9, count: 1, [0, 0, 0, 0]), "array of arrays"),
      (Bytes(values: 1).array("a", of: 77, count: 0), "unknown kind 77"),
      (Bytes(values: 1).array("a", of: 4, count: 1 << 62, [1, 2, 3]), "the number of elements of 'a'"),
      (Bytes(values: 1).array("a", of: 8, count: 1 << 61), "the number of strings of 'a'"),
      (Bytes(values: 1).array("a", of: 8, count: 2, little(.max) + little(0)), "the length of a string of 'a'"),
      (Bytes(values: 1).array("a", of: 7, count: 2, [0, 3]), "truth values"),
      // Alignment
      (Bytes(values: 1).value("general.alignment", 4, Bytes.little(UInt32(0))), "power of two"),
      (Bytes(values: 1).value("general.alignment", 4, Bytes.little(UInt32(24))), "power of two"),
      (Bytes(values: 1).value("general.alignment", 10, little(1 << 62)), "power of two"),
      (Bytes(values: 1).value("general.alignment", 8, little(0)), "power of two"),
      // Tensors
      (cut, "cut off"), (Bytes(tensors: 1).tensor("a", [8]), "cut off"),
      (Bytes(tensors: 1).tensor("a", [8], offset: 1 << 63).data(32), "begins at byte 9223372036854775808"),
      (Bytes(tensors: 1).tensor("a", [8], offset: .max - 31).data(32), "begins at byte"),
      (Bytes(tensors: 1).tensor("a", [8], offset: 4).data(64), "no multiple of 32"),
      (Bytes(tensors: 1).tensor("a", [.max]).data(32), "a dimension of 18446744073709551615"),
      (Bytes(tensors: 1).tensor("a", [1 << 62, 1 << 62]).data(32), "cannot be F32"),
      (Bytes(tensors: 1).tensor("a", [1 << 31, 1 << 31]).data(32), "cannot be F32"),
      (Bytes(tensors: 1).tensor("a", [1, 1, 1, 1, 1]).data(32), "5 dimensions"),
      (Bytes(tensors: 1).tensor("a", [33], type: 2).data(64), "cannot be Q4_0 of shape [33]"),
      (Bytes(tensors: 1).tensor("a", [8], type: 4).data(32), "unknown type 4"),
      (Bytes(tensors: 2).tensor("a", [8]).tensor("a", [8], offset: 32).data(64), "'a' is there twice"),
      (Bytes(tensors: 2).tensor("a", [9]).tensor("b", [8], offset: 32).data(64), "'b' overlaps"),
      (Bytes(tensors: 2).tensor("a", [8]).tensor("b", [8]).data(64), "overlaps"),
      // Parts
      (Bytes(values: 1).value("split.count", 2, Bytes.little(UInt16(3))), "split.no"),
      (
        Bytes(values: 2).value("split.count", 2, Bytes.little(UInt16(3))).value("split.no", 2, Bytes.little(UInt16(3))),
        "split.no"
      ),
    ]
  }()

  @Test(arguments: files.indices) func isRefused(index: Int) throws {
    let (file, mentions) = Self.files[index]
    try TestFiles.withFolder { folder in
      let path = folder + "/hostile.gguf"
      try Data(file.bytes).write(to: URL(filePath: path))
      let error = try #require(throws: FormatsError.self) { try GGUFFile(path: path) }
      #expect(error.message.contains(mentions), "\(error.message)")
      #expect(error.message.contains(path))
    }
  }

  @Test func badStringsOfArraysAreRefusedWhenTheyAreAskedFor() throws {
    try TestFiles.withFolder { folder in
      let path = folder + "/bad.gguf"
      let content = Bytes.little(UInt64(1)) + [65] + Bytes.little(UInt64(1)) + [0xFF]
      try Data(Bytes(values: 1).array("a", of: 8, count: 2, content).bytes).write(to: URL(filePath: path))
      let array = try #require(try GGUFFile(path: path).metadata["a"]?.array)
      #expect(try array.prefix(1).strings() == ["A"])
      #expect(throws: FormatsError.self) { try array.strings() }
    }
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = try TestFiles.bytes(TestFiles.fixture("sample.gguf"))
    try TestFiles.withFolder { folder in
      let path = folder + "/cut.gguf"
      // The last tensor's padding may be missing.
      for count in stride(from: 0, to: bytes.count - 64, by: 7) {
        try Data(bytes[..<count]).write(to: URL(filePath: path))
        #expect(throws: FormatsError.self, "\(count) bytes") { try GGUFFile(path: path) }
      }
    }
  }

  @Test func noBitFlipCrashes() throws {
    let bytes = try TestFiles.bytes(TestFiles.fixture("sample.gguf"))
    var generator = Generator(seed: 99)
    try TestFiles.withFolder { folder in
      let path = folder + "/flipped.gguf"
      for _ in 0..<500 {
        var changed = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
          changed[Int.random(in: 0..<1600, using: &generator)] ^= 1 << UInt8.random(in: 0...7, using: &generator)
        }
        try Data(changed).write(to: URL(filePath: path))
        guard let file = try? GGUFFile(path: path) else { continue }
        #expect(file.tensors.allSatisfy { file.withBytes(of: $0.name, Array.init)?.count == $0.byteCount })
        for value in file.metadata.values { _ = try? value.array?.strings() }
      }
    }
  }
}
