// Reading safetensors (huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the data.
//
// Invariant: once opened, every tensor lies inside the file, the tensors do not overlap, and together they cover the data
// without gaps; nothing is copied. A header is hostile until proven otherwise: its size, nesting, numbers, names and ranges
// are all checked, since weights come from strangers.

package import Core

/// A memory-mapped weights file.
public final class SafetensorsFile: Sendable {
  public let path: String
  /// The tensors in the order of their data.
  public let tensors: [SafetensorsTensor]
  /// Free text that the writer left.
  public let metadata: [String: String]
  private let file: MappedFile
  /// Ranges of the whole file, by name.
  private let ranges: [String: (index: Int, bytes: Range<Int>)]

  /// The published limit of a header.
  static let maximumHeaderSize = 100_000_000

  /// Opens and checks a file; throws `FormatsError`.
  public convenience init(path: String) throws(FormatsError) {
    try self.init(FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) })
  }

  /// Checks a file that is mapped already.
  package init(_ file: MappedFile) throws(FormatsError) {
    self.file = file
    path = file.path
    let header = try SafetensorsHeader(file.text, path: file.path)
    tensors = header.entries.map { $0.tensor }
    metadata = header.metadata
    ranges = Dictionary(
      uniqueKeysWithValues: header.entries.enumerated().map { ($1.tensor.name, (index: $0, bytes: $1.bytes)) })
  }

  /// What the header says of a tensor, or nil if there is none of that name.
  public func tensor(_ name: String) -> SafetensorsTensor? { ranges[name].map { tensors[$0.index] } }

  /// Calls `body` with the data of a tensor, in place; nil if there is none of that name. Prefer it to `bytes(of:)`.
  public func withBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result? {
    try withExtendedLifetime(self) { try bytes(of: name).map(body) }
  }

  /// The data of a tensor, in place, not necessarily aligned to the element type. It is valid only while this object
  /// lives, and Swift may release an object right after its last use: hold it with `withExtendedLifetime`.
  public func bytes(of name: String) -> UnsafeRawBufferPointer? {
    ranges[name].map { UnsafeRawBufferPointer(rebasing: file.bytes[$0.bytes]) }
  }

  /// The data of a tensor, in place, with what keeps it mapped; nil if there is none of that name.
  package func mapped(_ name: String) -> MappedBytes? {
    bytes(of: name).map { MappedBytes(bytes: $0, owner: file) }
  }

  /// Tells the system that all of it is about to be read.
  package func prefetch() { file.advise(.soon) }
}

/// A checked header.
struct SafetensorsHeader {
  /// The tensors by position; `bytes` counts from the start of the file.
  private(set) var entries: [(tensor: SafetensorsTensor, bytes: Range<Int>)] = []
  private(set) var metadata: [String: String] = [:]

  init(_ text: UnsafeBufferPointer<UInt8>, path: String) throws(FormatsError) {
    func invalid(_ what: String) -> FormatsError {
      FormatsError(.malformed, "'\(path)' is not a valid safetensors file: \(what). Download or save it again.")
    }
    guard text.count >= 8 else { throw invalid("it has only \(text.count) bytes") }
    let size = UInt64(littleEndian: UnsafeRawPointer(text.baseAddress!).loadUnaligned(as: UInt64.self))
    guard size <= Self.limit else { throw invalid("its header would have \(size) bytes") }
    guard Int(size) <= text.count - 8 else {
      throw invalid("its header has \(size) bytes, but the file only \(text.count); it is cut off or something else")
    }
    let dataStart = 8 + Int(size)
    guard size > 0, text[8] == UInt8(ascii: "{") else { throw invalid("its header does not begin with '{'") }
    var reader = JSONReader(UnsafeBufferPointer(rebasing: text[8..<dataStart]))
    do throws(FormatsError) {
      try read(&reader, dataStart: dataStart)
      try reader.end()
    } catch {
      throw FormatsError(
        .malformed, "'\(path)' is not a valid safetensors file. \(error.message)", cause: error)
    }
    // Stable for tensors without data, which may share a place.
    entries.sort { ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound) }
    var end = dataStart
    for entry in entries {
      guard entry.bytes.lowerBound == end else {
        let problem = entry.bytes.lowerBound < end ? "overlaps the one before it" : "leaves a gap before it"
        throw invalid("the tensor '\(entry.tensor.name)' \(problem)")
      }
      end = entry.bytes.upperBound
    }
    guard end == text.count else {
      throw invalid("its tensors end at byte \(end), but the file has \(text.count); it is cut off or something else")
    }
  }

  private static let limit = UInt64(SafetensorsFile.maximumHeaderSize)

  private mutating func read(_ reader: inout JSONReader, dataStart: Int) throws(FormatsError) {
    var names: Set<String> = []
    var entries = entries
    var metadata = metadata
    try reader.object { (reader, name) throws(FormatsError) in
      guard names.insert(name).inserted else { throw reader.error("the name '\(name)' is there twice") }
      if name == "__metadata__" {
        try reader.object { (reader, key) throws(FormatsError) in
          guard metadata[key] == nil else { throw reader.error("the metadata '\(key)' is there twice") }
          metadata[key] = try reader.string()
        }
      } else {
        entries.append(try Self.entry(name, &reader, dataStart))
      }
    }
    self.entries = entries
    self.metadata = metadata
  }

  private static func entry(
    _ name: String, _ reader: inout JSONReader, _ dataStart: Int
  ) throws(FormatsError) -> (tensor: SafetensorsTensor, bytes: Range<Int>) {
    var type: SafetensorsType?
    var shape: [Int]?
    var offsets: [Int]?
    try reader.object { (reader, key) throws(FormatsError) in
      switch key {
      case "dtype" where type == nil:
        let spelling = try reader.string()
        type = SafetensorsType(rawValue: spelling)
        if type == nil { throw reader.error("the element type '\(spelling)' of '\(name)' is not supported") }
      case "shape" where shape == nil: shape = try naturals(&reader)
      case "data_offsets" where offsets == nil: offsets = try naturals(&reader)
      default: throw reader.error("'\(name)' has an unexpected or repeated '\(key)'")
      }
    }
    guard let type, let shape, let offsets else { throw reader.error("'\(name)' lacks dtype, shape or data_offsets") }
    guard offsets.count == 2, offsets[0] <= offsets[1], offsets[1] <= Int.max - dataStart else {
      throw reader.error("'\(name)' has data_offsets \(offsets)")
    }
    let tensor = SafetensorsTensor(name: name, type: type, shape: shape)
    guard tensor.checkedByteCount == offsets[1] - offsets[0] else {
      throw reader.error(
        "'\(name)' of type \(type.rawValue) and shape \(shape) does not fill its \(offsets[1] - offsets[0]) bytes")
    }
    return (tensor, dataStart + offsets[0]..<dataStart + offsets[1])
  }

  private static func naturals(_ reader: inout JSONReader) throws(FormatsError) -> [Int] {
    var numbers: [Int] = []
    try reader.array { (reader) throws(FormatsError) in
      let number = try reader.integer()
      guard number >= 0 else { throw reader.error("a size or offset is negative") }
      numbers.append(number)
    }
    return numbers
  }
}
