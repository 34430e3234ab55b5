// Groups of asynchronous copies: what a warp's threads have issued, committed and waited for.
//
// Groups of one thread are complete in the order in which they were committed, for those that wait. Invariant: a wait
// lets a thread on only when all groups but the last n that it committed have landed.
//
// PTX ISA 9.1, "Asynchronous copy: completion mechanisms", async-group and bulk async-group.

internal import KernelLanguage

/// The groups of one warp.
final class ThreadGroups {
  let copies = CopyGroups()
  /// By lane.
  private var bulk: [Int: BulkGroups] = [:]

  /// The bulk groups of a thread.
  func bulk(_ lane: Int) -> BulkGroups {
    if let known = bulk[lane] { return known }
    let groups = BulkGroups()
    bulk[lane] = groups
    return groups
  }

  /// Throws if a thread exits whose bulk copies may still read shared memory.
  func requireRead(_ lanes: LaneMask) throws(EmulatorError) {
    for (lane, groups) in bulk where lanes >> LaneMask(lane) & 1 == 1 && !groups.isRead {
      throw EmulatorError(
        .inFlight, lane: lane,
        "the thread exits and has not waited for its bulk copies, which may still read the block's shared memory: run "
          + "cp.async.bulk.commit_group and cp.async.bulk.wait_group 0 (or .read) before the end")
    }
  }
}

/// `cp.async` groups of a warp.
final class CopyGroups: Waitable {
  /// One `cp.async` of some lanes.
  final class Copy {
    let lanes: LaneMask
    /// The lane's group, counted from 0.
    let groups: [Int]
    let time: Time
    fileprivate(set) var isDone = false
    /// Told when it is done.
    fileprivate var dependents: [() -> Void] = []

    init(lanes: LaneMask, groups: [Int], time: Time) { (self.lanes, self.groups, self.time) = (lanes, groups, time) }
  }

  /// Groups that each lane has committed.
  private var committed = [Int](repeating: 0, count: 32)
  /// Those that some lane has not waited for.
  private var copies: [Copy] = []

  var waitDescription: String {
    "cp.async groups, of which \(copies.lazy.filter { !$0.isDone }.count) copies are on their way"
  }

  /// A copy in the groups that are open.
  func issue(_ lanes: LaneMask, time: Time) -> Copy {
    let copy = Copy(lanes: lanes, groups: committed, time: time)
    copies.append(copy)
    return copy
  }

  func land(_ copy: Copy) {
    copy.isDone = true
    for dependent in copy.dependents { dependent() }
    copy.dependents = []
  }

  /// `cp.async.commit_group`
  func commit(_ lanes: LaneMask) { Lanes.each(lanes) { committed[$0] += 1 } }

  /// Whether all groups but the last `left` of these lanes are done; with nil, all that was issued. Returns the time
  /// of the latest copy in them, nil if they are not done.
  func wait(_ lanes: LaneMask, left: Int?) -> Time? {
    var latest: Time = 0
    for copy in copies where copy.lanes & lanes != 0 {
      let isMeant = isMeant(copy, lanes, left: left)
      if isMeant && !copy.isDone { return nil }
      if isMeant { latest = max(latest, copy.time) }
    }
    // What all of its lanes have passed is not asked for again.
    copies.removeAll { $0.isDone && $0.lanes & ~lanes == 0 && isMeant($0, $0.lanes, left: left, all: true) }
    return latest
  }

  private func isMeant(_ copy: Copy, _ lanes: LaneMask, left: Int?, all: Bool = false) -> Bool {
    guard let left else { return true }
    let meant = Lanes.mask(copy.lanes & lanes) { copy.groups[$0] < committed[$0] - left }
    return all ? meant == copy.lanes & lanes : meant != 0
  }

  /// Calls `body` once all that these lanes have issued is done, which may be now. Returns the time of the latest.
  func whenDone(_ lanes: LaneMask, _ body: @escaping () -> Void) -> Time {
    let open = copies.filter { $0.lanes & lanes != 0 && !$0.isDone }
    let latest = copies.lazy.filter { $0.lanes & lanes != 0 }.map(\.time).max() ?? 0
    var count = open.count
    if count == 0 { body() }
    for copy in open {
      copy.dependents.append {
        count -= 1
        if count == 0 { body() }
      }
    }
    return latest
  }
}

/// Bulk groups of one thread.
final class BulkGroups: Waitable {
  /// A group: copies that were issued since the commit before.
  final class Group {
    /// Copies that still read their source, or write.
    var reading = 0
    var writing = 0
    fileprivate var committed: Time = 0
    fileprivate var isKnownToBeRead = false
  }

  private var open = Group()
  private var groups: [Group] = []
  /// When the latest group was committed of those that are not listed any more.
  private var forgotten: Time = 0
  /// Actors of the detector: those who wait with `.read` know the first one.
  private(set) var readActor = -1
  private(set) var actor = -1
  /// Whether copies were issued and not waited for.
  private var isOpenUsed = false

  var waitDescription: String {
    "bulk groups: \(groups.map { "\($0.reading) copies reading, \($0.writing) writing" }.joined(separator: "; "))"
  }

  /// The group that a copy issued now belongs to.
  func issue(by warp: Warp, _ lane: Int) -> Group {
    if actor < 0, let order = warp.order {
      readActor = order.cluster.add(.bulk(lane: lane, of: order.actor, reads: true))
      actor = order.cluster.add(.bulk(lane: lane, of: order.actor, reads: false))
    }
    open.reading += 1
    open.writing += 1
    isOpenUsed = true
    return open
  }

  /// `cp.async.bulk.commit_group`
  func commit(_ detector: RaceDetector?) {
    open.committed = detector?.tick() ?? 0
    groups.append(open)
    open = Group()
    isOpenUsed = false
  }

  /// Whether all groups but the last `left` have landed, or have read their sources.
  func isDone(left: Int, onlyReads: Bool) -> Bool {
    groups.dropLast(left).allSatisfy { $0.reading == 0 && (onlyReads || $0.writing == 0) }
  }

  /// The thread goes on, and knows from now on that those groups are done. Returns up to which time.
  func pass(left: Int, onlyReads: Bool) -> Time {
    let meant = groups.dropLast(left)
    let known = max(forgotten, meant.last?.committed ?? 0)
    for group in meant { group.isKnownToBeRead = true }
    // What is done need not be asked for again.
    while let first = groups.first, first.isKnownToBeRead, first.reading == 0, first.writing == 0 {
      forgotten = max(forgotten, first.committed)
      groups.removeFirst()
    }
    return known
  }

  /// Whether the thread has waited until nothing of its copies reads shared memory.
  var isRead: Bool { !isOpenUsed && groups.allSatisfy(\.isKnownToBeRead) }
}
