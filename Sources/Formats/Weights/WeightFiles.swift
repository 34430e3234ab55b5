// The weights of a model, in one file or in several with an index (`model.safetensors.index.json`).

internal import Core
internal import FoundationEssentials

/// All tensors of a model by name, wherever they lie.
public struct WeightFiles: Sendable {
  /// The files, in the order of their paths.
  public let files: [SafetensorsFile]
  private let owner: [String: Int]

  static let singleName = "model.safetensors"
  static let indexName = "model.safetensors.index.json"

  /// Opens a .safetensors file, an index, or a folder that holds `model.safetensors` or its index.
  public init(path: String) throws {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw FormatsError(.missing, "There are no weights at '\(path)'; check the path.")
    }
    if isFolder {
      guard let found = Self.candidates(path).first(where: { FileManager.default.fileExists(atPath: $0) }) else {
        throw FormatsError(.missing, "The folder '\(path)' holds neither \(Self.singleName) nor \(Self.indexName).")
      }
      try self.init(path: found)
    } else if path.hasSuffix(".json") {
      try self.init(index: path)
    } else {
      let file = try SafetensorsFile(path: path)
      self.init(files: [file], owner: Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, 0) }))
    }
  }

  private static func candidates(_ folder: String) -> [String] {
    [singleName, indexName].map { "\(folder)/\($0)" }
  }

  /// Whether a folder holds what `init` looks for there.
  package static func isIn(folder: String) -> Bool {
    candidates(folder).contains { FileManager.default.fileExists(atPath: $0) }
  }

  private init(files: [SafetensorsFile], owner: [String: Int]) {
    self.files = files
    self.owner = owner
  }

  private init(index path: String) throws {
    let places = try Self.places(path)
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let names = Set(places.values).sorted()
    let files = try names.map { name in
      guard !name.isEmpty, !name.contains("/"), name != ".." else {
        throw FormatsError(.malformed, "'\(path)' names the file '\(name)'; only files of the same folder are read.")
      }
      return try SafetensorsFile(path: "\(folder)/\(name)")
    }
    var owner: [String: Int] = [:]
    for (tensor, name) in places {
      let file = names.firstIndex(of: name)!
      guard files[file].tensor(tensor) != nil else {
        throw FormatsError(.malformed, "'\(path)' says that '\(tensor)' is in '\(name)', but it is not.")
      }
      owner[tensor] = file
    }
    self.init(files: files, owner: owner)
  }

  /// The names of all tensors, sorted.
  public var names: [String] { owner.keys.sorted() }

  /// What is known of a tensor, or nil if there is none of that name.
  public func tensor(_ name: String) -> SafetensorsTensor? { owner[name].flatMap { files[$0].tensor(name) } }

  /// Calls `body` with the data of a tensor, in place; nil if there is none of that name.
  public func withBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result? {
    try owner[name].flatMap { try files[$0].withBytes(of: name, body) }
  }

  /// The data of a tensor, in place. It is valid only while this value or a copy lives: hold it with
  /// `withExtendedLifetime`.
  public func bytes(of name: String) -> UnsafeRawBufferPointer? { owner[name].flatMap { files[$0].bytes(of: name) } }

  /// The data of a tensor, in place, with what keeps it mapped; nil if there is none of that name.
  package func mapped(_ name: String) -> MappedBytes? { owner[name].flatMap { files[$0].mapped(name) } }

  private static func places(_ path: String) throws(FormatsError) -> [String: String] {
    let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    var reader = JSONReader(file.text)
    var places: [String: String] = [:]
    do throws(FormatsError) {
      try reader.object { (reader, name) throws(FormatsError) in
        guard name == "weight_map" else { return try reader.skip() }
        try reader.object { (reader, tensor) throws(FormatsError) in
          guard places.updateValue(try reader.string(), forKey: tensor) == nil else {
            throw reader.error("'\(tensor)' is there twice")
          }
        }
      }
      try reader.end()
    } catch {
      throw FormatsError(.malformed, "'\(path)' is not a valid index of weights. \(error.message)", cause: error)
    }
    guard !places.isEmpty else { throw FormatsError(.empty, "'\(path)' names no weights.") }
    return places
  }
}
