// What is put around a text, or between two, once it is encoded: begin and end tokens, `[CLS]` and `[SEP]`.

/// Tokens as a model takes them.
public struct TokenizedText: Sendable, Equatable {
  public var tokens: [Int32]
  /// For each token, which of two texts it belongs to (`token_type_ids`): 0 or 1.
  public var types: [Int32]

  public init(tokens: [Int32], types: [Int32]) {
    precondition(tokens.count == types.count, "\(tokens.count) tokens have \(types.count) types")
    self.tokens = tokens
    self.types = types
  }
}

/// A template for one text and one for two.
struct PostProcessor: Sendable, Equatable {
  enum Part: Sendable, Equatable {
    case first(type: Int32)
    case second(type: Int32)
    case special([Int32], type: Int32)
  }

  var single: [Part] = [.first(type: 0)]
  var pair: [Part] = [.first(type: 0), .second(type: 1)]

  /// Begin tokens in front of each text and end tokens behind it.
  init(before: [Int32] = [], after: [Int32] = []) {
    if before.isEmpty, after.isEmpty { return }
    single = [.special(before, type: 0), .first(type: 0), .special(after, type: 0)]
    pair = single + [.special(before, type: 1), .second(type: 1), .special(after, type: 1)]
  }

  init(single: [Part], pair: [Part]) {
    self.single = single
    self.pair = pair
  }

  /// All tokens that it may add.
  var tokens: [Int32] { (single + pair).flatMap { if case .special(let tokens, _) = $0 { tokens } else { [Int32]() } } }

  func apply(_ first: [Int32], _ second: [Int32]?) -> TokenizedText {
    var text = TokenizedText(tokens: [], types: [])
    func append(_ tokens: [Int32], _ type: Int32) {
      text.tokens += tokens
      text.types += [Int32](repeating: type, count: tokens.count)
    }
    for part in second == nil ? single : pair {
      switch part {
      case .first(let type): append(first, type)
      case .second(let type): append(second ?? [], type)
      case .special(let tokens, let type): append(tokens, type)
      }
    }
    return text
  }
}
