// Stop strings in a text that comes in pieces.
//
// Invariant: what is given out does not depend on how the text is cut into pieces, and what has been given out never has to be
// taken back: the longest end of the text that may begin a stop string is held back.

/// Ends a text at the first of some strings.
public struct StopMatcher: Sendable {
  private let strings: [String]
  private let isIncluded: Bool
  private let matcher: StringMatcher
  private var state = StringMatcher.start
  private var held: [UInt8] = []

  /// The string that has ended the text. Of several that end at the same place it is the longest.
  public private(set) var stopped: String?

  /// - Parameter including: give the stop string out as well.
  public init(_ strings: [String], including: Bool = false) {
    self.strings = strings
    isIncluded = including
    matcher = StringMatcher(strings)
  }

  /// The text that is certain after one more piece; nothing after a stop string.
  ///
  /// - Parameter mayStop: whether a stop string that ends in this piece counts.
  public mutating func push(_ piece: String, mayStop: Bool = true) -> String {
    guard stopped == nil else { return "" }
    if strings.isEmpty { return piece }
    for byte in piece.utf8 {
      held.append(byte)
      state = matcher.next(state, byte)
      guard mayStop, let match = matcher.match(state) else { continue }
      stopped = strings[match]
      if !isIncluded { held.removeLast(strings[match].utf8.count) }
      return finish()
    }
    // What is held back begins like a stop string, so at the beginning of a character.
    return take(held.count - matcher.depth(state))
  }

  /// What is still held back when the text has ended otherwise.
  public mutating func finish() -> String { take(held.count) }

  private mutating func take(_ count: Int) -> String {
    defer { held.removeFirst(count) }
    return String(decoding: held[..<count], as: UTF8.self)
  }
}
