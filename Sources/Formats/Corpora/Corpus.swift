// Where training text comes from: a text file, a JSONL file, a folder of both, or the built-in generator.
//
// A corpus is a sequence of units of about a megabyte, each of which can be read, split and encoded on its own thread;
// the units and their order depend on the content alone. A text file is one document; a line of JSONL is one.

internal import Core
internal import FoundationEssentials

/// Text for training, checked to be text, not yet tokenised.
public struct Corpus: Sendable {
  /// How the bytes of a unit are documents.
  enum Form: Sendable {
    /// Part of one document; the last part ends it.
    case text(endsDocument: Bool)
    /// One JSON object a line, with the text under a name.
    case lines(field: String)
    /// Whole documents at these ranges of the unit.
    case documents([Range<Int>])
  }

  struct Unit: Sendable {
    let source: Int
    let range: Range<Int>
    let form: Form
  }

  private enum Source: Sendable {
    case file(MappedFile)
    case memory([UInt8])
  }

  /// A short name for people.
  public let name: String
  /// Size of all sources in bytes.
  public let byteCount: Int
  /// Changes with the files' paths, sizes and times, the text field, or the generator's settings.
  public let fingerprint: UInt64
  let units: [Unit]
  private let sources: [Source]

  static let textExtensions: Set<String> = ["txt", "text", "md"]
  static let lineExtensions: Set<String> = ["jsonl", "ndjson"]

  /// Opens a text file, a JSONL file (.jsonl, .ndjson) or a folder of such (.txt, .text, .md as text), recursively and in
  /// the order of their paths. `textField` names the text in a JSONL line.
  ///
  /// Throws `FormatsError` where there is nothing, nothing readable, or something that is not text.
  public init(path: String, textField: String = "text") throws {
    let paths = try Self.files(at: path)
    var sources: [Source] = []
    var units: [Unit] = []
    var byteCount = 0
    var fingerprint = Hashing.string(textField, seed: 1)
    for path in paths {
      let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
      file.advise(.sequential)
      fingerprint = Hashing.string(path, seed: fingerprint)
      fingerprint = Hashing.fold(fingerprint ^ UInt64(file.count), UInt64(bitPattern: file.modificationTime))
      guard file.count > 0 else { continue }
      try TextCheck.check(file.text, path: path)
      let isLines = Self.lineExtensions.contains(Self.pathExtension(path))
      units += Self.units(of: file.text, source: sources.count, lines: isLines ? textField : nil)
      sources.append(.file(file))
      byteCount += file.count
    }
    guard byteCount > 0 else {
      throw FormatsError(.empty, "'\(path)' is empty; training needs a file with text in it.")
    }
    self.sources = sources
    self.units = units
    self.byteCount = byteCount
    self.fingerprint = fingerprint
    name = paths.count == 1 ? paths[0] : "\(path) (\(paths.count) files)"
  }

  /// The built-in corpus: stories and sums, at least `bytes` bytes of them.
  public static func storiesAndSums(seed: UInt64 = 1, bytes: Int = 3_000_000) -> Corpus {
    precondition(bytes > 0, "a corpus of \(bytes) bytes")
    let (text, documents) = StoriesAndSums(seed: seed).text(bytes: bytes)
    var units: [Unit] = []
    var first = 0
    while first < documents.count {
      let start = documents[first].lowerBound
      var last = first
      while last + 1 < documents.count, documents[last].upperBound - start < 1 << 18 { last += 1 }
      let ranges = documents[first...last].map { $0.lowerBound - start..<$0.upperBound - start }
      units.append(Unit(source: 0, range: start..<documents[last].upperBound, form: .documents(ranges)))
      first = last + 1
    }
    let key = [StoriesAndSums.version, seed, UInt64(bytes)].reduce(Hashing.string("stories and sums"), Hashing.fold)
    return Corpus(
      name: "stories and sums", byteCount: text.count, fingerprint: key, units: units, sources: [.memory(text)])
  }

