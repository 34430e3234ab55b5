// Reading GGUF (docs/gguf.md of ggml), versions 2 and 3: metadata and tensors in one file, or in several parts.
//
// Invariant: once opened, everything that `GGUFHeader` checks holds, and the parts belong together; nothing was copied but
// names and short values.

internal import Core

/// A memory-mapped GGUF model with all its parts.
public final class GGUFFile: Sendable {
  /// The path that was asked for; the others of several parts are found by their names.
  public let path: String
  /// The version of the container: 2 or 3.
  public let version: Int
  /// The tensors in the order of the files.
  public let tensors: [GGUFTensor]
  /// Everything known of the model: architecture, sizes, tokenizer.
  public let metadata: [String: GGUFValue]
  /// The keys of the metadata in the order of the file.
  public let keys: [String]
  private let parts: [MappedFile]
  /// Where a tensor lies: its index in `tensors`, its part, its range of that part.
  private let places: [String: Place]

  private struct Place: Sendable {
    var index: Int
    var part: Int
    var bytes: Range<Int>
  }

  /// Opens and checks a model: a file, or any one of several parts; throws `FormatsError`.
  public init(path: String) throws(FormatsError) {
    let named = try Self.map(path)
    let header = try GGUFHeader(named)
    var parts = [named]
    var headers = [header]
    if let split = try GGUFSplit(header, path: path) {
      for number in 0..<split.count where number != split.number {
        let file = try Self.map(split.path(of: number))
        let header = try GGUFHeader(file)
        guard let own = try GGUFSplit(header, path: file.path), own.count == split.count, own.number == number else {
          throw FormatsError(.malformed, "'\(file.path)' is not the part that its name says; get it again.")
        }
        let index = number < split.number ? number : parts.count
        parts.insert(file, at: index)
        headers.insert(header, at: index)
      }
    }
    var tensors: [GGUFTensor] = []
    var places: [String: Place] = [:]
    for (part, header) in headers.enumerated() {
      for (tensor, bytes) in header.tensors {
        let place = Place(index: tensors.count, part: part, bytes: bytes)
        guard places.updateValue(place, forKey: tensor.name) == nil else {
          throw FormatsError(.malformed, "Two parts of '\(path)' hold the tensor '\(tensor.name)'; get them again.")
        }
        tensors.append(tensor)
      }
    }
    if let total = headers[0].metadata[GGUFSplit.tensorsKey]?.integer, parts.count > 1, total != tensors.count {
      throw FormatsError(
        .malformed, "The parts of '\(path)' hold \(tensors.count) tensors, but should hold \(total); get them again.")
    }
    self.path = path
    self.version = headers[0].version
    self.tensors = tensors
    self.metadata = headers[0].metadata
    self.keys = headers[0].keys
    self.parts = parts
    self.places = places
  }

  private static func map(_ path: String) throws(FormatsError) -> MappedFile {
    try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
  }

  /// The paths of all parts, in order.
  public var paths: [String] { parts.map { $0.path } }

  /// What the file says of a tensor, or nil if there is none of that name.
  public func tensor(_ name: String) -> GGUFTensor? { places[name].map { tensors[$0.index] } }

  /// Calls `body` with the data of a tensor, in place; nil if there is none of that name.
  public func withBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result? {
    try mapped(name).map { mapped in try withExtendedLifetime(mapped.owner) { try body(mapped.bytes) } }
  }

  /// The data of a tensor, in place, with what keeps it mapped; nil if there is none of that name.
  package func mapped(_ name: String) -> MappedBytes? {
    places[name].map { place in
      let file = parts[place.part]
      return MappedBytes(bytes: UnsafeRawBufferPointer(rebasing: file.bytes[place.bytes]), owner: file)
    }
  }

  /// Tells the system that all of it is about to be read.
  package func prefetch() { for part in parts { part.advise(.soon) } }
}

/// Which part of a split model a file is: `name-00002-of-00005.gguf`.
private struct GGUFSplit {
  /// From 0.
  let number: Int
  let count: Int
  private let prefix: Substring

  static let tensorsKey = "split.tensors.count"
  /// What fits the five digits of a name.
  private static let maximumCount = 99_999

  /// nil: the file is a whole model.
  init?(_ header: GGUFHeader, path: String) throws(FormatsError) {
    guard let stated = header.metadata["split.count"] else { return nil }
    if let count = stated.integer, count == 0 || count == 1 { return nil }
    guard let count = stated.integer, (1...Self.maximumCount).contains(count),
      let number = header.metadata["split.no"]?.integer, (0..<count).contains(number)
    else {
      throw FormatsError(
        .malformed, "'\(path)' says that it is a part of several, but not which (split.no, split.count). Get it again.")
    }
    let suffix = Self.suffix(number, of: count)
    guard path.hasSuffix(suffix) else {
      throw FormatsError(
        .missing,
        "'\(path)' is part \(number + 1) of \(count). Give it back its name, which ends in '\(suffix)', and put the "
          + "others next to it.")
    }
    self.number = number
    self.count = count
    prefix = path.dropLast(suffix.count)
  }

  func path(of number: Int) -> String { prefix + Self.suffix(number, of: count) }

  private static func suffix(_ number: Int, of count: Int) -> String {
    func digits(_ value: Int) -> String { String(String(100_000 + value).dropFirst()) }
    return "-\(digits(number + 1))-of-\(digits(count)).gguf"
  }
}
