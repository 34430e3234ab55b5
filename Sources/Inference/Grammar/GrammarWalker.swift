// Where texts can be in a grammar after some bytes: sets of a state and a stack of callers, numbered as they are met, so that what was
// computed once is a look-up in a table from then on.
//
// Stacks are shared as in Tomita's parser ("An efficient augmented-context-free parsing algorithm", 1987): all callers of a rule at one
// place of the text are one frame, so that ambiguous grammars need polynomially many frames, not exponentially many stacks. A call at
// the end of a rule returns to the caller's caller, so that lists written as recursion need no stack at all.
//
// Invariant: places are numbers from 0; the same set has always the same number until `forget` is called. A walker is a value.

/// Reads bytes by a grammar.
struct GrammarWalker: Sendable {
  typealias Place = Int32
  typealias Frame = Int32

  /// Where a rule goes on after a call, and how many more times the rule is called before that.
  struct Return: Hashable, Sendable {
    /// -1: whoever looks at the rule alone.
    var target: Int32
    var parent: Frame
    var rule: Int32 = 0
    var least: Int32 = 0
    var most: Int32 = 0
  }

  /// No text goes on here.
  static let nowhere: Place = -1
  private static let unknown: Place = -2

  /// The frame below the root.
  static let bottom: Frame = 0
  /// The frame of a caller that is not known.
  static let outside: Frame = 1
  /// In a set: the text may end here.
  static let completed = UInt64.max
  /// In a set: the rule that was looked at alone has ended.
  static let escaped = UInt64.max - 1

  /// The most pairs in a set; where an ambiguous grammar has more, texts do not go on.
  private static let maximumPairs = 1024
  /// The most entries of the table of steps.
  private static let maximumTable = 1 << 20

  let network: GrammarNetwork
  private(set) var frames: [[Return]] = [[], []]
  private var frameNumbers: [[Return]: Frame] = [:]
  private var sets: [[UInt64]] = []
  private var numbers: [[UInt64]: Place] = [:]
  private var table: [Place] = []
  private var pops: [Frame: Place] = [:]
  private let width: Int
  /// How many pairs were followed since it was last set to 0, of about 40 ns each. Beyond `maximumEffort` nothing new is found:
  /// grammars that are as ambiguous as that allow fewer texts, but never stop a server.
  var effort = 0
  private static let maximumEffort = 300_000

  init(_ network: GrammarNetwork) {
    self.network = network
    width = network.representatives.count
  }

  static func pair(_ state: Int32, _ frame: Frame) -> UInt64 { UInt64(UInt32(state)) << 32 | UInt64(UInt32(frame)) }
  static func state(_ pair: UInt64) -> Int32 { Int32(truncatingIfNeeded: pair >> 32) }
  static func frame(_ pair: UInt64) -> Frame { Frame(truncatingIfNeeded: pair) }

  /// Where a whole text begins.
  mutating func begin() -> Place {
    var set = [Self.pair(network.starts[Int(network.root)], Self.bottom)]
    if network.acceptsNothing { set.append(Self.completed) }
    return number(set)
  }

  /// The pairs at a place, and the marks that are above all of them.
  func set(_ place: Place) -> [UInt64] { place < 0 ? [] : sets[Int(place)] }

  func isCompleted(_ place: Place) -> Bool { place >= 0 && sets[Int(place)].last == Self.completed }

  /// Whether the rule that is looked at alone has ended.
  func isEscaped(_ place: Place) -> Bool {
    place >= 0 && sets[Int(place)].suffix(2).contains(Self.escaped)
  }

  /// The classes of bytes that may come next.
  func next(_ place: Place) -> ByteClassSet {
    var result = ByteClassSet()
    for pair in set(place) where pair < Self.escaped { result.formUnion(network.first[Int(Self.state(pair))]) }
    return result
  }

  /// The place after a byte.
  @inline(__always)
  mutating func step(_ place: Place, _ byte: UInt8) -> Place {
    step(place, byte, class: network.classes[Int(byte)])
  }

  /// The place after a byte whose class is known.
  @inline(__always)
  mutating func step(_ place: Place, _ byte: UInt8, class byteClass: UInt8) -> Place {
    let entry = Int(place) &* width &+ Int(byteClass)
    let known = table[entry]
    if known != Self.unknown { return known }
    return findStep(place, byte, entry)
  }

  /// The place of a set of pairs.
  mutating func number(_ pairs: [UInt64]) -> Place {
    if pairs.isEmpty || pairs.count > Self.maximumPairs { return Self.nowhere }
    if let known = numbers[pairs] { return known }
    let number = Place(sets.count)
    numbers[pairs] = number
    sets.append(pairs)
    table.append(contentsOf: repeatElement(Self.unknown, count: width))
    return number
  }

  /// Whether the tables have grown so large that `forget` is due.
  var isFull: Bool { table.count > Self.maximumTable }

  /// Empties the tables, but for one place, which gets a new number.
  mutating func forget(but place: inout Place) {
    let kept = set(place)
    sets = []
    numbers = [:]
    table = []
    pops = [:]
    place = number(kept)
  }

  // MARK: Steps

