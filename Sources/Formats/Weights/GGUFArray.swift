// Arrays of GGUF metadata, such as the 150,000 tokens of a vocabulary: decoded when asked for, until then a range of the file.
//
// Invariant: the elements lie one after another as files have them: numbers little-endian, booleans a byte of 0 or 1, strings
// behind their length in eight bytes. Lengths were checked when the array was made; that strings are UTF-8 was not.

internal import Core

/// An array of one kind of values, none of them arrays.
public struct GGUFArray: Sendable, Equatable {
  /// What its elements are.
  public let kind: GGUFValue.Kind
  public let count: Int
  private let storage: Storage

  private enum Storage: Sendable {
    case mapped(MappedFile, Range<Int>)
    case owned([UInt8])
  }

  init(kind: GGUFValue.Kind, count: Int, in file: MappedFile, at range: Range<Int>) {
    self.kind = kind
    self.count = count
    storage = .mapped(file, range)
  }

  private init(kind: GGUFValue.Kind, count: Int, encoded: [UInt8]) {
    self.kind = kind
    self.count = count
    storage = .owned(encoded)
  }

  public init(strings: [String]) {
    var encoded: [UInt8] = []
    for string in strings { GGUFEncoder.append(string, to: &encoded) }
    self.init(kind: .string, count: strings.count, encoded: encoded)
  }

  public init(numbers: [Int32]) {
    self.init(kind: .int32, count: numbers.count, encoded: GGUFEncoder.bytes(of: numbers.map { $0.littleEndian }))
  }

  public init(numbers: [Float]) {
    let patterns = numbers.map { $0.bitPattern.littleEndian }
    self.init(kind: .float32, count: numbers.count, encoded: GGUFEncoder.bytes(of: patterns))
  }

  public init(flags: [Bool]) {
    self.init(kind: .bool, count: flags.count, encoded: flags.map { $0 ? 1 : 0 })
  }

  /// Calls `body` with the elements as files have them.
  public func withEncoded<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    switch storage {
    case .mapped(let file, let range):
      try file.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    case .owned(let bytes): try bytes.withUnsafeBytes(body)
    }
  }

  /// Calls `body` with the bytes of each string in turn, in place; throws `FormatsError` if these are no strings.
  public func forEachString(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    guard kind == .string else {
      throw FormatsError(.malformed, "An array of strings was expected in a GGUF file's metadata, not of \(kind).")
    }
    try withEncoded { encoded in
      var position = 0
      for _ in 0..<count {
        let length = Int(UInt64(littleEndian: encoded.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
        position += 8
        try body(UnsafeRawBufferPointer(rebasing: encoded[position..<position + length]))
        position += length
      }
    }
  }

  /// The strings; throws `FormatsError` if these are no strings or one is not UTF-8.
  public func strings() throws -> [String] {
    var strings: [String] = []
    strings.reserveCapacity(count)
    try forEachString { bytes in
      guard let string = String(validating: bytes, as: UTF8.self) else {
        throw FormatsError(.malformed, "String \(strings.count) of an array in a GGUF file's metadata is not UTF-8.")
      }
      strings.append(string)
    }
    return strings
  }

  /// The integers, of whatever width, booleans as 0 and 1; throws `FormatsError` if these are none or one is too large.
  public func integers() throws -> [Int] {
    try withEncoded { encoded in
      func all<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) throws -> [Int] {
        try (0..<count).map { index in
          let stored = encoded.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: T.self)
          guard let integer = Int(exactly: T(littleEndian: stored)) else {
            throw FormatsError(.malformed, "Element \(index) of an array in a GGUF file's metadata is too large.")
          }
          return integer
        }
      }
      switch kind {
      case .uint8, .bool: return try all(UInt8.self)
      case .int8: return try all(Int8.self)
      case .uint16: return try all(UInt16.self)
      case .int16: return try all(Int16.self)
      case .uint32: return try all(UInt32.self)
      case .int32: return try all(Int32.self)
      case .uint64: return try all(UInt64.self)
      case .int64: return try all(Int64.self)
      case .float32, .float64, .string, .array:
        throw FormatsError(.malformed, "An array of integers was expected in a GGUF file's metadata, not of \(kind).")
      }
    }
  }

  /// The numbers, integers or not; throws `FormatsError` if these are none.
  public func doubles() throws -> [Double] {
    guard kind == .float32 || kind == .float64 else { return try integers().map { Double($0) } }
    return withEncoded { encoded in
      (0..<count).map { index in
        kind == .float32
          ? Double(
            Float(
              bitPattern: UInt32(littleEndian: encoded.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))))
          : Double(
            bitPattern: UInt64(littleEndian: encoded.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)))
      }
    }
  }

  /// The first elements, at most `limit`; throws `FormatsError` if a string is not UTF-8.
  public func prefix(_ limit: Int) throws -> GGUFArray {
    if count <= limit { return self }
    let size = try withEncoded { encoded in
      if let width = kind.byteWidth { return width * limit }
      var cursor = GGUFCursor(encoded)
      for _ in 0..<limit { _ = try cursor.string("a string") }
      return cursor.position
    }
    return withEncoded { GGUFArray(kind: kind, count: limit, encoded: Array($0[..<size])) }
  }

  public static func == (one: GGUFArray, other: GGUFArray) -> Bool {
    one.kind == other.kind && one.count == other.count
      && one.withEncoded { bytes in other.withEncoded { bytes.elementsEqual($0) } }
  }
}
