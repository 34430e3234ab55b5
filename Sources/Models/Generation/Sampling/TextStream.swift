// The text of chosen tokens as it grows: decoded, and ended by stop strings.

public import Formats

/// Turns the tokens of an answer into text, piece by piece.
public struct TextStream: Sendable {
  private var decoder: StreamingDecoder
  private var matcher: StopMatcher
  private let minTokens: Int
  private var tokens = 0

  /// - Parameters:
  ///   - prompt: tokens whose text is known already.
  ///   - skippingSpecials: leave special tokens out of the text.
  public init(
    _ tokenizer: any Tokenizer, _ configuration: SamplingConfiguration, after prompt: [Int32],
    skippingSpecials: Bool = false
  ) {
    decoder = StreamingDecoder(tokenizer, skippingSpecials: skippingSpecials, after: prompt)
    matcher = StopMatcher(configuration.stop, including: configuration.includeStop)
    minTokens = configuration.minTokens
  }

  /// The stop string that has ended the text.
  public var stopped: String? { matcher.stopped }

  /// The text that is certain after one more token. A stop string that `minTokens` tokens complete does not count.
  public mutating func push(_ token: Int32) -> String {
    tokens += 1
    return matcher.push(decoder.push(token), mayStop: tokens > minTokens)
  }

  /// What was held back, when no more tokens come.
  public mutating func finish() -> String {
    guard stopped == nil else { return "" }
    return matcher.push(decoder.finish(), mayStop: tokens > minTokens) + matcher.finish()
  }
}
