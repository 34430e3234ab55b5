import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Tensors
import Training

/// A model that a command was pointed at: a run's folder (its newest checkpoint), a checkpoint, any folder with config.json, or
/// a GGUF file.
struct LoadedModel {
  let pretrained: PretrainedModel
  let tokenizer: any Tokenizer

  var model: any LanguageModel { pretrained.model }
  /// The tokens that end a text.
  var ends: Set<Int32> {
    pretrained.endTokens.isEmpty ? Set([tokenizer.endOfText].compactMap(\.self)) : pretrained.endTokens
  }

  init(path: String) throws {
    pretrained = try PretrainedModel(path: LoadedModel.resolve(path))
    tokenizer = try pretrained.tokenizer()
    guard tokenizer.vocabularySize <= model.vocabulary else {
      throw CommandError(
        "The tokenizer in \(pretrained.path) has \(tokenizer.vocabularySize) tokens, but the model knows only "
          + "\(model.vocabulary): they do not belong together.")
    }
  }

  /// A prompt and what the model makes of it, computed with the default backend.
  func continuation(of prompt: String, tokens: Int, temperature: Double) throws -> String {
    let generator = try Generator(pretrained, backend: DefaultBackend.current)
    var sampler = Sampler(SamplingConfiguration(temperature: temperature), ends: ends)
    let start = tokenizer.encode(prompt, addingSpecials: true)
    var decoder = StreamingDecoder(tokenizer, skippingSpecials: true, after: start)
    var text = prompt
    try generator.generate(start, count: tokens, sampler: &sampler) { choice in
      text += decoder.push(choice.token)
      return true
    }
    return text + decoder.finish()
  }

  /// The tokens of all texts at a path: a text file, a JSONL file, or a folder of such.
  func tokens(of path: String) throws -> [Int32] {
    let cache =
      FileManager.default.temporaryDirectory.path + "/tachornis-tokens-\(ProcessInfo.processInfo.processIdentifier)"
    defer { try? FileManager.default.removeItem(atPath: cache) }
    let dataset = try TokenDataset.prepare(
      Corpus(path: path), tokenizer: tokenizer, cacheDirectory: cache, validationFraction: 0)
    var text = [Int32](repeating: 0, count: dataset.training.count)
    text.withUnsafeMutableBufferPointer { if $0.count > 0 { dataset.copy(dataset.training, to: $0.baseAddress!) } }
    return text
  }

  /// Of a run's folder, its newest checkpoint.
  static func resolve(_ path: String) throws -> String {
    let files = FileManager.default
    guard files.fileExists(atPath: path) else {
      throw CommandError(
        "There is no '\(path)'. Give a run's folder, a folder with config.json or a .gguf file.")
    }
    if path.namesGGUF || files.fileExists(atPath: path + "/config.json") { return path }
    let newest = CheckpointFolder(run: path).newest { Failure.writeError("warning: \($0)\n") }
    guard let newest else {
      throw CommandError(
        "'\(path)' holds neither config.json nor a finished checkpoint. Give a run's folder after its first "
          + "checkpoint, or a folder with config.json, model.safetensors and tokenizer.json.")
    }
    return newest.path
  }
}

/// A command that cannot do what it was asked.
struct CommandError: CodedError {
  enum Code { case refused }
  let code = Code.refused
  let message: String
  init(_ message: String) { self.message = message }
}
