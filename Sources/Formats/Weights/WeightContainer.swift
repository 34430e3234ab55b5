// The two containers in which people keep weights, told apart by what they hold rather than by their names.

internal import Core
internal import FoundationEssentials

/// Opened weights of either kind.
package enum WeightContainer: Sendable {
  case safetensors(WeightFiles)
  case gguf(GGUFFile)

  /// Opens a weights file, an index of safetensors, or a folder that holds either kind; throws `FormatsError`.
  package init(path: String) throws {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw FormatsError(.missing, "There are no weights at '\(path)'; check the path.")
    }
    if isFolder {
      self = try Self.inFolder(path)
    } else if try Self.isGGUF(path) {
      self = .gguf(try GGUFFile(path: path))
    } else {
      self = .safetensors(try WeightFiles(path: path))
    }
  }

  private static func inFolder(_ path: String) throws -> WeightContainer {
    if WeightFiles.isIn(folder: path) { return .safetensors(try WeightFiles(path: path)) }
    let names = try FileManager.default.contentsOfDirectory(atPath: path).filter(\.namesGGUF).sorted()
    // Of a model in parts only the first is looked at.
    let models = names.filter { name in !isLaterPart(name) }
    switch models.count {
    case 0:
      throw FormatsError(
        .missing, "The folder '\(path)' holds neither safetensors (model.safetensors or its index) nor a .gguf file.")
    case 1: return .gguf(try GGUFFile(path: "\(path)/\(models[0])"))
    default:
      throw FormatsError(
        .malformed, "The folder '\(path)' holds several models: \(models.joined(separator: ", ")). Name one of them.")
    }
  }

  /// Whether a name ends like `-00002-of-00003.gguf`, but not in 1.
  private static func isLaterPart(_ name: String) -> Bool {
    let words = name.dropLast(".gguf".count).split(separator: "-", omittingEmptySubsequences: false).suffix(3)
    guard words.count == 3, words[words.startIndex + 1] == "of", let number = Int(words[words.startIndex]),
      Int(words[words.startIndex + 2]) != nil
    else { return false }
    return number > 1
  }

  private static func isGGUF(_ path: String) throws -> Bool {
    try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
      .withBytes { $0.starts(with: "GGUF".utf8) }
  }
}

extension String {
  /// Whether a file of this name is a GGUF file.
  package var namesGGUF: Bool { lowercased().hasSuffix(".gguf") }
}
