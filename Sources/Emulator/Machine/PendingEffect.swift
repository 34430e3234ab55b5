// Effects of asynchronous instructions that have not landed yet.
//
// Invariant: effects of one chain land in the order in which they were issued; others in any order, at any time, as the seed has
// it. When no warp can run, one lands; a launch ends when none is left.

internal import Core

/// What an asynchronous instruction will do.
struct PendingEffect {
  /// Where it was issued, for errors and for the dead-lock report.
  var place: EmulatorError.Place
  /// Whose warps may run again when it has landed.
  var cluster: Cluster
  /// Of effects that keep their order, from `EffectQueue.newChain()`; nil: none.
  var chain: Int?
  /// Does it. Errors without a place get that of the issue.
  var land: () throws(EmulatorError) -> Void
}

/// All effects on their way.
struct EffectQueue {
  private var effects: [PendingEffect] = []
  private var chains = 0

  var isEmpty: Bool { effects.isEmpty }
  var count: Int { effects.count }

  mutating func newChain() -> Int {
    chains += 1
    return chains
  }

  mutating func append(_ effect: PendingEffect) { effects.append(effect) }

  /// Takes an effect that may land now, by the seed: the oldest of its chain.
  mutating func take(_ random: inout RandomSequence) -> PendingEffect? {
    guard !effects.isEmpty else { return nil }
    var index = Int(random.next() % UInt64(effects.count))
    if let chain = effects[index].chain { index = effects.firstIndex { $0.chain == chain }! }
    return effects.remove(at: index)
  }

  /// For reports.
  var places: [EmulatorError.Place] { effects.map(\.place) }
}
