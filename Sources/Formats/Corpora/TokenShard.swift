// A tokenised corpus on disk: a header of 64 bytes and then the tokens, little-endian, two or four bytes each.
//
//   0 magic "TACHTOKS"   8 version u32   12 bytes per token u32   16 tokenizer fingerprint u64   24 source fingerprint u64
//   32 count u64   40 checksum of the tokens u64   48 vocabulary size u32   52 end of text i32 (-1: none)
//   56 checksum of the 56 bytes before
//
// Invariant: a shard under its final name is complete (AtomicFile). It is a cache: what does not fit is made anew.

package import Core

/// Tokens in a memory-mapped file.
package struct TokenShard: Sendable {
  static let headerSize = 64
  static let magic: UInt64 = 0x534B_4F54_4843_4154  // "TACHTOKS"
  static let version: UInt32 = 1
  /// The checksum runs over blocks of this many bytes.
  static let blockSize = 1 << 20
  /// Larger files are only checked for their size when opened; reading them all would take longer than it helps.
  static let checkedSize = 1 << 28

  package let file: MappedFile
  package let count: Int
  package let isWide: Bool
  package let tokenizerFingerprint: UInt64
  package let sourceFingerprint: UInt64
  package let vocabularySize: Int
  package let endOfText: Int32?

  /// Opens and checks a shard; throws `FormatsError` where it is missing, damaged, or of another version.
  package init(path: String) throws(FormatsError) {
    file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    let bytes = file.bytes
    func damaged(_ what: String) -> FormatsError {
      FormatsError(.malformed, "The token shard '\(path)' is damaged: \(what). Delete it; it will be made anew.")
    }
    guard bytes.count >= Self.headerSize, Self.word(bytes, 0) == Self.magic else { throw damaged("no header") }
    guard Self.word(bytes, 56) == Hashing.bytes(UnsafeRawBufferPointer(rebasing: bytes[..<56])) else {
      throw damaged("the header's checksum is wrong")
    }
    let (version, width) = (Self.half(bytes, 8), Self.half(bytes, 12))
    guard version == Self.version, width == 2 || width == 4 else {
      throw damaged("version \(version), width \(width)")
    }
    guard let count = Int(exactly: Self.word(bytes, 32)), count <= (bytes.count - Self.headerSize) / Int(width),
      bytes.count == Self.headerSize + count * Int(width)
    else { throw damaged("its size is wrong") }
    self.count = count
    isWide = width == 4
    tokenizerFingerprint = Self.word(bytes, 16)
    sourceFingerprint = Self.word(bytes, 24)
    vocabularySize = Int(Self.half(bytes, 48))
    let end = Int32(bitPattern: Self.half(bytes, 52))
    endOfText = end < 0 ? nil : end
    if bytes.count <= Self.checkedSize {
      guard Self.checksum(UnsafeRawBufferPointer(rebasing: bytes[Self.headerSize...])) == Self.word(bytes, 40) else {
        throw damaged("its checksum is wrong")
      }
    }
  }

  /// Copies tokens `offset ..< offset + count` to `output`.
  @inline(__always)
  package func copy(_ offset: Int, _ count: Int, to output: UnsafeMutablePointer<Int32>) {
    precondition(offset >= 0 && count >= 0 && offset + count <= self.count, "\(offset)+\(count) of \(self.count)")
    let base = file.bytes.baseAddress! + Self.headerSize
    if isWide {
      let source = base.assumingMemoryBound(to: Int32.self) + offset
      for index in 0..<count { output[index] = Int32(littleEndian: source[index]) }
    } else {
      let source = base.assumingMemoryBound(to: UInt16.self) + offset
      for index in 0..<count { output[index] = Int32(UInt16(littleEndian: source[index])) }
    }
  }

  /// The token at `index`.
  package subscript(index: Int) -> Int32 {
    var token: Int32 = 0
    copy(index, 1, to: &token)
    return token
  }

  static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var checksum: UInt64 = 0
    var start = 0
    while start < bytes.count {
      let end = min(start + blockSize, bytes.count)
      checksum = Hashing.bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), seed: checksum)
      start = end
    }
    return checksum
  }

  private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  private static func half(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
    UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

/// Writes a shard from tokens that come in parts.
struct TokenShardWriter: ~Copyable {
  private let file: AtomicFile
  private let isWide: Bool
  private var block: [UInt8] = []
  private var checksum: UInt64 = 0
  private(set) var count = 0

  init(path: String, vocabularySize: Int) throws(FormatsError) {
    file = try FormatsError.wrappingFile { () throws(FileError) in
      let file = try AtomicFile(path: path)
      try file.write([UInt8](repeating: 0, count: TokenShard.headerSize))
      return file
    }
    isWide = vocabularySize > 1 << 16
    block.reserveCapacity(TokenShard.blockSize)
  }

  mutating func append(_ tokens: [Int32]) throws(FormatsError) {
    for token in tokens {
      let value = UInt32(bitPattern: token)
      block.append(UInt8(truncatingIfNeeded: value))
      block.append(UInt8(truncatingIfNeeded: value >> 8))
      if isWide {
        block.append(UInt8(truncatingIfNeeded: value >> 16))
        block.append(UInt8(truncatingIfNeeded: value >> 24))
      }
      if block.count == TokenShard.blockSize { try flush() }
    }
    count += tokens.count
  }

  private mutating func flush() throws(FormatsError) {
    guard !block.isEmpty else { return }
    checksum = block.withUnsafeBytes { Hashing.bytes($0, seed: checksum) }
    try FormatsError.wrappingFile { () throws(FileError) in try file.write(block) }
    block.removeAll(keepingCapacity: true)
  }

  /// Writes the header and moves the file to its place.
  consuming func finish(
    tokenizer: UInt64, source: UInt64, vocabularySize: Int, endOfText: Int32?
  ) throws(FormatsError) {
    try flush()
    var header: [UInt8] = []
    func put(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { header.append(contentsOf: $0) }
    }
    put(TokenShard.magic)
    put(TokenShard.version)
    put(UInt32(isWide ? 4 : 2))
    put(tokenizer)
    put(source)
    put(UInt64(count))
    put(checksum)
    put(UInt32(vocabularySize))
    put(endOfText ?? -1)
    put(header.withUnsafeBytes { Hashing.bytes($0) })
    let file = file
    try FormatsError.wrappingFile { () throws(FileError) in
      try header.withUnsafeBytes { raw in Result { () throws(FileError) in try file.overwrite(raw, at: 0) } }.get()
      try file.commit()
    }
  }
}
