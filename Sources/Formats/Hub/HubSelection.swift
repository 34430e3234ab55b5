// Which of a model's files are wanted.
//
// What this program reads is safetensors with the small files beside it, or one GGUF file that holds everything. Many
// models keep the same weights in several forms; a default that takes them all would download them several times.

/// A choice among the files of a model.
public struct HubSelection: Sendable {
  /// Patterns (`*`, `?`, `[...]`) of the files to take, instead of those that this program reads.
  public var include: [String]
  /// Patterns of files to leave out.
  public var exclude: [String]
  /// The path of one file; the other parts of a split GGUF file come with it.
  public var file: String?

  public init(include: [String] = [], exclude: [String] = [], file: String? = nil) {
    self.include = include
    self.exclude = exclude
    self.file = file
  }

  /// The chosen files of a snapshot, at least one. Throws `FormatsError.Code.setting` with what there is to choose from.
  package func files(of snapshot: HubSnapshot, model: HubModel) throws(FormatsError) -> [HubFile] {
    var chosen: [HubFile]
    if let file {
      guard let found = snapshot.files.first(where: { $0.path == file }) else {
        throw FormatsError(.setting, "\(model.name) has no file \(quoted(file)). \(Self.offer(snapshot.files))")
      }
      chosen = Self.parts(of: found, in: snapshot.files)
    } else if let tag = model.tag {
      chosen = try Self.ggufFiles(tag, in: snapshot.files, model)
    } else if !include.isEmpty {
      let patterns = include.map(GlobPattern.init)
      chosen = snapshot.files.filter { file in patterns.contains { $0.matches(file.path) } }
    } else {
      chosen = try Self.readable(snapshot.files, model)
    }
    let excluded = exclude.map(GlobPattern.init)
    chosen.removeAll { file in excluded.contains { $0.matches(file.path) } }
    guard !chosen.isEmpty else {
      throw FormatsError(
        .setting,
        "None of the \(snapshot.files.count) files of \(model.name) is chosen by "
          + (include.isEmpty && exclude.isEmpty ? "default; use --include" : "--include and --exclude")
          + ". \(Self.offer(snapshot.files))")
    }
    return chosen
  }

  /// What this program reads of a folder.
  private static func readable(_ files: [HubFile], _ model: HubModel) throws(FormatsError) -> [HubFile] {
    let weights = weights(files)
    let ggufs = files.filter { $0.path.namesGGUF }
    if weights.isEmpty, !ggufs.isEmpty {
      let wholes = ggufs.filter { !isProjector($0) && (splitStem($0).map { $0.part == 1 } ?? true) }
      guard wholes.count == 1 else {
        throw FormatsError(
          .setting,
          "\(model.name) holds \(wholes.count) GGUF files; choose one by its tag (\(model.name):Q4_K_M) or by --file. "
            + offer(wholes))
      }
      return parts(of: wholes[0], in: files)
    }
    let suffixes = [".json", ".jinja", ".model", ".tiktoken"]
    return weights + files.filter { file in suffixes.contains { file.path.hasSuffix($0) } }
  }

  /// The safetensors files of the uppermost folder: those of `model.safetensors` or its index if they are there, without other
  /// forms of the same weights (`model.fp16.safetensors`, `consolidated.safetensors`); and modules in numbered folders, such as
  /// `2_Dense`.
  private static func weights(_ files: [HubFile]) -> [HubFile] {
    let all = files.filter { $0.path.hasSuffix(".safetensors") }
    let upper = all.filter { !$0.path.contains("/") }
    let modules = all.filter { $0.path.first?.isNumber == true && $0.path.split(separator: "/").count == 2 }
    let shards = upper.filter { GlobPattern("model-?????-of-?????.safetensors").matches($0.path) }
    let whole = upper.filter { $0.path == WeightFiles.singleName }
    let hasIndex = files.contains { $0.path == WeightFiles.indexName }
    let best = !whole.isEmpty ? whole : hasIndex && !shards.isEmpty ? shards : upper
    return best + modules
  }

  /// The GGUF file whose name has the tag as a word of its own.
  private static func ggufFiles(_ tag: String, in files: [HubFile], _ model: HubModel) throws(FormatsError) -> [HubFile]
  {
    let ggufs = files.filter { $0.path.namesGGUF && !isProjector($0) }
    let matching = ggufs.filter { hasWord(tag, in: $0) }
    let wholes = matching.filter { splitStem($0).map { $0.part == 1 } ?? true }
    guard wholes.count == 1 else {
      let found = wholes.isEmpty ? "no GGUF file" : "\(wholes.count) GGUF files"
      throw FormatsError(
        .setting,
        "\(model.name) has \(found) with \(quoted(tag)) in the name; choose one by --file. "
          + offer(wholes.isEmpty ? ggufs : wholes))
    }
    return parts(of: wholes[0], in: files)
  }

  /// Whether `tag` stands in the file's name between a separator and a dot or dash (so that `Q4_K` is not `Q4_K_M`).
  private static func hasWord(_ tag: String, in file: HubFile) -> Bool {
    let name = Array(file.path.split(separator: "/").last!.lowercased().utf8)
    let word = Array(tag.lowercased().utf8)
    return name.indices.contains { start in
      let end = start + word.count
      guard end < name.count, name[start..<end].elementsEqual(word), ".-".utf8.contains(name[end]) else { return false }
      return start == 0 || "._-".utf8.contains(name[start - 1])
    }
  }

  /// The vision parts that some models keep beside the language model.
  private static func isProjector(_ file: HubFile) -> Bool {
    file.path.split(separator: "/").last!.lowercased().hasPrefix("mmproj")
  }

  /// A file and, if it is one part of a split GGUF file (`name-00001-of-00003.gguf`), all others.
  private static func parts(of file: HubFile, in files: [HubFile]) -> [HubFile] {
    guard let split = splitStem(file) else { return [file] }
    return files.filter { other in splitStem(other).map { $0.stem == split.stem && $0.count == split.count } ?? false }
  }

  private static func splitStem(_ file: HubFile) -> (stem: Substring, part: Int, count: Int)? {
    guard GlobPattern("*-?????-of-?????.gguf").matches(file.path) else { return nil }
    let name = file.path.dropLast(".gguf".count)
    guard let count = Int(name.suffix(5)), let part = Int(name.dropLast("-of-00000".count).suffix(5)) else {
      return nil
    }
    return (name.dropLast("-00000-of-00000".count), part, count)
  }

  private static func offer(_ files: [HubFile]) -> String {
    let names = files.prefix(30).map { quoted($0.path) }.joined(separator: ", ")
    return files.isEmpty ? "It has no files." : "There are: \(names)" + (files.count > 30 ? ", and others." : ".")
  }
}
