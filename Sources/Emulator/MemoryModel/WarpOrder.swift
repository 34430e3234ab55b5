// What a warp knows: the clocks of its lanes, together as long as they act together, and apart where some of them wait
// or release alone.
//
// Invariant: `known` holds for all lanes of the warp; `partial` adds what some lanes know alone. Accesses of the warp
// up to `synchronised` are ordered among its lanes; later ones only within a lane.

/// The order of one warp's accesses among all others.
final class WarpOrder {
  /// What some lanes know beyond the rest.
  struct Partial {
    var lanes: LaneMask
    var knowledge: Knowledge
  }

  /// What a fence found: a later relaxed write releases it.
  struct Fenced {
    var lanes: LaneMask
    var knowledge: Knowledge
  }

  unowned(unsafe) let detector: RaceDetector
  let cluster: ClusterOrder
  unowned(unsafe) let warp: Warp
  /// Of its block.
  let shadow: Shadow
  let actor: Int
  /// The time that accesses have now.
  @exclusivity(unchecked) private(set) var epoch: Time
  @exclusivity(unchecked) private(set) var synchronised: Time
  @exclusivity(unchecked) private(set) var known = Knowledge()
  private(set) var partial: [Partial] = []
  /// Of earlier relaxed reads: known with the next fence.
  private var unfenced: Partial?
  private var fenced: Fenced?
  var hasFenced: Bool { fenced != nil }
  /// The actor of its `cp.async`, and up to when each lane has waited for its own.
  private(set) var copies: Int?
  private(set) var copiesWaited: Time = 0

  init(_ warp: Warp, in cluster: ClusterOrder, _ block: BlockOrder, of detector: RaceDetector) {
    (self.warp, self.cluster, self.detector, shadow) = (warp, cluster, detector, block.shadow)
    actor = cluster.actor(of: warp)
    synchronised = cluster.floor
    epoch = detector.tick()
  }

  // MARK: Letting others know

  /// Adds to `target` all that these lanes have done and know. What they do from now on is later.
  func release(_ lanes: LaneMask, into target: inout Knowledge) {
    target.join(known)
    for part in partial where part.lanes & lanes != 0 { target.join(part.knowledge) }
    if let copies { target.own.seen.raise(copies, to: copiesWaited) }
    if lanes & warp.live == warp.live {
      target.own.seen.raise(actor, to: epoch)
    } else {
      target.own.seen.raise(actor, to: synchronised)
      if let part = cluster.part(lanes, of: actor) {
        target.own.seen.raise(part.actor, to: epoch)
      } else {
        target.own.seen.raise(actor, to: epoch)
      }
      for part in cluster.parts[actor] ?? [] where part.lanes & lanes != 0 {
        target.own.seen.raise(part.actor, to: part.synchronised)
      }
    }
    epoch = detector.tick()
  }

  /// What these lanes have got to know from others. It is before what they issue now, and so before whatever that
  /// completes.
  func acquired(_ lanes: LaneMask) -> Knowledge {
    var all = known
    for part in partial where part.lanes & lanes != 0 { all.join(part.knowledge) }
    return all
  }

  /// What a relaxed write of these lanes releases: what a fence has found before.
  func releaseFenced(_ lanes: LaneMask, into target: inout Knowledge) {
    if let fenced, fenced.lanes & lanes != 0 { target.join(fenced.knowledge) }
  }

  // MARK: Getting to know

  /// These lanes know all that `knowledge` says.
  func acquire(_ lanes: LaneMask, _ knowledge: Knowledge) {
    if lanes & warp.live == warp.live {
      known.join(knowledge)
    } else if let index = partial.firstIndex(where: { $0.lanes == lanes }) {
      partial[index].knowledge.join(knowledge)
    } else {
      // Too many to tell apart: all lanes know it, which can only hide something.
      if partial.count >= 32 {
        known.join(knowledge)
      } else {
        partial.append(Partial(lanes: lanes, knowledge: knowledge))
      }
    }
  }

