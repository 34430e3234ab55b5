// Reading a tokenizer, whatever it is stored as, and writing tokenizer.json, the format of Hugging Face's `tokenizers`.

internal import Core
internal import FoundationEssentials

/// Reads tokenizers of all kinds; writes tokenizer.json.
public enum TokenizerFile {
  /// The pattern that takes a text apart into single characters.
  static let characterPattern = #"[\s\S]"#

  /// Files of a folder that may hold its tokenizer, the best first.
  private static let names = [
    "tokenizer.json", "tekken.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model",
    "vocab.json", "vocab.txt",
  ]

  /// Reads the tokenizer of a file, or of a model's folder.
  ///
  /// A tokenizer.json, Mistral's tekken.json, a SentencePiece `.model`, a `.tiktoken` file, vocab.json with merges.txt,
  /// vocab.txt or a GGUF file; in a folder, the first of these that is there. The files beside it (tokenizer_config.json
  /// and the like) tell the roles of tokens, and what a vocabulary alone does not say.
  /// - Parameter splitRule: how a `.tiktoken` file's text is cut, which it does not say itself; nil: by its name.
  public static func read(path: String, splitRule: SplitRule? = nil) throws(FormatsError) -> any Tokenizer {
    let path = try file(at: path)
    do throws(FormatsError) {
      if path.hasSuffix(".tiktoken") { return try TiktokenFile.read(path: path, named: splitRule) }
      if path.namesGGUF { return try GGUFTokenizer.read(metadata: GGUFFile(path: path).metadata) }
      let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
      if path.hasSuffix("vocab.txt") || path.hasSuffix("vocab.json") {
        return try vocabulary(VocabularyFiles(folder: folder), folder, isWordPiece: path.hasSuffix(".txt"))
      }
      let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
      if path.hasSuffix(".model") {
        if TiktokenFile.isOne(file.text) { return try TiktokenFile.read(path: path, named: splitRule) }
        return try SentencePieceFile(file.text).tokenizer()
      }
      if path.hasSuffix("tekken.json") { return try TekkenFile(file.text).tokenizer() }
      return try TokenizerFileContents(file.text).tokenizer(NamedRoles(folder: folder)) { Array(file.text) }
    } catch {
      throw FormatsError(error.code, "Cannot use the tokenizer '\(path)': \(error.message)", cause: error)
    }
  }

  private static func vocabulary(
    _ files: VocabularyFiles, _ folder: String, isWordPiece: Bool
  ) throws(FormatsError) -> any Tokenizer {
    let text = isWordPiece ? try files.wordPieces() : try files.bytePairs()
    var roles = try NamedRoles(folder: folder)
    roles.fill(files.defaults)
    let contents = try text.withUnsafeBufferPointer { (text) throws(FormatsError) in try TokenizerFileContents(text) }
    return try contents.tokenizer(roles) { text }
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
      ?? contents.first(where: \.namesGGUF)
    guard let found else {
      throw FormatsError(
        .missing, "The folder '\(path)' has no tokenizer: \(names.joined(separator: ", ")), *.tiktoken or *.gguf.")
    }
    return path + "/" + found
  }

  private static var unwritable: FormatsError {
    FormatsError(.unsupported, "A tokenizer that was not read from a tokenizer.json cannot be written as one.")
  }

  /// Writes a tokenizer so that this library and Hugging Face's read it and encode alike.
  public static func write(_ tokenizer: any Tokenizer, to path: String) throws(FormatsError) {
    let json: [UInt8]
    switch tokenizer {
    case let tokenizer as BytePairEncoding: json = try TokenizerFileText.text(of: tokenizer)
    case let tokenizer as CharacterTokenizer: json = TokenizerFileText.text(of: tokenizer)
    case let tokenizer as PipelineTokenizer:
      guard let source = tokenizer.source else { throw unwritable }
      json = source
    default: throw unwritable
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
