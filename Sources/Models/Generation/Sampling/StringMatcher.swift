// Finds strings in a stream of bytes: the automaton of Aho and Corasick, "Efficient string matching" (1975), with its failure
// links folded into one table, so that a byte is one look-up.
//
// Invariant: after any bytes, `depth` of the state is the length of the longest suffix of them that begins one of the strings.

/// Strings to be found, whatever the chunks in which a text comes.
struct StringMatcher: Sendable {
  typealias State = Int32

  /// Where a text begins.
  static let start: State = 0

  /// The class of each byte: 0 for those that are in no string.
  private var classes = [UInt8](repeating: 0, count: 256)
  private var classCount = 1
  /// The next state for each state and class.
  private var table: [State] = []
  private var depths: [Int32] = []
  /// The longest string that ends in a state, -1 if none does.
  private var found: [Int32] = []

  init(_ strings: [String]) {
    // At most 256 bytes have classes of their own; one that all 256 are in needs no class 0, but UTF-8 never has them all.
    for byte in strings.joined().utf8 where classes[Int(byte)] == 0 {
      classes[Int(byte)] = UInt8(classCount)
      classCount += 1
    }
    addState(depth: 0)
    for (index, string) in strings.enumerated() {
      var state = 0
      for byte in string.utf8 {
        let place = state * classCount + Int(classes[Int(byte)])
        if table[place] < 0 {
          table[place] = State(depths.count)
          addState(depth: depths[state] + 1)
        }
        state = Int(table[place])
      }
      if found[state] < 0 { found[state] = Int32(index) }
    }
    foldFailures()
  }

  private mutating func addState(depth: Int32) {
    table += [State](repeating: -1, count: classCount)
    depths.append(depth)
    found.append(-1)
  }

  /// Breadth first: the state that a failure leads to is complete before those that fail to it.
  private mutating func foldFailures() {
    var failures = [Int](repeating: 0, count: depths.count)
    var queue = [0]
    var next = 0
    while next < queue.count {
      let state = queue[next]
      next += 1
      let failure = failures[state]
      if found[state] < 0 { found[state] = found[failure] }
      for byteClass in 0..<classCount {
        let place = state * classCount + byteClass
        let onFailure = state == 0 ? 0 : table[failure * classCount + byteClass]
        if table[place] < 0 {
          table[place] = onFailure
        } else {
          failures[Int(table[place])] = Int(onFailure)
          queue.append(Int(table[place]))
        }
      }
    }
  }

  /// The state after one more byte.
  func next(_ state: State, _ byte: UInt8) -> State { table[Int(state) * classCount + Int(classes[Int(byte)])] }

  /// How many of the last bytes may begin, or are, a string.
  func depth(_ state: State) -> Int { Int(depths[Int(state)]) }

  /// The index of the longest string that ends here.
  func match(_ state: State) -> Int? { found[Int(state)] < 0 ? nil : Int(found[Int(state)]) }
}
