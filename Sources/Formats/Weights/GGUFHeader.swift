// What stands before the data of a GGUF file (docs/gguf.md of ggml): metadata and the list of tensors.
//
// Invariant: a header that was read has tensors of known types that lie inside the file at multiples of its alignment and
// do not overlap, and no name or key twice. Counts and lengths are held against the bytes that are left before anything is
// made of them, so reading takes time and memory in proportion to the file.

internal import Core

/// A checked header of one file.
struct GGUFHeader {
  let version: Int
  private(set) var keys: [String] = []
  private(set) var metadata: [String: GGUFValue] = [:]
  /// In the order of the file; ranges of the whole file.
  private(set) var tensors: [(tensor: GGUFTensor, bytes: Range<Int>)] = []

  static let alignmentKey = "general.alignment"
  static let defaultAlignment = 32
  /// As many as ggml has.
  private static let maximumRank = 4
  /// More is no alignment but an attempt at overflow.
  private static let maximumAlignment = 1 << 30

  init(_ file: MappedFile) throws(FormatsError) {
    do throws(FormatsError) {
      var cursor = GGUFCursor(file.bytes)
      version = try Self.version(&cursor)
      // At the least a tensor has an empty name, a rank of 0, a type and an offset; a value an empty key, a kind and a byte.
      let tensorCount = try cursor.count(of: 24, "the number of tensors")
      let valueCount = try cursor.count(of: 13, "the number of metadata values")
      for _ in 0..<valueCount { try readValue(&cursor, file) }
      try readTensors(&cursor, tensorCount, fileSize: file.count)
    } catch {
      throw FormatsError(
        error.code, "'\(file.path)' is not a usable GGUF file: \(error.message). Download or save it again.",
        cause: error)
    }
  }

  private static func version(_ cursor: inout GGUFCursor) throws(FormatsError) -> Int {
    guard try cursor.integer(UInt32.self, "the first four bytes") == 0x4655_4747 else {
      throw FormatsError(.malformed, "it does not begin with 'GGUF'")
    }
    let version = try cursor.integer(UInt32.self, "the version")
    switch version {
    case 2, 3: return Int(version)
    case _ where version & 0xFFFF == 0 && version != 0:
      throw FormatsError(.unsupported, "it is for big-endian machines; get the little-endian one")
    default: throw FormatsError(.unsupported, "it has version \(version); versions 2 and 3 are read")
    }
  }

  // MARK: Metadata

  private mutating func readValue(_ cursor: inout GGUFCursor, _ file: MappedFile) throws(FormatsError) {
    let key = try cursor.string("a metadata key")
    guard metadata[key] == nil else { throw FormatsError(.malformed, "the metadata key '\(key)' is there twice") }
    let kind = try Self.kind(&cursor, key)
    keys.append(key)
    metadata[key] = try Self.value(kind, key, &cursor, file)
  }

  private static func kind(_ cursor: inout GGUFCursor, _ key: String) throws(FormatsError) -> GGUFValue.Kind {
    let number = try cursor.integer(UInt32.self, "the kind of '\(key)'")
    guard let kind = GGUFValue.Kind(rawValue: number) else {
      throw FormatsError(.malformed, "'\(key)' has the unknown kind \(number)")
    }
    return kind
  }

  private static func value(
    _ kind: GGUFValue.Kind, _ key: String, _ cursor: inout GGUFCursor, _ file: MappedFile
  ) throws(FormatsError) -> GGUFValue {
    func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(FormatsError) -> T {
      try cursor.integer(type, "the value of '\(key)'")
    }
    switch kind {
    case .uint8: return .uint8(try integer(UInt8.self))
    case .int8: return .int8(try integer(Int8.self))
    case .uint16: return .uint16(try integer(UInt16.self))
    case .int16: return .int16(try integer(Int16.self))
    case .uint32: return .uint32(try integer(UInt32.self))
    case .int32: return .int32(try integer(Int32.self))
    case .uint64: return .uint64(try integer(UInt64.self))
    case .int64: return .int64(try integer(Int64.self))
    case .float32: return .float32(Float(bitPattern: try integer(UInt32.self)))
    case .float64: return .float64(Double(bitPattern: try integer(UInt64.self)))
    case .bool:
      let byte = try integer(UInt8.self)
      guard byte <= 1 else { throw FormatsError(.malformed, "the truth value of '\(key)' is \(byte)") }
      return .bool(byte == 1)
    case .string: return .string(try cursor.string("the value of '\(key)'"))
    case .array: return .array(try array(key, &cursor, file))
    }
  }