  /// These lanes know accesses of an actor up to a time.
  func acquire(_ lanes: LaneMask, actor: Int, upTo time: Time) {
    var knowledge = Knowledge()
    knowledge.own.seen.raise(actor, to: time)
    acquire(lanes, knowledge)
  }

  /// A relaxed read of these lanes has met what others released: known with the next fence.
  func meet(_ lanes: LaneMask, _ knowledge: Knowledge) {
    if unfenced == nil { unfenced = Partial(lanes: 0, knowledge: Knowledge()) }
    unfenced?.lanes |= lanes
    unfenced?.knowledge.join(knowledge)
  }

  // MARK: Within the warp

  /// What each of these lanes did before is before what each of them does after.
  func synchronise(_ lanes: LaneMask) {
    if lanes & warp.live == warp.live {
      for part in partial { known.join(part.knowledge) }
      partial.removeAll(keepingCapacity: true)
      if let copies { known.own.seen.raise(copies, to: copiesWaited) }
      synchronised = epoch
      epoch = detector.tick()
    } else if lanes.nonzeroBitCount > 1 {
      var together = Knowledge()
      for part in partial where part.lanes & lanes != 0 { together.join(part.knowledge) }
      acquire(lanes, together)
      cluster.part(lanes, of: actor)?.synchronised = epoch
      epoch = detector.tick()
    }
  }

  /// Some lanes have exited: what all that are left know is known to the warp.
  func shrink() {
    for part in partial where part.lanes & warp.live == warp.live { known.join(part.knowledge) }
    partial.removeAll { $0.lanes & warp.live == warp.live }
  }

  // MARK: Fences

  /// `fence.acq_rel`, `fence.sc`, `membar`.
  func fence(_ lanes: LaneMask) {
    if let met = unfenced, met.lanes & lanes != 0 {
      acquire(lanes, met.knowledge)
      unfenced = nil
    }
    var found = Knowledge()
    release(lanes, into: &found)
    fenced = Fenced(lanes: lanes, knowledge: found)
  }

  /// `fence.proxy.async`: writes that these lanes know, and their own, are visible to the asynchronous proxy from now
  /// on.
  func fenceProxy(_ lanes: LaneMask) {
    var found = Knowledge()
    release(lanes, into: &found)
    found.own.proxied.join(found.own.seen)
    for cluster in found.foreign.keys { found.foreign[cluster]!.proxied.join(found.foreign[cluster]!.seen) }
    acquire(lanes, found)
  }

  // MARK: cp.async

  /// The actor of this warp's `cp.async`.
  func copiesActor() -> Int {
    if let copies { return copies }
    let actor = cluster.add(.copies(of: self.actor))
    copies = actor
    return actor
  }

  /// Lanes have waited for their own copies that were issued up to a time.
  func waitCopies(upTo time: Time) { copiesWaited = max(copiesWaited, time) }

  // MARK: Questions

  /// How an earlier access stands to one of these lanes now.
  enum Relation { case ordered, unordered, notProxied, inFlight }

  /// - Parameters:
  ///   - common: bytes of the granule that both touch.
  ///   - new: the access that these lanes make now, by themselves or by an instruction of the asynchronous proxy.
  @inline(__always)
  func relation(of old: AccessRecord, to new: AccessRecord, on common: UInt16, _ lanes: LaneMask) -> Relation {
    if old.flags.contains(.inFlight) { return .inFlight }
    let isOwnCluster = old.cluster == cluster.number
    if isOwnCluster, Int(old.actor) == actor {
      if old.time > synchronised, new.lanes.differs(from: old.lanes, on: common), !isSynchronised(old, new, common) {
        return .unordered
      }
    } else if !(isOwnCluster && known.own.seen[Int(old.actor)] >= old.time),
      !knows(earlier: old, new, common, lanes, proxied: false)
    {
      return .unordered
    }
    // Only writes of the generic proxy stay unseen by the other one.
    if new.flags.contains(.asynchronous), !old.flags.contains(.asynchronous), old.flags.contains(.write),
      !(isOwnCluster && known.own.proxied[Int(old.actor)] >= old.time),
      !knows(earlier: old, new, common, lanes, proxied: true)
    {
      return .notProxied
    }
    return .ordered
  }

