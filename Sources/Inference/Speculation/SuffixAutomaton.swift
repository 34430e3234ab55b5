// A text as the smallest automaton that accepts all its suffixes (Blumer et al., "The smallest automaton recognizing the
// subwords of a text", 1985), built token by token: where did the longest end of the text stand before, and what followed?
//
// A state stands for all parts of the text that end at the same places. Memory and time are linear in the text: at most two
// states and three transitions for each token.
//
// Invariant: a state's link is the state of its longest part that ends at more places. `end` is where a state's parts end for
// the first time.

/// The parts of a text and where they end.
package struct SuffixAutomaton {
  /// Where in the automaton another text stands: a state, and how many of the text's last tokens brought it there.
  package struct Match {
    fileprivate var state = 0
    /// How long a part ends both texts.
    package fileprivate(set) var length = 0

    package init() {}
    fileprivate init(state: Int, length: Int) { (self.state, self.length) = (state, length) }
  }

  private struct State {
    /// Tokens of the longest of its parts.
    var length: Int32
    var link: Int32
    /// Tokens of the text up to where its parts end first.
    var end: Int32
    /// The last of its transitions in `transitions`; -1: none.
    var last: Int32 = -1
  }

  private struct Step: Hashable {
    var state: Int32
    var token: Int32
  }

  package private(set) var tokens: [Int32] = []
  private var states = [State(length: 0, link: -1, end: 0)]
  private var targets: [Step: Int32] = [:]
  /// The tokens of each state's transitions, as lists.
  private var transitions: [(token: Int32, before: Int32)] = []
  /// The state of the whole text.
  private var whole: Int32 = 0

  package init(_ tokens: some Sequence<Int32> = []) { for token in tokens { append(token) } }

  package mutating func append(_ token: Int32) {
    tokens.append(token)
    let new = add(State(length: Int32(tokens.count), link: 0, end: Int32(tokens.count)))
    var state = whole
    while state >= 0, targets[Step(state: state, token: token)] == nil {
      connect(state, token, new)
      state = states[Int(state)].link
    }
    whole = new
    guard state >= 0 else { return }
    let next = targets[Step(state: state, token: token)]!
    let length = states[Int(state)].length + 1
    if states[Int(next)].length == length {
      states[Int(new)].link = next
      return
    }
    // The shorter parts of `next` end at one more place now: they get a state of their own.
    let shorter = add(State(length: length, link: states[Int(next)].link, end: states[Int(next)].end))
    var index = states[Int(next)].last
    while index >= 0 {
      let (token, before) = transitions[Int(index)]
      connect(shorter, token, targets[Step(state: next, token: token)]!)
      index = before
    }
    while state >= 0, targets[Step(state: state, token: token)] == next {
      targets[Step(state: state, token: token)] = shorter
      state = states[Int(state)].link
    }
    states[Int(next)].link = shorter
    states[Int(new)].link = shorter
  }

  /// The longest end of the text that stands in it before.
  package var repetition: Match {
    let link = Int(states[Int(whole)].link)
    return link > 0 ? Match(state: link, length: Int(states[link].length)) : Match()
  }

  /// What followed where a match stood first, nothing if that is the end of the text; where what followed reaches the end, it
  /// goes on as the text began to repeat itself.
  package func continuation(of match: Match, _ count: Int) -> [Int32] {
    let start = Int(states[match.state].end)
    guard match.length > 0, start < tokens.count else { return [] }
    var result: [Int32] = []
    for index in start..<start + count {
      result.append(index < tokens.count ? tokens[index] : result[index - tokens.count])
    }
    return result
  }

  /// Another text goes on with a token.
  package func advance(_ match: inout Match, _ token: Int32) {
    // Since it was found, its state may have been left to longer parts.
    while match.state > 0, match.length <= states[Int(states[match.state].link)].length {
      match.state = Int(states[match.state].link)
    }
    while true {
      if let next = targets[Step(state: Int32(match.state), token: token)] {
        match.state = Int(next)
        match.length += 1
        return
      }
      guard match.state > 0 else { return match.length = 0 }
      match.state = Int(states[match.state].link)
      match.length = Int(states[match.state].length)
    }
  }

  private mutating func add(_ state: State) -> Int32 {
    states.append(state)
    return Int32(states.count - 1)
  }

  private mutating func connect(_ state: Int32, _ token: Int32, _ target: Int32) {
    targets[Step(state: state, token: token)] = target
    transitions.append((token, states[Int(state)].last))
    states[Int(state)].last = Int32(transitions.count - 1)
  }
}