  @inline(never)
  private mutating func findStep(_ place: Place, _ byte: UInt8, _ entry: Int) -> Place {
    effort += sets[Int(place)].count
    guard effort <= Self.maximumEffort else { return Self.nowhere }
    let byteClass = network.classes[Int(byte)]
    var landing = Landing()
    // What is called here, with all callers, by the rule's rank.
    var called: [(rank: Int32, rule: Int32, returns: [Return])] = []
    for pair in sets[Int(place)] where pair < Self.escaped {
      leave(Self.state(pair), Self.frame(pair), byte, byteClass, &called, &landing)
    }
    // Callers before what they call, so that a frame is complete when its rule is entered.
    while let least = called.indices.min(by: { called[$0].rank < called[$1].rank }) {
      let (_, rule, returns) = called.remove(at: least)
      let frame = self.frame(returns)
      leave(network.starts[Int(rule)], frame, byte, byteClass, &called, &landing)
    }
    effort += landing.pairs.count + landing.finished.count
    let result = number(landing.sorted)
    table[entry] = result
    return result
  }

  /// Reads a byte from a state, or calls the rules that can read it.
  private mutating func leave(
    _ state: Int32, _ frame: Frame, _ byte: UInt8, _ byteClass: UInt8,
    _ called: inout [(rank: Int32, rule: Int32, returns: [Return])], _ landing: inout Landing
  ) {
    guard network.first[Int(state)].contains(byteClass) else { return }
    for index in Int(network.byteStarts[Int(state)])..<Int(network.byteStarts[Int(state) + 1]) {
      let edge = network.byteEdges[index]
      if edge.low <= byte, byte <= edge.high { land(edge.target, frame, &landing) }
    }
    for index in Int(network.callStarts[Int(state)])..<Int(network.callStarts[Int(state) + 1]) {
      let call = network.calls[index]
      guard network.first[Int(network.starts[Int(call.rule)])].contains(byteClass) else { continue }
      var returns = [
        Return(target: call.target, parent: frame, rule: call.rule, least: call.least, most: call.most)
      ]
      if call.most == 0 {
        returns[0].rule = 0
        if frame > Self.outside, network.isFinal(call.target) { returns = frames[Int(frame)] }
      }
      if let known = called.firstIndex(where: { $0.rule == call.rule }) {
        called[known].returns += returns
      } else {
        called.append((network.ranks[Int(call.rule)], call.rule, returns))
      }
    }
  }

  /// Arrives in a state; where its rule may end, in those behind the call as well.
  private mutating func land(_ state: Int32, _ frame: Frame, _ landing: inout Landing) {
    if network.accepts[Int(state)] {
      if !network.isFinal(state) { landing.add(Self.pair(state, frame)) }
      finish(frame, &landing)
    } else {
      landing.add(Self.pair(state, frame))
    }
  }

  private mutating func finish(_ frame: Frame, _ landing: inout Landing) {
    var waiting = [frame]
    while let frame = waiting.popLast() {
      guard landing.pairs.count <= Self.maximumPairs, landing.finished.insert(frame).inserted else { continue }
      if frame == Self.bottom { landing.add(Self.completed) }
      if frame == Self.outside { landing.add(Self.escaped) }
      for entry in frames[Int(frame)] {
        if entry.most > 0 {
          var again = entry
          again.least = max(entry.least - 1, 0)
          again.most = entry.most == .max ? .max : entry.most - 1
          landing.add(Self.pair(network.starts[Int(entry.rule)], self.frame([again])))
        }
        guard entry.least == 0 else { continue }
        if entry.target < 0 {
          landing.add(Self.escaped)
        } else if network.accepts[Int(entry.target)] {
          if !network.isFinal(entry.target) { landing.add(Self.pair(entry.target, entry.parent)) }
          waiting.append(entry.parent)
        } else {
          landing.add(Self.pair(entry.target, entry.parent))
        }
      }
    }
  }

  /// Where texts are when the rule that was called from a frame has ended.
  mutating func place(after frame: Frame) -> Place {
    if let known = pops[frame] { return known }
    var landing = Landing()
    finish(frame, &landing)
    let place = number(landing.sorted)
    pops[frame] = place
    return place
  }

  /// The same for several frames.
  mutating func place(after frames: [Frame]) -> Place {
    if frames.count == 1 { return place(after: frames[0]) }
    var landing = Landing()
    for frame in frames { finish(frame, &landing) }
    effort += landing.pairs.count
    return number(landing.sorted)
  }

  /// The frame of some callers.
  mutating func frame(_ returns: [Return]) -> Frame {
    let callers = returns.count == 1 ? returns : Set(returns).sorted { $0.order < $1.order }
    if let known = frameNumbers[callers] { return known }
    let number = Frame(frames.count)
    frames.append(callers)
    frameNumbers[callers] = number
    return number
  }
}

extension GrammarWalker.Return {
  fileprivate var order: (Int32, Int32, Int32, Int32, Int32) { (target, parent, rule, least, most) }
}

/// The pairs that a step arrives in.
private struct Landing {
  var pairs: [UInt64] = []
  var finished: Set<GrammarWalker.Frame> = []

  mutating func add(_ pair: UInt64) { pairs.append(pair) }

  /// Each pair once, in order.
  var sorted: [UInt64] {
    if pairs.count <= 1 { return pairs }
    var result: [UInt64] = []
    for pair in pairs.sorted() where result.last != pair { result.append(pair) }
    return result
  }
}
