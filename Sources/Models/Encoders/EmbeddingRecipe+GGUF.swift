// What a GGUF file says of a text's vector: `pooling_type`. That vectors have the length 1 it does not say; llama.cpp makes them
// so unless it is asked not to, and so does this package.

internal import Core
internal import Formats
internal import FoundationEssentials

extension EmbeddingRecipe {
  /// ggml's numbers.
  private static let ggufPoolings: [Int: Pooling] = [1: .mean, 2: .cls, 3: .last]

  /// The mean where a file does not say.
  init(_ file: GGUFFile, _ architecture: GGUFArchitecture) throws(ModelError) {
    steps = [.normalize]
    guard let number = file.metadata["\(architecture.name).pooling_type"]?.integer, number != 0 else { return }
    guard let pooling = Self.ggufPoolings[number] else {
      throw ModelError(
        .unsupported,
        "'\(file.path)' has the pooling type \(number); known are 1 (mean), 2 (first token) and 3 (last token).")
    }
    poolings = [pooling]
  }

  /// The number for a folder's recipe.
  func ggufPooling(_ folder: String) throws(ModelError) -> UInt32 {
    let number = Self.ggufPoolings.first { [$0.value] == poolings }?.key
    let isPlain = steps.allSatisfy { if case .normalize = $0 { true } else { false } }
    guard let number, isPlain, includesPrompt, usualPrompt.isEmpty else {
      throw ModelError(
        .unsupported,
        "A GGUF file cannot say how '\(folder)' makes vectors: it knows the mean, the first or the last state, no Dense "
          + "module and no usual prompt.")
    }
    return UInt32(number)
  }

  /// The files of sentence-transformers for an encoder of a GGUF file, if that says how vectors are made.
  static func writeModules(of file: GGUFFile, to folder: String) throws {
    let recipe = try EmbeddingRecipe(file, GGUFArchitecture.of(file))
    func module(_ number: Int, _ type: String, _ path: String) -> JSONValue {
      [
        "idx": .integer(number), "name": .string("\(number)"), "path": .string(path),
        "type": .string("sentence_transformers.models.\(type)"),
      ]
    }
    let modules: JSONValue = [
      module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling"), module(2, "Normalize", "2_Normalize"),
    ]
    let pooling: JSONValue = [
      "word_embedding_dimension": .integer(file.tensor("token_embd.weight")?.shape.last ?? 0),
      "pooling_mode_cls_token": .bool(recipe.poolings == [.cls]),
      "pooling_mode_mean_tokens": .bool(recipe.poolings == [.mean]),
      "pooling_mode_lasttoken": .bool(recipe.poolings == [.last]),
    ]
    try AtomicFile.write(modules.json + "\n", to: folder + "/modules.json")
    for name in ["1_Pooling", "2_Normalize"] {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
    }
    try AtomicFile.write(pooling.json + "\n", to: folder + "/1_Pooling/config.json")
  }
}
