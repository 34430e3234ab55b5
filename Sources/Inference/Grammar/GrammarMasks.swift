// What can be known of the tokens at each state of a grammar without its callers, computed once and shared by all requests.
//
// At a state most tokens are allowed or not whatever comes after the end of its rule; only tokens in whose midst the rule ends depend
// on the callers (Dong and others, "XGrammar", 2024, arXiv:2411.15100). For those the node of the vocabulary's tree is kept at
// which the rule ended, and a matcher goes on from there.
//
// Repetitions with a count (`maxLength`) would have other tokens at each count. If their body can end in one way only, so that a
// text has one number of turns, one walk finds how many turns each token takes, and a count is a comparison.

internal import Synchronization

/// The tokens at the states of one grammar for one vocabulary.
package final class GrammarMasks: Sendable {
  /// A node of the vocabulary's tree behind the end of a turn, and the turns that a repetition has made on the way there.
  struct Exit: Sendable {
    var node: Int32
    var turns: Int32
  }

  /// The tokens at a state.
  struct Local: Sendable {
    /// Allowed whoever called.
    var allowed: TokenSet
    var exits: [Exits]
  }

  /// Where tokens leave a rule in their midst.
  struct Exits: Sendable {
    /// The byte that leads to the nodes.
    var byte: UInt8
    /// Nodes whose parent is where the rule ended.
    var nodes: [Int32] = []
    /// How many nodes there are in their subtrees: what it takes at most to look at all of their tokens.
    var work = 0
  }

  /// The tokens at the beginning of a turn of a repetition.
  final class Loop: Sendable {
    /// The tokens that stay within so many turns: the first for 1.
    private let within: [TokenSet]
    /// Those that take more turns than `within` goes to, the first for one more; they are few.
    private let longer: [[Int32]]
    /// Nodes whose parent is where a turn ended, by the byte that leads to them.
    let exits: [UInt8: [Exit]]

    /// - Parameter tokens: by how many turns they take, from 0.
    init(tokens: [[Int32]], exits: [UInt8: [Exit]], words: Int) {
      self.exits = exits
      let longest = (tokens.lastIndex { !$0.isEmpty } ?? 0)
      var all: [Int32] = []
      within = (1...max(1, min(longest, 48))).map { turns in
        all += tokens[turns]
        return TokenSet(all, words: words)
      }
      longer = longest > within.count ? Array(tokens[(within.count + 1)...longest]) : []
    }

    /// Sets the bits of the tokens that stay within so many turns, at least one.
    func add(within turns: Int, to mask: inout [UInt64]) {
      within[min(turns, within.count) - 1].add(to: &mask)
      guard turns > within.count else { return }
      for tokens in longer.prefix(turns - within.count) { TokenSet.list(tokens).add(to: &mask) }
    }
  }

  private struct Known {
    var walker: GrammarWalker
    var scratch: [GrammarWalker.Place]
    var locals: [Local?]
    var loops: [Int32: Loop?] = [:]
    /// How many nodes were visited.
    var visits = 0
  }

  let network: GrammarNetwork
  let vocabulary: GrammarVocabulary
  private let known: Mutex<Known>

  /// How many nodes of the tree are visited when a grammar is compiled, so that the first tokens need not wait for it.
  private static let visitsAtFirst = 4_000_000

  package init(_ network: GrammarNetwork, _ vocabulary: GrammarVocabulary) {
    self.network = network
    self.vocabulary = vocabulary
    let known = Known(
      walker: GrammarWalker(network),
      scratch: [GrammarWalker.Place](repeating: -1, count: vocabulary.maximumDepth + 1),
      locals: [Local?](repeating: nil, count: network.stateCount))
    self.known = Mutex(known)
    self.known.withLock { known in
      for rule in Set(network.calls.filter { $0.most > 0 }.map(\.rule)).sorted() where known.visits < Self.visitsAtFirst
      {
        known.loops[rule] = .some(findLoop(rule, &known))
      }
      for state in 0..<Int32(network.stateCount) where known.visits < Self.visitsAtFirst {
        known.locals[Int(state)] = findLocal(state, &known)
      }
    }
  }

  /// Those of which nothing is known yet: to find it takes a walk through the vocabulary for each.
  ///
  /// - Parameter states: the same ones behind each other, and told once.
  func unknown(_ states: [Int32]) -> [Int32] {
    known.withLock { known in
      states.reduce(into: []) { new, state in
        if known.locals[Int(state)] == nil, new.last != state { new.append(state) }
      }
    }
  }

  func local(_ state: Int32) -> Local {
    known.withLock { known in
      if let local = known.locals[Int(state)] { return local }
      let local = findLocal(state, &known)
      known.locals[Int(state)] = local
      return local
    }
  }

  /// The tokens of a repetition of a rule; nil if turns cannot be counted.
  func loop(_ rule: Int32) -> Loop? {
    known.withLock { known in
      if let loop = known.loops[rule] { return loop }
      let loop = findLoop(rule, &known)
      known.loops[rule] = .some(loop)
      return loop
    }
  }

  private func findLocal(_ state: Int32, _ known: inout Known) -> Local {
    prepare(&known)
    let start = known.walker.number([GrammarWalker.pair(state, GrammarWalker.outside)])
    let follow = network.follow[Int(state)]
    // Ranges of tokens, since most that follow each other in the tree are allowed together.
    var runs: [Range<Int32>] = []
    var exits: [UInt8: Exits] = [:]
    var visits = 0
    let starts = vocabulary.tokenStarts
    vocabulary.follow(0, from: start, &known.walker, scratch: &known.scratch) { node, place, walker in
      visits += 1
      let (first, end) = (starts[node], starts[node + 1])
      if first < end {
        if let last = runs.last, last.upperBound == first {
          runs[runs.count - 1] = last.lowerBound..<end
        } else {
          runs.append(first..<end)
        }
      }
      if walker.isEscaped(place) {
        for child in vocabulary.children(Int32(node)) {
          let byte = vocabulary.bytes[Int(child)]
          guard follow.contains(network.classes[Int(byte)]) else { continue }
          exits[byte, default: Exits(byte: byte)].nodes.append(child)
          exits[byte]!.work += Int(vocabulary.ends[Int(child)] - child)
        }
      }
      return true
    }
    known.visits += visits + 20 * known.walker.effort
    var allowed: [Int32] = []
    allowed.reserveCapacity(runs.reduce(0) { $0 + $1.count })
    for run in runs { allowed += vocabulary.tokens[Int(run.lowerBound)..<Int(run.upperBound)] }
    return Local(allowed: TokenSet(allowed, words: vocabulary.words), exits: exits.values.sorted { $0.byte < $1.byte })
  }

  private func findLoop(_ rule: Int32, _ known: inout Known) -> Loop? {
    prepare(&known)
    let turn = known.walker.frame([
      .init(target: -1, parent: GrammarWalker.outside, rule: rule, least: 0, most: .max)
    ])
    let begin = known.walker.number([GrammarWalker.pair(network.starts[Int(rule)], turn)])
    let between = known.walker.place(after: turn)
    var tokens = [[Int32]](repeating: [], count: vocabulary.maximumDepth + 2)
    var exits: [UInt8: [Exit]] = [:]
    var turns = [Int32](repeating: 0, count: vocabulary.maximumDepth + 1)
    var isCountable = true
    var visits = 0
    let follow = network.leave[Int(network.starts[Int(rule)])]
    vocabulary.follow(0, from: begin, &known.walker, scratch: &known.scratch) { node, place, walker in
      visits += 1
      let depth = Int(vocabulary.depths[node])
      let isBetween = place == between
      // A turn that has ended and yet goes on has two counts.
      if !isBetween && walker.isEscaped(place) { isCountable = false }
      turns[depth] = turns[depth - 1] + (isBetween ? 1 : 0)
      tokens[Int(turns[depth]) + (isBetween ? 0 : 1)] += vocabulary.tokens(of: node)
      if isBetween {
        for child in vocabulary.children(Int32(node)) {
          let byte = vocabulary.bytes[Int(child)]
          if follow.contains(network.classes[Int(byte)]) {
            exits[byte, default: []].append(Exit(node: child, turns: turns[depth]))
          }
        }
      }
      return isCountable
    }
    known.visits += visits + 20 * known.walker.effort
    return isCountable ? Loop(tokens: tokens, exits: exits, words: vocabulary.words) : nil
  }

  private func prepare(_ known: inout Known) {
    known.walker.effort = 0
    var none = GrammarWalker.nowhere
    if known.walker.isFull { known.walker.forget(but: &none) }
  }
}

extension GrammarVocabulary {
  func tokens(of node: Int) -> ArraySlice<Int32> { tokens[Int(tokenStarts[node])..<Int(tokenStarts[node + 1])] }
}
