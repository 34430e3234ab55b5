// The parts of a tokenizer.json as they stand there, for going from one file format to another without understanding all of it.

internal import Core
internal import Formats

/// A tokenizer.json of BPE or WordPiece.
struct TokenizerParts {
  var vocabulary: [(token: String, number: Int)] = []
  var merges: [(left: String, right: String)] = []
  /// The other members of the model.
  var model: [String: JSONValue] = [:]
  var added: [JSONValue] = []
  var normalizer = JSONValue.null
  var preTokenizer = JSONValue.null
  var postProcessor = JSONValue.null

  /// Throws `ModelError` if the file is missing or malformed.
  init(path: String) throws(ModelError) {
    do {
      let file = try MappedFile(path: path)
      var reader = JSONReader(file.text)
      var parts = TokenizerParts()
      try parts.read(&reader)
      try reader.end()
      withExtendedLifetime(file) {}
      self = parts
    } catch {
      throw ModelError(
        .cannotRead, "Cannot read '\(path)', which a GGUF file needs. Save it with `transformers`.",
        cause: error)
    }
  }

  private init() {}

  private mutating func read(_ reader: inout JSONReader) throws(FormatsError) {
    var parts = self
    try reader.object { (reader, name) throws(FormatsError) in
      switch name {
      case "model": try parts.readModel(&reader)
      case "added_tokens": parts.added = try reader.value().array ?? []
      case "normalizer": parts.normalizer = try reader.value()
      case "pre_tokenizer": parts.preTokenizer = try reader.value()
      case "post_processor": parts.postProcessor = try reader.value()
      default: try reader.skip()
      }
    }
    self = parts
  }

  private mutating func readModel(_ reader: inout JSONReader) throws(FormatsError) {
    var parts = self
    try reader.object { (reader, name) throws(FormatsError) in
      switch name {
      // Unigram has an array there.
      case "vocab" where try reader.kind() == .object:
        try reader.object { (reader, token) throws(FormatsError) in
          parts.vocabulary.append((token, try reader.integer()))
        }
      case "merges": try reader.array { (reader) throws(FormatsError) in parts.merges.append(try Self.merge(&reader)) }
      default: parts.model[name] = try reader.value()
      }
    }
    self = parts
  }

  /// `["a", "b"]`, in older files `"a b"`.
  private static func merge(_ reader: inout JSONReader) throws(FormatsError) -> (left: String, right: String) {
    let merge = try reader.value()
    if let halves = merge.array, halves.count == 2, let left = halves[0].string, let right = halves[1].string {
      return (left, right)
    }
    guard let text = merge.string, let space = text.unicodeScalars.firstIndex(of: " ") else {
      throw reader.error("a merge has not two halves")
    }
    return (String(text[..<space]), String(text[text.unicodeScalars.index(after: space)...]))
  }
}
