// One text that follows a grammar, token by token: what may come next, what was chosen, back again.
//
// Invariants: every text that was accepted can be finished in bytes. A matcher is a value: a copy goes its own way. Two matchers of a
// grammar share what is known of its states (`GrammarMasks`), nothing else.

package import Formats
import Models

/// Follows one text.
package struct GrammarMatcher: Sendable {
  private let masks: GrammarMasks
  private var walker: GrammarWalker
  /// Where the text is now.
  private var place: GrammarWalker.Place
  /// Where it was before each token, as sets: their numbers may have been forgotten since.
  private var past: [[UInt64]] = []
  private var scratch: [GrammarWalker.Place]
  /// The masks of some places.
  private var known: [GrammarWalker.Place: [UInt64]] = [:]

  private static let maximumKnown = 16

  package init(_ masks: GrammarMasks) {
    self.masks = masks
    walker = GrammarWalker(masks.network)
    place = walker.begin()
    scratch = [GrammarWalker.Place](repeating: -1, count: masks.vocabulary.maximumDepth + 1)
  }

  /// How many tokens were accepted.
  package var count: Int { past.count }

  /// Whether the text may end here.
  package var isComplete: Bool { walker.isCompleted(place) }

  /// Whether nothing can follow, not even a byte.
  package var isOver: Bool { walker.next(place).isEmpty }

  // MARK: Tokens

  /// Follows a token. If the grammar does not allow it there, nothing changes and the answer is false.
  package mutating func follow(_ token: Int32) -> Bool {
    let bytes = masks.vocabulary.spelling(token)
    return !bytes.isEmpty && follow(bytes: bytes)
  }

  /// Follows bytes as if they were one token.
  package mutating func follow(bytes: some Sequence<UInt8>) -> Bool {
    tidy()
    var next = place
    for byte in bytes {
      next = walker.step(next, byte)
      if next < 0 { return false }
    }
    past.append(walker.set(place))
    place = next
    return true
  }

  /// Takes the last tokens back.
  package mutating func rollback(_ tokens: Int) {
    precondition(tokens >= 0 && tokens <= count, "\(tokens) tokens cannot be taken back from a text of \(count)")
    if tokens == 0 { return }
    place = walker.number(past[count - tokens])
    past.removeLast(tokens)
  }

  /// The bytes that must come next, as far as there is only one way; nothing where the text may end.
  package mutating func forcedBytes() -> [UInt8] {
    tidy()
    var result: [UInt8] = []
    var next = place
    while result.count < 4096, !walker.isCompleted(next), let only = walker.next(next).only {
      let byte = masks.network.representatives[Int(only)]
      // A class of several bytes is not one way.
      if byte < 255, masks.network.classes[Int(byte) + 1] == only { break }
      let after = walker.step(next, byte)
      if after < 0 { break }
      result.append(byte)
      next = after
    }
    return result
  }

  /// The tokens that must come next as `tokenizer` writes them. The last one is left out, since it could be written together with what
  /// comes behind it, unless the text must end there.
  package mutating func forcedTokens(_ tokenizer: any Tokenizer) -> [Int32] {
    let tokens = tokenizer.encode(forcedBytes())
    var copy = self
    var accepted: [Int32] = []
    for token in tokens {
      guard copy.follow(token) else { break }
      accepted.append(token)
    }
    if accepted.count == tokens.count, !copy.isOver { accepted = accepted.dropLast() }
    return accepted
  }

  // MARK: Masks

  /// Sets the bits of all tokens that may come next in a mask of zeros; tokens that end a text are not among them.
  package mutating func mask(into words: inout [UInt64]) {
    precondition(
      words.count >= masks.vocabulary.words, "a mask of \(words.count) words for \(masks.vocabulary.count) tokens")
    tidy()
    if let mask = known[place] {
      TokenSet.bits(mask).add(to: &words)
      return
    }
    var mask = [UInt64](repeating: 0, count: masks.vocabulary.words)
    for pair in walker.set(place) where pair < GrammarWalker.escaped { add(pair, to: &mask) }
    if known.count == Self.maximumKnown { known = [:] }
    known[place] = mask
    TokenSet.bits(mask).add(to: &words)
  }

  private mutating func add(_ pair: UInt64, to mask: inout [UInt64]) {
    let (state, frame) = (GrammarWalker.state(pair), GrammarWalker.frame(pair))
    let returns = walker.frames[Int(frame)]
    if returns.count == 1, returns[0].most > 0, state == masks.network.starts[Int(returns[0].rule)],
      let loop = masks.loop(returns[0].rule)
    {
      add(loop, returns[0], to: &mask)
      return
    }
    let local = masks.local(state)
    local.allowed.add(to: &mask)
    if local.exits.isEmpty { return }
    let after = walker.place(after: frame)
    let next = walker.next(after)
    for (byte, nodes) in local.exits where next.contains(masks.network.classes[Int(byte)]) {
      let first = walker.step(after, byte)
      if first < 0 { continue }
      for node in nodes { add(node, first, to: &mask) }
    }
  }

  /// Adds the tokens at the beginning of a turn with `turn.least` to `turn.most` more behind it.
  private mutating func add(_ loop: GrammarMasks.Loop, _ turn: GrammarWalker.Return, to mask: inout [UInt64]) {
    let most = turn.most == .max ? Int32.max : turn.most + 1
    loop.add(within: Int(most), to: &mask)
    let behind = walker.frame([.init(target: turn.target, parent: turn.parent)])
    let after = walker.place(after: behind)
    let next = walker.next(after)
    for (byte, exits) in loop.exits where next.contains(masks.network.classes[Int(byte)]) {
      let first = walker.step(after, byte)
      if first < 0 { continue }
      for exit in exits where exit.turns > turn.least && exit.turns <= most { add(exit.node, first, to: &mask) }
    }
  }

  /// Adds the tokens of a node that is reached and of those below it.
  private mutating func add(_ node: Int32, _ place: GrammarWalker.Place, to mask: inout [UInt64]) {
    let vocabulary = masks.vocabulary
    func addTokens(_ node: Int) {
      for token in vocabulary.tokens(of: node) { mask[Int(token) >> 6] |= 1 << UInt64(token & 63) }
    }
    addTokens(Int(node))
    if vocabulary.ends[Int(node)] == node + 1 { return }
    vocabulary.follow(node, from: place, &walker, scratch: &scratch) { node, _, _ in
      addTokens(node)
      return true
    }
  }

  private mutating func tidy() {
    walker.effort = 0
    if walker.isFull {
      walker.forget(but: &place)
      known = [:]
    }
  }
}

extension GrammarMatcher: TokenConstraint {
  package mutating func accept(_ token: Int32) {
    if follow(token) { return }
    // Allowed from one of the states, but all together are too many to be followed: nothing goes on here.
    past.append(walker.set(place))
    place = GrammarWalker.nowhere
  }

  package var mayEnd: Bool { isComplete }
  package var mustEnd: Bool { isOver }
}
