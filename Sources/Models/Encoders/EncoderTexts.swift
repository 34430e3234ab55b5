// From texts to what an encoder takes: tokens with the special tokens of the model around them, cut to the length that it
// was made for.
//
// Invariant: special tokens are never cut off, and their spelling in a text is ordinary text.

internal import Core
package import Formats

/// Turns texts and pairs of texts into tokens.
package struct EncoderTexts: Sendable {
  package let tokenizer: any Tokenizer
  /// The most tokens of a text, special ones included.
  package let limit: Int
  /// Whether texts are made lower case first.
  let lowercases: Bool

  /// - Parameter limit: nil: as the model's files say.
  init(_ model: PretrainedEncoder, limit: Int? = nil) throws(ModelError) {
    tokenizer = try model.tokenizer()
    guard tokenizer.vocabularySize <= model.encoder.vocabulary else {
      throw ModelError(
        .badConfiguration,
        "The tokenizer in \(model.path) has \(tokenizer.vocabularySize) tokens, but the model knows only "
          + "\(model.encoder.vocabulary): they do not belong together.")
    }
    let sentence = try model.part("sentence_bert_config.json")
    lowercases = sentence?["do_lower_case"]?.bool ?? false
    let settings = try model.part("tokenizer_config.json")
    let usual = sentence?["max_seq_length"]?.integer ?? settings?["model_max_length"]?.integer
    self.limit = min(limit ?? usual ?? model.encoder.context, model.encoder.context)
    let specials = max(tokenizer.addSpecials([], nil).tokens.count, tokenizer.addSpecials([], []).tokens.count)
    guard self.limit > specials else {
      throw ModelError(
        .badConfiguration,
        "A text of \(self.limit) tokens has no room beside the \(specials) special ones of the model in \(model.path).")
    }
  }

  private func tokens(_ text: String) -> [Int32] { tokenizer.encode(lowercases ? text.lowercased() : text) }

  func text(_ text: String) -> TokenizedText {
    let room = limit - tokenizer.addSpecials([], nil).tokens.count
    return tokenizer.addSpecials(Array(tokens(text).prefix(room)), nil)
  }

  /// A text behind a prompt, and whether something was cut off.
  package func counted(_ text: String, behind prompt: String) -> (TokenizedText, isCut: Bool) {
    counted(tokens(prompt + text))
  }

  /// The text that tokens are, and whether something was cut off.
  package func counted(_ tokens: [Int32]) -> (TokenizedText, isCut: Bool) {
    let room = limit - tokenizer.addSpecials([], nil).tokens.count
    return (tokenizer.addSpecials(Array(tokens.prefix(room)), nil), tokens.count > room)
  }

  /// Two texts; where they are too long, the longer one is cut, and then both to the same length.
  package func pair(_ first: String, _ second: String) -> TokenizedText {
    let room = limit - tokenizer.addSpecials([], []).tokens.count
    let (first, second) = (tokens(first), tokens(second))
    var (short, long) = (min(first.count, second.count), max(first.count, second.count))
    if short + long > room {
      long = max(short, room - min(short, room))
      if short + long > room { (short, long) = (room / 2, room - room / 2) }
    }
    let isSwapped = first.count > second.count
    return tokenizer.addSpecials(
      Array(first.prefix(isSwapped ? long : short)), Array(second.prefix(isSwapped ? short : long)))
  }

  /// The tokens at the front of a text that come from `prompt`: with the special ones before it, not those behind.
  func promptLength(_ prompt: String) -> Int {
    if prompt.isEmpty { return 0 }
    let around = tokenizer.addSpecials([0], nil)
    return tokenizer.addSpecials(tokens(prompt), nil).tokens.count - (around.tokens.count - 1 - leading)
  }

  /// How many special tokens stand in front of a text.
  private var leading: Int {
    let (short, long) = (tokenizer.addSpecials([], nil).tokens, tokenizer.addSpecials([-1], nil).tokens)
    return long.firstIndex(of: -1) ?? short.count
  }
}
