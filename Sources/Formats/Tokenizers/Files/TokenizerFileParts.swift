// The parts of a tokenizer.json around its model, from values to normalizers, pre-tokenizers, post-processors, decoders.
//
// Names and defaults are those of Hugging Face's `tokenizers` 0.23. A part that is not known is refused by its name.

internal import Core

enum TokenizerFileParts {
  static func type(_ part: JSONValue) -> String { part["type"]?.string ?? "none" }

  private static func unsupported(_ what: String) -> FormatsError {
    FormatsError(.unsupported, "It has \(what), which is not supported.")
  }

  private static func bytes(_ part: JSONValue, _ name: String) throws(FormatsError) -> [UInt8] {
    guard let text = part[name]?.string else {
      throw FormatsError(.malformed, "Its part \(type(part)) lacks the text '\(name)'.")
    }
    return Array(text.utf8)
  }

  private static func pattern(_ part: JSONValue) throws(FormatsError) -> TextPattern {
    if let literal = part["pattern"]?["String"]?.string { return .literal(Array(literal.utf8)) }
    guard let expression = part["pattern"]?["Regex"]?.string else {
      throw FormatsError(.malformed, "Its part \(type(part)) has neither a string nor an expression as pattern.")
    }
    return .expression(try Pattern(expression))
  }

  // MARK: Normalizers

  static func normalizer(_ part: JSONValue) throws(FormatsError) -> Normalizer? {
    if part == .null { return nil }
    switch type(part) {
    case "Sequence":
      var steps: [Normalizer] = []
      for step in part["normalizers"]?.array ?? [] { if let step = try normalizer(step) { steps.append(step) } }
      return steps.isEmpty ? nil : .sequence(steps)
    case "NFC", "NFD", "NFKC", "NFKD": return .unicode(UnicodeForm(rawValue: type(part))!)
    case "Lowercase": return .lowercase
    case "Strip": return .strip(left: part["strip_left"]?.bool ?? true, right: part["strip_right"]?.bool ?? true)
    case "StripAccents": return .stripAccents
    case "BertNormalizer":
      let lowercases = part["lowercase"]?.bool ?? true
      return .bert(
        BertNormalizer(
          cleansText: part["clean_text"]?.bool ?? true,
          separatesIdeographs: part["handle_chinese_chars"]?.bool ?? true,
          stripsAccents: part["strip_accents"]?.bool ?? lowercases, lowercases: lowercases))
    case "Replace": return .replace(try pattern(part), with: try bytes(part, "content"))
    case "Prepend": return .prepend(try bytes(part, "prepend"))
    case "Nmt": return .controls
    case "ByteLevel": return .byteLevel
    case "Precompiled":
      guard let text = part["precompiled_charsmap"]?.string else { return nil }
      guard let map = Array(text.utf8).withUnsafeBufferPointer({ Base64.decode($0) }) else {
        throw FormatsError(.malformed, "Its character map is not base64.")
      }
      return map.isEmpty ? nil : .map(try CharacterMap(map))
    default: throw unsupported("the normalizer \(type(part))")
    }
  }

  // MARK: Pre-tokenizers

  /// - Parameter spellsBytes: whether ByteLevel is to spell bytes, for a model that does not work on bytes itself.
  static func preTokenizer(_ part: JSONValue, spellsBytes: Bool) throws(FormatsError) -> PreTokenizer? {
    if part == .null { return nil }
    switch type(part) {
    case "Sequence":
      var steps: [PreTokenizer] = []
      for step in part["pretokenizers"]?.array ?? [] {
        if let step = try preTokenizer(step, spellsBytes: spellsBytes) { steps.append(step) }
      }
      return .sequence(steps)
    case "ByteLevel":
      return .byteLevel(
        addsSpace: part["add_prefix_space"]?.bool ?? true, splits: part["use_regex"]?.bool ?? true, spells: spellsBytes)
    case "Metaspace": return .metaspace(try metaspace(part))
    case "Whitespace": return .words
    case "WhitespaceSplit": return .characters(mask: CharacterClass.space, .removed)
    case "BertPreTokenizer": return .bert
    case "Digits":
      let isIndividual = part["individual_digits"]?.bool ?? false
      return .characters(mask: CharacterClass.number, isIndividual ? .isolated : .contiguous)
    case "Punctuation": return .characters(mask: CharacterClass.punctuation, try behavior(part))
    case "CharDelimiterSplit":
      guard let scalar = part["delimiter"]?.string?.unicodeScalars.first else {
        throw FormatsError(.malformed, "Its part CharDelimiterSplit lacks its delimiter.")
      }
      return .delimiter(scalar.value)
    case "FixedLength":
      guard let length = part["length"]?.integer, length > 0 else {
        throw FormatsError(.malformed, "Its part FixedLength lacks a length above 0.")
      }
      return .fixedLength(length)
    case "Split":
      let behavior = try behavior(part)
      let isInverted = part["invert"]?.bool ?? false
      if behavior == .isolated, let expression = part["pattern"]?["Regex"]?.string,
        let rule = SplitRule(pattern: expression)
      {
        return .rule(rule)
      }
      return .split(try pattern(part), behavior, isInverted: isInverted)
    default: throw unsupported("the pre-tokenizer \(type(part))")
    }
  }

