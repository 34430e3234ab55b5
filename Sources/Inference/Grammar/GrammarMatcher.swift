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

  /// Work that this text may still cause, in units of `GrammarWalker.effort`.
  private var allowance = Self.mostAllowance
  /// Why the text cannot go on although the grammar would let it.
  package private(set) var problem: String?

  private static let maximumKnown = 16
  /// At once, and for each token: 16 ms and 0.8 ms. Usual grammars take a hundredth of it.
  private static let mostAllowance = 400_000
  private static let allowancePerToken = 20_000
  /// Nodes of the vocabulary's tree that are passed as quickly as one pair is followed.
  private static let nodesPerUnit = 8
  /// So many states that are met for the first time are looked at for one mask.
  private static let mostNew = 4

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
    if place < 0 { return false }
    var next = place
    for byte in bytes {
      next = walker.step(next, byte)
      if next < 0 { return false }
    }
    past.append(walker.set(place))
    place = next
    allowance -= walker.effort
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
    if problem != nil { return }
    allowance = min(allowance + Self.allowancePerToken, Self.mostAllowance)
    if let mask = known[place] {
      TokenSet.bits(mask).add(to: &words)
      return
    }
    let mask = computedMask()
    allowance -= walker.effort
    if allowance < 0 {
      problem = tooAmbiguous
      return
    }
    if known.count == Self.maximumKnown { known = [:] }
    known[place] = mask
    TokenSet.bits(mask).add(to: &words)
  }

  /// A state in which the text may be.
  private struct Group {
    let local: GrammarMasks.Local
    /// Where the text is when the rule has ended.
    let after: GrammarWalker.Place
    let next: ByteClassSet
  }

  /// By states, with what is known of them, where that is less work than to follow all tokens from here.
  private mutating func computedMask() -> [UInt64] {
    var mask = [UInt64](repeating: 0, count: masks.vocabulary.words)
    var groups: [Group] = []
    var turns: [(loop: GrammarMasks.Loop, turn: GrammarWalker.Return)] = []
    var work = 0
    let pairs = walker.set(place).prefix { $0 < GrammarWalker.escaped }
    // Of many states that nobody has met, a few are looked at each time, and all of them are followed in one walk.
    let new = masks.unknown(pairs.map { GrammarWalker.state($0) })
    if new.count > Self.mostNew {
      for state in new.prefix(Self.mostNew) { _ = masks.local(state) }
      add(below: 0, place, to: &mask)
      return mask
    }
    var begin = 0
    while begin < pairs.count {
      let state = GrammarWalker.state(pairs[begin])
      var frames: [GrammarWalker.Frame] = []
      while begin < pairs.count, GrammarWalker.state(pairs[begin]) == state {
        let frame = GrammarWalker.frame(pairs[begin])
        begin += 1
        let returns = walker.frames[Int(frame)]
        if returns.count == 1, returns[0].most > 0, state == masks.network.starts[Int(returns[0].rule)],
          let loop = masks.loop(returns[0].rule)
        {
          turns.append((loop, returns[0]))
          work += loop.exits.count
        } else {
          frames.append(frame)
        }
      }
      if frames.isEmpty { continue }
      let local = masks.local(state)
      // All callers at once: what follows on them is one set.
      let after = local.exits.isEmpty ? GrammarWalker.nowhere : walker.place(after: frames)
      // So many that they are no set: the set from here may be one.
      if after < 0, !local.exits.isEmpty { work = masks.vocabulary.bytes.count }
      let group = Group(local: local, after: after, next: walker.next(after))
      for exits in local.exits where group.next.contains(masks.network.classes[Int(exits.byte)]) { work += exits.work }
      groups.append(group)
    }
    if work > masks.vocabulary.bytes.count / 4 {
      add(below: 0, place, to: &mask)
      return mask
    }
    for group in groups {
      group.local.allowed.add(to: &mask)
      for exits in group.local.exits where group.next.contains(masks.network.classes[Int(exits.byte)]) {
        let first = walker.step(group.after, exits.byte)
        if first < 0 { continue }
        for node in exits.nodes { add(node, first, to: &mask) }
      }
    }
    for (loop, turn) in turns { add(loop, turn, to: &mask) }
    return mask
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
    for token in masks.vocabulary.tokens(of: Int(node)) { mask[Int(token) >> 6] |= 1 << UInt64(token & 63) }
    if masks.vocabulary.ends[Int(node)] > node + 1 { add(below: node, place, to: &mask) }
  }

  private mutating func add(below node: Int32, _ place: GrammarWalker.Place, to mask: inout [UInt64]) {
    let vocabulary = masks.vocabulary
    walker.effort += 1
    vocabulary.follow(node, from: place, &walker, scratch: &scratch) { node, _, walker in
      if node % Self.nodesPerUnit == 0 { walker.effort += 1 }
      for token in vocabulary.tokens(of: node) { mask[Int(token) >> 6] |= 1 << UInt64(token & 63) }
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
    problem = tooAmbiguous
    past.append(walker.set(place))
    place = GrammarWalker.nowhere
  }

  private var tooAmbiguous: String {
    "The grammar is too ambiguous: behind \(count) tokens the text has so many readings that to find what may follow takes too long. "
      + "Let fewer parts match the same text."
  }

  package var mayEnd: Bool { isComplete && problem == nil }
  package var mustEnd: Bool { isOver && problem == nil }
}
