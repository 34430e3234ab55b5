// How the texts of byte-level BPE tokenizers in GGUF files are cut: the file only names the way (`tokenizer.ggml.pre`).
//
// The names and expressions are llama.cpp's, which takes them from the models' own tokenizer.json; each expression cuts
// the pieces of the one before.

/// What a name in `tokenizer.ggml.pre` stands for.
struct GGUFTextSplit {
  var steps: [PreTokenizer]
  /// Whether a piece that is a token as a whole is that token.
  var takesWholePieces = false
  /// Whether a begin token is customary where the file does not say.
  var addsBegin = false
  /// Whether bytes are spelled by `ByteAlphabet`; if not, spaces are U+2581, as in SentencePiece.
  var isByteLevel = true

  private static let o200kWords =
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
  private static let o200kCapitals =
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
  private static let contractions = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
  private static let gpt4Rest = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let asian = "[一-龥぀-ゟ゠-ヿ]+"
  private static let deepSeek3 =
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"##
    + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let kimi =
    #"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"#
    + #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+\#(contractions)?"#
    + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"#
    + #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*\#(contractions)?|\p{N}{1,3}"# + gpt4Rest
  /// Cased letters without those of other scripts, as DeepSeek's first models write them down.
  private static let deepSeekLetters =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-"
    + "\u{1F7D}ᾀ-ᾴᾶ-ᾼ\u{1FBE}ῂ-ῄῆ-ῌῐ-\u{1FD3}ῖ-\u{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-"
    + "ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"

  static func named(_ name: String) throws(FormatsError) -> GGUFTextSplit {
    var patterns: [String] = []
    switch name {
    case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
      return GGUFTextSplit(steps: [.rule(.llama3)], takesWholePieces: true, addsBegin: true)
    case "dbrx", "smaug-bpe", "chatglm-bpe": return GGUFTextSplit(steps: [.rule(.llama3)])
    case "glm4", "glm5": return GGUFTextSplit(steps: [.rule(.llama3)], takesWholePieces: true)
    case "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2":
      return GGUFTextSplit(steps: [.rule(.qwen2)])
    case "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code",
      "roberta-bpe", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo", "jais", "trillion", "granite-docling",
      "exaone4":
      return GGUFTextSplit(steps: [.rule(.gpt2)])
    case "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2":
      return GGUFTextSplit(steps: [try step(#"\p{N}"#), .rule(.gpt2)])
    case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2": return GGUFTextSplit(steps: [.rule(.o200k)])
    case "falcon":
      return GGUFTextSplit(
        steps: [try step(#"[\p{P}\$\+<=>\^~\|`]+"#), .rule(.gpt2), try step("[0-9][0-9][0-9]")])
    case "default", "":
      return GGUFTextSplit(
        steps: [
          try step(#"[\p{P}\$\+<=>\^~\|]+"#), .rule(.gpt2), try step(#"\p{N}+"#), try step("[0-9][0-9][0-9]"),
        ])
    case "tekken":
      patterns = [
        "\(o200kWords)|\(o200kCapitals)" + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
      ]
      return GGUFTextSplit(steps: try patterns.steps(), takesWholePieces: true, addsBegin: true)
    case "deepseek-llm":
      patterns = [
        "[\r\n]", #"\s?[\#(deepSeekLetters)]+"#, #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, #"\s+$"#, "[一-龥ࠀ-一가-퟿]+",
        #"\p{N}+"#,
      ]
    case "deepseek-coder": patterns = ["[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}"#]
    case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4": patterns = [#"\p{N}{1,3}"#, asian, deepSeek3]
    case "qwen35":
      patterns = [
        contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
          + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
      ]
    case "poro-chat", "bloom", "gpt3-finnish": patterns = [#" ?[^(\s|.,!?…。，、।۔،)]+"#]
    case "viking": patterns = [#" ?[^(\s|.,!?…。，、।۔،)]+"#, #"\p{N}"#]
    case "kimi-k2": patterns = [kimi]
    case "superbpe": patterns = [#"\p{N}+"#, #"(?=(\d{3})+(?!\d))"#]
    case "bailingmoe", "bailingmoe2", "llada-moe":
      patterns = [
        #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
      ]
    case "seed-coder":
      patterns = [
        contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"#
      ]
    case "gemma4": return GGUFTextSplit(steps: [try step(#"[^\n]+|[\n]+"#)], isByteLevel: false)
    default:
      throw FormatsError(
        .unsupported,
        "Its texts are cut by '\(name)' (tokenizer.ggml.pre), which is not known. Use the model's tokenizer.json instead."
      )
    }
    return GGUFTextSplit(steps: try patterns.steps())
  }

  fileprivate static func step(_ pattern: String) throws(FormatsError) -> PreTokenizer {
    .split(.expression(try Pattern(pattern)), .isolated, isInverted: false)
  }
}

extension [String] {
  fileprivate func steps() throws(FormatsError) -> [PreTokenizer] {
    var steps: [PreTokenizer] = []
    for pattern in self { steps.append(try GGUFTextSplit.step(pattern)) }
    return steps
  }
}