  private static func behavior(_ part: JSONValue) throws(FormatsError) -> SplitBehavior {
    let name = part["behavior"]?.string ?? "Isolated"
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw unsupported("the behaviour \(name) of \(type(part))")
    }
    return behavior
  }

  private static func metaspace(_ part: JSONValue) throws(FormatsError) -> Metaspace {
    var metaspace = Metaspace()
    if let replacement = part["replacement"]?.string, !replacement.isEmpty {
      metaspace.replacement = Array(replacement.utf8)
    }
    if let scheme = part["prepend_scheme"]?.string {
      guard let prepends = Metaspace.Prepending(rawValue: scheme) else {
        throw unsupported("the scheme '\(scheme)' of Metaspace")
      }
      metaspace.prepends = prepends
    } else if part["add_prefix_space"]?.bool == false {
      metaspace.prepends = .never
    }
    metaspace.splits = part["split"]?.bool ?? true
    return metaspace
  }

  // MARK: Post-processors

  static func postProcessor(_ part: JSONValue) throws(FormatsError) -> PostProcessor {
    switch type(part) {
    case "none", "ByteLevel": return PostProcessor()
    case "Sequence":
      var processors: [PostProcessor] = []
      for step in part["processors"]?.array ?? [] { processors.append(try postProcessor(step)) }
      processors.removeAll { $0 == PostProcessor() }
      guard processors.count <= 1 else { throw unsupported("a sequence of two post-processors that add tokens") }
      return processors.first ?? PostProcessor()
    case "BertProcessing":
      let (begin, end) = (try special(part, "cls"), try special(part, "sep"))
      return PostProcessor(
        single: [.special(begin, type: 0), .first(type: 0), .special(end, type: 0)],
        pair: [
          .special(begin, type: 0), .first(type: 0), .special(end, type: 0), .second(type: 1), .special(end, type: 1),
        ])
    case "RobertaProcessing":
      let (begin, end) = (try special(part, "cls"), try special(part, "sep"))
      return PostProcessor(
        single: [.special(begin, type: 0), .first(type: 0), .special(end, type: 0)],
        pair: [
          .special(begin, type: 0), .first(type: 0), .special(end + end, type: 0), .second(type: 0),
          .special(end, type: 0),
        ])
    case "TemplateProcessing":
      return PostProcessor(single: try template(part, "single"), pair: try template(part, "pair"))
    default: throw unsupported("the post-processor \(type(part))")
    }
  }

  private static func special(_ part: JSONValue, _ name: String) throws(FormatsError) -> [Int32] {
    guard let entry = part[name]?.array, entry.count == 2, let token = entry[1].integer, token >= 0 else {
      throw FormatsError(.malformed, "The post-processor lacks its token '\(name)'.")
    }
    return [Int32(truncatingIfNeeded: token)]
  }

  private static func template(_ part: JSONValue, _ name: String) throws(FormatsError) -> [PostProcessor.Part] {
    var parts: [PostProcessor.Part] = []
    for piece in part[name]?.array ?? [] {
      if let sequence = piece["Sequence"] {
        let type = Int32(truncatingIfNeeded: sequence["type_id"]?.integer ?? 0)
        parts.append(sequence["id"]?.string == "B" ? .second(type: type) : .first(type: type))
      } else if let special = piece["SpecialToken"], let id = special["id"]?.string,
        let tokens = part["special_tokens"]?[id]?["ids"]?.array
      {
        let numbers = tokens.compactMap { $0.integer }.map { Int32(truncatingIfNeeded: $0) }
        parts.append(.special(numbers, type: Int32(truncatingIfNeeded: special["type_id"]?.integer ?? 0)))
      } else {
        throw FormatsError(.malformed, "The template '\(name)' of the post-processor names a token without number.")
      }
    }
    return parts
  }

  // MARK: Decoders

  static func decoder(_ part: JSONValue) throws(FormatsError) -> [DecodingStep] {
    switch type(part) {
    case "none": return [.spaced]
    case "Sequence":
      var steps: [DecodingStep] = []
      for step in part["decoders"]?.array ?? [] { steps += try decoder(step) }
      return steps
    case "ByteLevel": return [.byteLevel]
    case "Metaspace": return [.metaspace(try metaspace(part))]
    case "WordPiece":
      return [
        .wordPiece(prefix: Array((part["prefix"]?.string ?? "##").utf8), cleansUp: part["cleanup"]?.bool ?? true)
      ]
    case "BPEDecoder": return [.bytePairs(suffix: Array((part["suffix"]?.string ?? "</w>").utf8))]
    case "ByteFallback": return [.byteFallback]
    case "Fuse": return [.fuse]
    case "Strip":
      return [
        .strip(
          content: try bytes(part, "content"), start: part["start"]?.integer ?? 0, stop: part["stop"]?.integer ?? 0)
      ]
    case "Replace": return [.replace(try pattern(part), with: try bytes(part, "content"))]
    case "CTC":
      return [
        .connectionist(
          padding: Array((part["pad_token"]?.string ?? "<pad>").utf8),
          delimiter: Array((part["word_delimiter_token"]?.string ?? "|").utf8),
          cleansUp: part["cleanup"]?.bool ?? true)
      ]
    default: throw unsupported("the decoder \(type(part))")
    }
  }
}
