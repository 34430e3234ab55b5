// Reading a tokenizer, whatever it is stored as, and writing tokenizer.json, the format of Hugging Face's `tokenizers`.

internal import Core
internal import FoundationEssentials

/// Reads tokenizers of all kinds; writes tokenizer.json.
public enum TokenizerFile {
  /// The pattern that takes a text apart into single characters.
  static let characterPattern = #"[\s\S]"#

  /// Files of a folder that may hold its tokenizer, the best first.
  private static let names = ["tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"]

  /// Reads the tokenizer of a file, or of a model's folder.
  ///
  /// A tokenizer.json, a SentencePiece `.model`, a `.tiktoken` file or a GGUF file; in a folder, the first of these that
  /// is there. The files beside a tokenizer.json (tokenizer_config.json and the like) tell the roles of its tokens.
  /// - Parameter splitRule: how a `.tiktoken` file's text is cut, which it does not say itself; nil: by its name.
  public static func read(path: String, splitRule: SplitRule? = nil) throws(FormatsError) -> any Tokenizer {
    let path = try file(at: path)
    do throws(FormatsError) {
      if path.hasSuffix(".tiktoken") { return try TiktokenFile.read(path: path, named: splitRule) }
      if path.hasSuffix(".gguf") { return try GGUFTokenizer.read(metadata: GGUFFile(path: path).metadata) }
      let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
      if path.hasSuffix(".model") {
        if TiktokenFile.isOne(file.text) { return try TiktokenFile.read(path: path, named: splitRule ?? .llama3) }
        return try SentencePieceFile(file.text).tokenizer()
      }
      let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
      return try TokenizerFileContents(file.text).tokenizer(NamedRoles(folder: folder), file)
    } catch {
      throw FormatsError(error.code, "Cannot use the tokenizer '\(path)': \(error.message)", cause: error)
    }
  }

  private static func file(at path: String) throws(FormatsError) -> String {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw FormatsError(.missing, "There is no tokenizer at '\(path)'.")
    }
    if !isFolder { return path }
    let contents = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    let found =
      names.first { contents.contains($0) } ?? contents.first { $0.hasSuffix(".tiktoken") }
      ?? contents.first { $0.hasSuffix(".gguf") }
    guard let found else {
      throw FormatsError(
        .missing, "The folder '\(path)' has no tokenizer: \(names.joined(separator: ", ")), *.tiktoken or *.gguf.")
    }
    return path + "/" + found
  }

  /// Writes a tokenizer so that this library and Hugging Face's read it and encode alike.
  public static func write(_ tokenizer: any Tokenizer, to path: String) throws(FormatsError) {
    let json: [UInt8]
    switch tokenizer {
    case let tokenizer as BytePairEncoding: json = try TokenizerFileText.text(of: tokenizer)
    case let tokenizer as CharacterTokenizer: json = TokenizerFileText.text(of: tokenizer)
    case let tokenizer as PipelineTokenizer where tokenizer.source != nil: json = Array(tokenizer.source!.text)
    default:
      throw FormatsError(.unsupported, "A tokenizer that was not read from a tokenizer.json cannot be written as one.")
    }
    try FormatsError.wrappingFile { () throws(FileError) in
      let file = try AtomicFile(path: path)
      try file.write(json)
      try file.commit()
    }
  }

  /// Writes the tokenizer_config.json that makes `transformers` load the tokenizer.json beside it.
  public static func writeConfiguration(_ tokenizer: any Tokenizer, to path: String) throws(FormatsError) {
    var members = [#""tokenizer_class": "PreTrainedTokenizerFast""#, #""clean_up_tokenization_spaces": false"#]
    if let end = tokenizer.endOfText, let spelling = tokenizer.specialTokens.first(where: { $0.value == end })?.key {
      members.append("\"eos_token\": \(JSONText.string(spelling))")
    }
    if tokenizer is CharacterTokenizer {
      members.append("\"unk_token\": \(JSONText.string(CharacterTokenizer.unknownSpelling))")
    }
    let text = "{\n  " + members.joined(separator: ",\n  ") + "\n}\n"
    try FormatsError.wrappingFile { () throws(FileError) in try AtomicFile.write(text, to: path) }
  }
}
