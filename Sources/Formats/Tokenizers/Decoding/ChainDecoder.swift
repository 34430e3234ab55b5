// Decoding by a chain of steps over the spellings of tokens.

struct ChainDecoder: SteadyingDecoder {
  private let spellings: TokenTable
  private let skipped: Set<Int32>
  private var states: [DecodingState]
  /// Steps after `fuse` that need the whole text; it is collected until the end.
  private let collects: Bool
  private var collected: [UInt8] = []
  private var tail: [DecodingState]

  init(_ steps: [DecodingStep], spellings: TokenTable, skipped: Set<Int32>) {
    self.spellings = spellings
    self.skipped = skipped
    // Stripping works on a text that comes in parts; other steps after `fuse` do not.
    let fuse = steps.firstIndex { if case .fuse = $0 { true } else { false } }
    let rest = fuse.map { steps[($0 + 1)...] } ?? []
    collects = rest.contains { if case .strip = $0 { false } else { true } }
    let cut = collects ? fuse! : steps.count
    states = steps[..<cut].enumerated().map { DecodingState($0.element, isFused: $0.offset > fuse ?? .max) }
    tail = steps[cut...].map { DecodingState($0, isFused: true) }
  }

  var isSteady: Bool { !collects && states.allSatisfy(\.isSteady) }

  mutating func push(_ token: Int32, into bytes: inout [UInt8]) {
    guard token >= 0, Int(token) < spellings.count, !skipped.contains(token) else { return }
    let spelling = Array(spellings[token])
    if spelling.isEmpty { return }
    feed(spelling, from: 0, into: &bytes)
  }

  mutating func finish(into bytes: inout [UInt8]) {
    for index in states.indices {
      var emitted: [[UInt8]] = []
      states[index].finish { emitted.append($0) }
      for part in emitted { feed(part, from: index + 1, into: &bytes) }
    }
    guard collects else { return }
    var parts = [collected]
    for index in tail.indices {
      var emitted: [[UInt8]] = []
      for part in parts { tail[index].push(part) { emitted.append($0) } }
      tail[index].finish { emitted.append($0) }
      parts = emitted
    }
    for part in parts { bytes.append(contentsOf: part) }
    collected = []
  }

  private mutating func feed(_ token: [UInt8], from first: Int, into bytes: inout [UInt8]) {
    guard first < states.count else {
      if collects { collected.append(contentsOf: token) } else { bytes.append(contentsOf: token) }
      return
    }
    var emitted: [[UInt8]] = []
    states[first].push(token) { emitted.append($0) }
    for part in emitted { feed(part, from: first + 1, into: &bytes) }
  }
}