  /// A corpus of texts in memory, each a document of its own.
  public static func texts(_ texts: [String], name: String = "texts") -> Corpus {
    var bytes: [UInt8] = []
    var ranges: [Range<Int>] = []
    for text in texts {
      let start = bytes.count
      bytes.append(contentsOf: text.utf8)
      ranges.append(start..<bytes.count)
    }
    let unit = Unit(source: 0, range: 0..<bytes.count, form: .documents(ranges))
    var key = bytes.withUnsafeBytes { Hashing.bytes($0) }
    for range in ranges { key = Hashing.fold(key, UInt64(range.upperBound)) }
    return Corpus(name: name, byteCount: bytes.count, fingerprint: key, units: [unit], sources: [.memory(bytes)])
  }

  private init(name: String, byteCount: Int, fingerprint: UInt64, units: [Unit], sources: [Source]) {
    self.name = name
    self.byteCount = byteCount
    self.fingerprint = fingerprint
    self.units = units
    self.sources = sources
  }

  /// Calls `body` with each document, or part of one, of a unit. Parts never cut a character or a piece in two.
  func forEachPart(
    of unit: Unit, _ body: (UnsafeBufferPointer<UInt8>, _ endsDocument: Bool) -> Void
  ) throws(FormatsError) {
    switch sources[unit.source] {
    case .file(let file):
      try Self.forEachPart(of: UnsafeBufferPointer(rebasing: file.text[unit.range]), unit, file.path, body)
    case .memory(let bytes):
      try bytes.withUnsafeBufferPointer { text in
        Result { () throws(FormatsError) in
          try Self.forEachPart(of: UnsafeBufferPointer(rebasing: text[unit.range]), unit, name, body)
        }
      }.get()
    }
  }

  private static func forEachPart(
    of text: UnsafeBufferPointer<UInt8>, _ unit: Unit, _ path: String,
    _ body: (UnsafeBufferPointer<UInt8>, _ endsDocument: Bool) -> Void
  ) throws(FormatsError) {
    switch unit.form {
    case .text(let endsDocument): body(text, endsDocument)
    case .documents(let ranges): for range in ranges { body(UnsafeBufferPointer(rebasing: text[range]), true) }
    case .lines(let field):
      try JSONLines.forEachText(in: text, field: field, path: path, offset: unit.range.lowerBound) { body($0, true) }
    }
  }

  private static func units(of text: UnsafeBufferPointer<UInt8>, source: Int, lines field: String?) -> [Unit] {
    guard let field else {
      let ranges = TextChunks.ranges(of: text)
      return ranges.map {
        Unit(source: source, range: $0, form: .text(endsDocument: $0.upperBound == text.count))
      }
    }
    return JSONLines.chunks(of: text, size: TextChunks.standardSize).map {
      Unit(source: source, range: $0, form: .lines(field: field))
    }
  }

  private static func files(at path: String) throws -> [String] {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw FormatsError(.missing, "There is no file or folder '\(path)'; check the path.")
    }
    guard isFolder else { return [path] }
    var found: [String] = []
    try collect(path, depth: 0, into: &found)
    guard !found.isEmpty else {
      let known = (textExtensions.sorted() + lineExtensions.sorted()).map { "." + $0 }.joined(separator: ", ")
      throw FormatsError(.empty, "The folder '\(path)' holds no text; it needs files that end in \(known).")
    }
    return found
  }

  private static func collect(_ folder: String, depth: Int, into found: inout [String]) throws {
    let names: [String]
    do { names = try FileManager.default.contentsOfDirectory(atPath: folder) } catch {
      throw FormatsError(.file, "Cannot list the folder '\(folder)'; check its permissions.", cause: error)
    }
    for name in names.sorted() where !name.hasPrefix(".") {
      let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
      var isFolder = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { continue }
      if isFolder {
        // A link to a folder may lead in a circle.
        let type = try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
        if type != .typeSymbolicLink { try collect(path, depth: depth + 1, into: &found) }
      } else if textExtensions.union(lineExtensions).contains(pathExtension(name)) {
        found.append(path)
      }
    }
  }

  private static func pathExtension(_ path: String) -> String {
    let name = path.split(separator: "/").last ?? ""
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
    return name[name.index(after: dot)...].lowercased()
  }
}