  private static func array(
    _ key: String, _ cursor: inout GGUFCursor, _ file: MappedFile
  ) throws(FormatsError) -> GGUFArray {
    let kind = try kind(&cursor, key)
    let count: Int
    let start: Int
    switch kind {
    case .array: throw FormatsError(.unsupported, "'\(key)' is an array of arrays, which no known model has")
    case .string:
      count = try cursor.count(of: 8, "the number of strings of '\(key)'")
      start = cursor.position
      for _ in 0..<count { try cursor.skip(try cursor.count(of: 1, "the length of a string of '\(key)'"), "'\(key)'") }
    default:
      let width = kind.byteWidth!
      count = try cursor.count(of: width, "the number of elements of '\(key)'")
      start = cursor.position
      try cursor.skip(count * width, "'\(key)'")
      if kind == .bool, file.bytes[start..<cursor.position].contains(where: { $0 > 1 }) {
        throw FormatsError(.malformed, "'\(key)' has truth values other than 0 and 1")
      }
    }
    return GGUFArray(kind: kind, count: count, in: file, at: start..<cursor.position)
  }

  // MARK: Tensors

  private mutating func readTensors(
    _ cursor: inout GGUFCursor, _ count: Int, fileSize: Int
  ) throws(FormatsError) {
    let alignment = try alignment()
    var entries: [(tensor: GGUFTensor, offset: UInt64)] = []
    var names: Set<String> = []
    for _ in 0..<count {
      let entry = try Self.tensor(&cursor)
      guard names.insert(entry.tensor.name).inserted else {
        throw FormatsError(.malformed, "the tensor '\(entry.tensor.name)' is there twice")
      }
      entries.append(entry)
    }
    // The data begins at the next multiple of the alignment; where it is empty, the file may end before.
    let dataStart = (cursor.position + alignment - 1) / alignment * alignment
    for (tensor, offset) in entries {
      guard offset % UInt64(alignment) == 0 else {
        throw FormatsError(
          .malformed, "the tensor '\(tensor.name)' begins at \(offset), which is no multiple of \(alignment)")
      }
      let size = UInt64(tensor.byteCount)
      let available = UInt64(max(fileSize - dataStart, 0))
      guard offset <= available, size <= available - offset else {
        throw FormatsError(
          .malformed,
          "the tensor '\(tensor.name)' of \(size) bytes begins at byte \(offset) of the data, which has only "
            + "\(available) bytes; the file is cut off or something else")
      }
      let start = dataStart + Int(offset)
      tensors.append((tensor, start..<start + tensor.byteCount))
    }
    try refuseOverlaps()
  }

  private func alignment() throws(FormatsError) -> Int {
    guard let value = metadata[Self.alignmentKey] else { return Self.defaultAlignment }
    guard let alignment = value.integer, (1...Self.maximumAlignment).contains(alignment),
      alignment & (alignment - 1) == 0
    else { throw FormatsError(.malformed, "'\(Self.alignmentKey)' must be a power of two, not \(value)") }
    return alignment
  }

  private static func tensor(
    _ cursor: inout GGUFCursor
  ) throws(FormatsError) -> (tensor: GGUFTensor, offset: UInt64) {
    let name = try cursor.string("a tensor's name")
    let rank = try cursor.integer(UInt32.self, "the rank of '\(name)'")
    guard rank <= UInt32(maximumRank) else {
      throw FormatsError(.malformed, "the tensor '\(name)' would have \(rank) dimensions; \(maximumRank) are allowed")
    }
    var shape: [Int] = []
    for _ in 0..<rank {
      let size = try cursor.integer(UInt64.self, "the shape of '\(name)'")
      guard let size = Int(exactly: size) else {
        throw FormatsError(.malformed, "the tensor '\(name)' would have a dimension of \(size)")
      }
      shape.insert(size, at: 0)
    }
    let number = try cursor.integer(UInt32.self, "the type of '\(name)'")
    guard let type = GGUFType(rawValue: number) else {
      throw FormatsError(.unsupported, "the tensor '\(name)' has the unknown type \(number)")
    }
    let offset = try cursor.integer(UInt64.self, "the offset of '\(name)'")
    guard let tensor = GGUFTensor(name: name, type: type, untrustedShape: shape) else {
      throw FormatsError(.malformed, "the tensor '\(name)' cannot be \(type.name) of shape \(shape)")
    }
    return (tensor, offset)
  }

  private func refuseOverlaps() throws(FormatsError) {
    let sorted = tensors.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
    var end = 0
    for (tensor, bytes) in sorted where !bytes.isEmpty {
      guard bytes.lowerBound >= end else {
        throw FormatsError(.malformed, "the data of the tensor '\(tensor.name)' overlaps that of another one")
      }
      end = bytes.upperBound
    }
  }
}