  /// Whether lanes of this warp that made two accesses have synchronised in between.
  private func isSynchronised(_ old: AccessRecord, _ new: AccessRecord, _ common: UInt16) -> Bool {
    guard let parts = cluster.parts[actor] else { return false }
    let lanes = (old.lanes.lanes(of: common) ?? 0) | (new.lanes.lanes(of: common) ?? 0)
    return parts.contains { $0.synchronised >= old.time && $0.lanes & lanes == lanes }
  }

  /// Whether one of these lanes knows of what lanes of another warp of the cluster, or of this one, did up to a time.
  func knows(_ other: WarpOrder, _ otherLanes: LaneMask, _ time: Time, _ lanes: LaneMask) -> Bool {
    if other === self {
      return time <= synchronised || lanes & otherLanes != 0
        || (cluster.parts[actor] ?? []).contains {
          $0.synchronised >= time && $0.lanes & (lanes | otherLanes) == lanes | otherLanes
        }
    }
    if self.time(of: other.actor, lanes) >= time { return true }
    let actors =
      [other.actor] + (cluster.parts[other.actor] ?? []).filter { otherLanes & ~$0.lanes == 0 }.map(\.actor)
    return actors.contains { self.time(of: $0, lanes) >= time }
  }

  /// Whether one of these lanes, or who they know of, has waited for the grid before.
  func knowsGridBefore(_ lanes: LaneMask) -> Bool {
    func holds(_ knowledge: Knowledge) -> Bool {
      knowledge.own.seen[ClusterOrder.gridBefore] > 0
        || knowledge.foreign.values.contains { $0.seen[ClusterOrder.gridBefore] > 0 }
    }
    return holds(known) || partial.contains { $0.lanes & lanes != 0 && holds($0.knowledge) }
  }

  /// Up to when one of these lanes knows an actor of its cluster.
  func time(of actor: Int, _ lanes: LaneMask) -> Time {
    partial.reduce(known.own.seen[actor]) { time, part in
      part.lanes & lanes != 0 ? max(time, part.knowledge.own.seen[actor]) : time
    }
  }

  /// Looks through what parts of this warp know of parts of the other.
  private func knows(
    earlier old: AccessRecord, _ new: AccessRecord, _ common: UInt16, _ lanes: LaneMask, proxied: Bool
  ) -> Bool {
    let oldLanes = old.lanes.lanes(of: common)
    let owner = old.cluster == cluster.number ? cluster : detector.cluster(old.cluster)
    let parts = owner?.parts[Int(old.actor)] ?? []
    func covers(_ knowledge: Knowledge) -> Bool {
      guard let clocks = old.cluster == cluster.number ? knowledge.own : knowledge.foreign[old.cluster] else {
        return false
      }
      let clock = proxied ? clocks.proxied : clocks.seen
      if clock[Int(old.actor)] >= old.time { return true }
      return parts.contains { part in
        clock[part.actor] >= old.time && (oldLanes.map { $0 & part.lanes == $0 } ?? true)
      }
    }
    if covers(known) { return true }
    // Each lane's own copies are known to it when it has waited for them.
    if !proxied, let copies, old.cluster == cluster.number, Int(old.actor) == copies {
      return copiesWaited >= old.time && !new.lanes.differs(from: old.lanes, on: common)
    }
    guard !partial.isEmpty else { return false }
    if var rest = new.lanes.lanes(of: common) {
      // Every lane that touches the bytes must know.
      for part in partial where part.lanes & rest != 0 && covers(part.knowledge) { rest &= ~part.lanes }
      return rest == 0
    }
    return partial.contains { $0.lanes & lanes != 0 && covers($0.knowledge) }
  }
}
