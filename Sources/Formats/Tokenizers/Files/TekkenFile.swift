// Mistral's tekken.json: byte strings with ranks, as tiktoken has them, the expression that cuts texts, and special tokens,
// whose numbers come before those of the ranks.

internal import Core

struct TekkenFile {
  private var pattern: String?
  private var size: Int?
  private var specialCount: Int?
  private var tokens: [[UInt8]] = []
  private var specials: [Int: String] = [:]

  /// The special tokens of files of the first versions, which do not list them.
  private static let usualSpecials = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
  ]

  init(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var reader = JSONReader(text)
    var file = TekkenFile()
    var buffer: [UInt8] = []
    try reader.object { (reader, name) throws(FormatsError) in
      switch name {
      case "config":
        let config = try reader.value()
        file.pattern = config["pattern"]?.string
        file.size = config["default_vocab_size"]?.integer
        file.specialCount = config["default_num_special_tokens"]?.integer
      case "vocab":
        try reader.array { (reader) throws(FormatsError) in
          var bytes: [UInt8]?
          var rank: Int?
          try reader.object { (reader, name) throws(FormatsError) in
            switch name {
            case "rank": rank = try reader.integer()
            case "token_bytes":
              buffer.removeAll(keepingCapacity: true)
              if let range = try reader.stringBytes(into: &buffer) {
                bytes = Base64.decode(UnsafeBufferPointer(rebasing: text[range]))
              } else {
                bytes = buffer.withUnsafeBufferPointer { Base64.decode($0) }
              }
            default: try reader.skip()
            }
          }
          guard let bytes, rank == file.tokens.count else {
            throw reader.error("token \(file.tokens.count) lacks its rank or its bytes in base64")
          }
          file.tokens.append(bytes)
        }
      case "special_tokens":
        if try reader.null() { return }
        for special in try reader.value().array ?? [] {
          guard let rank = special["rank"]?.integer, let spelling = special["token_str"]?.string else {
            throw FormatsError(.malformed, "A special token lacks its \"rank\" or \"token_str\".")
          }
          file.specials[rank] = spelling
        }
      default: try reader.skip()
      }
    }
    try reader.end()
    self = file
  }

  private init() {}

  func tokenizer() throws(FormatsError) -> PipelineTokenizer {
    guard let pattern, let size, let count = specialCount, count >= 0, count <= size,
      size < TokenizerFileContents.maximumToken, !tokens.isEmpty,
      size - count <= tokens.count
    else {
      throw FormatsError(
        .malformed, "Its configuration lacks the pattern or the numbers of tokens, or it has fewer tokens than it says."
      )
    }
    var spellings = specials
    if spellings.isEmpty {
      for (number, spelling) in Self.usualSpecials.enumerated() where number < count { spellings[number] = spelling }
    }
    guard spellings.keys.allSatisfy({ (0..<count).contains($0) }) else {
      throw FormatsError(.malformed, "A special token has a rank outside 0..<\(count).")
    }
    let added = (0..<count).map { number in
      AddedToken(spelling: Array((spellings[number] ?? "<SPECIAL_\(number)>").utf8), token: Int32(number))
    }
    let numbers = Dictionary(spellings.map { ($0.value, Int32($0.key)) }, uniquingKeysWith: { first, _ in first })
    var roles = TokenRoles()
    roles.beginOfText = numbers["<s>"]
    roles.endOfText = numbers["</s>"]
    roles.unknown = numbers["<unk>"]
    roles.padding = numbers["<pad>"]
    roles.endOfAnswer = Set(roles.endOfText.map { [$0] } ?? [])
    let holes = [[UInt8]](repeating: [], count: count)
    return try PipelineTokenizer(
      ranks: holes + tokens[..<(size - count)], steps: [PipelineTokenizer.cut(pattern)], added: added, roles: roles,
      addsBegin: true)
  }
}

extension PipelineTokenizer {
  /// A text in the pieces that match an expression.
  static func cut(_ pattern: String) throws(FormatsError) -> PreTokenizer {
    if let rule = SplitRule(pattern: pattern) { return .rule(rule) }
    return .split(.expression(try Pattern(pattern)), .isolated, isInverted: false)
  }

  /// Tokens with ranks, which are their numbers, and how texts are cut: what tiktoken's encodings are.
  convenience init(
    ranks tokens: [[UInt8]], steps: [PreTokenizer], added: [AddedToken], roles: TokenRoles, addsBegin: Bool
  ) throws(FormatsError) {
    let model = try ByteLevelModel(table: TokenTable(tokens), merges: .vocabulary)
    guard model.isComplete else {
      throw FormatsError(.malformed, "Not every byte is a token; a byte-level vocabulary needs all 256.")
    }
    var parts = Parts(
      added: added, preTokenizer: .sequence(steps), model: model,
      postProcessor: PostProcessor(before: addsBegin ? roles.beginOfText.map { [$0] } ?? [] : []),
      decoding: .chain([.byteLevel]), spellings: tokens.map { Array(ByteAlphabet.encode($0).utf8) })
    parts.roles = roles
    self.init(parts)
  }
}
