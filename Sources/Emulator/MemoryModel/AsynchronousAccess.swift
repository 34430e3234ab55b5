// Accesses of asynchronous instructions: they begin when the instruction is issued, and end when the effect lands.
//
// Invariant: from its beginning to its end an access is in flight: no other access may conflict with it, whatever
// either knows. From its end on, those may follow that know its actor (an mbarrier, a group) up to its time.
//
// For copies, wgmma and tcgen05:
//   let access = AsynchronousAccess(by: warp, lanes, actor: …)     // when it is issued
//   try access?.begin(.read, at: place, count)                     // each stretch that it reads or writes
//   launch.later(warp) { …; access?.end(.read, at: place, count, time: …) }

internal import KernelLanguage

/// What an asynchronous instruction reads and writes, as the detector sees it.
struct AsynchronousAccess {
  private let detector: RaceDetector
  /// It keeps the warp's alive.
  private let order: WarpOrder
  private let by: Accessor
  private let isAsynchronousProxy: Bool

  /// The access of an instruction that `lanes` of a warp have issued now; nil if races are not looked for.
  ///
  /// - Parameters:
  ///   - actor: in the cluster, whoever's completion the program waits for.
  ///   - proxy: false for `cp.async`, which writes through the generic proxy.
  ///   - time: nil: a new one.
  init?(by warp: Warp, _ lanes: LaneMask, actor: Int, asynchronousProxy: Bool = true, time: Time? = nil) {
    guard let order = warp.order else { return nil }
    detector = order.detector
    isAsynchronousProxy = asynchronousProxy
    by = Accessor(
      order, flags: [], lanes: lanes, actor: actor, time: time ?? detector.tick(), pc: warp.pc, in: detector)
    self.order = order
    knowledge = order.acquired(lanes)
  }

  /// What the lanes that issued it knew then.
  let knowledge: Knowledge
  /// When it was issued.
  var time: Time { by.time }

  private func accessor(_ kind: MemoryAccess.Kind) -> Accessor {
    var flags: AccessRecord.Flags = isAsynchronousProxy ? [.inFlight, .asynchronous] : .inFlight
    if kind != .read { flags.insert(.write) }
    if kind == .atomic { flags.insert(.atomic) }
    return Accessor(
      order, flags: flags, lanes: by.lanes, actor: Int(by.actor), time: by.time, pc: by.pc, in: detector)
  }

  /// The lanes of bytes that one lane, or nobody in particular, accesses.
  private var pattern: LanePattern {
    let first = by.lanes.trailingZeroBitCount
    // Shifts by 4 make all bytes of a granule those of one lane.
    return by.lanes & (by.lanes - 1) == 0 ? .consecutive(first, at: 0, shift: 4) : .irregular(first: first)
  }

  /// `count` bytes are read or written from now on. With `needsData`, they must have been written before.
  func begin(
    _ kind: MemoryAccess.Kind, at place: MemoryPlace, _ count: Int, lane: Int? = nil, needsData: Bool = false
  ) throws(EmulatorError) {
    let accessor = accessor(kind)
    let pattern = lane.map { LanePattern.consecutive($0, at: 0, shift: 4) } ?? pattern
    if needsData { try requireData(at: place, count) }
    try place.forEachPart(count, of: detector) { (shadow, offset, count) throws(EmulatorError) in
      let window = shadow.window
      try Shadow.forEachGranule(offset, count) { (granule, bytes) throws(EmulatorError) in
        try detector.check(window, granule, bytes, pattern, accessor)
      }
    }
  }

  /// Throws unless all of `count` bytes were written before.
  func requireData(at place: MemoryPlace, _ count: Int) throws(EmulatorError) {
    var done = 0
    try place.forEachPart(count, of: detector) { (shadow, offset, count) throws(EmulatorError) in
      if let first = shadow.firstUninitialised(offset, count) {
        throw EmulatorError(
          .uninitialised, lane: by.lanes.trailingZeroBitCount,
          "byte \(done + first - offset) of \(count) at \(place.description(on: by.order.warp.launch.gpu)) is read, "
            + "but "
            + "nothing was written to it before: write all that is copied or multiplied")
      }
      done += count
    }
  }

  /// The effect on `count` bytes has landed: written bytes have data now.
  ///
  /// - Parameter time: when it counts as done: nil for groups, which complete in order (the time of the issue); now,
  /// for what
  ///   a phase of an mbarrier completes, whatever the order.
  func end(_ kind: MemoryAccess.Kind, at place: MemoryPlace, _ count: Int, time: Time? = nil, initialises: Bool = true)
  {
    let number = by.order.cluster.number
    place.forEachPart(count, of: detector) { shadow, offset, count in
      if kind == .write, initialises { shadow.mark(offset, count, initialised: true) }
      let window = shadow.window
      Shadow.forEachGranule(offset, count) { granule, _ in
        let records = window.records + granule * Shadow.slots
        for slot in 0..<Shadow.slots {
          let record = records[slot]
          if record.time == by.time, record.actor == by.actor, record.cluster == number,
            record.flags.contains(.inFlight), record.flags.contains(.write) == (kind != .read)
          {
            records[slot].flags.remove(.inFlight)
            if let time { records[slot].time = time }
          }
        }
      }
    }
  }

  /// Whether all of `count` bytes were written before.
  func hasData(at place: MemoryPlace, _ count: Int) -> Bool {
    var hasData = true
    place.forEachPart(count, of: detector) { shadow, offset, count in
      hasData = hasData && shadow.firstUninitialised(offset, count) == nil
    }
    return hasData
  }

  /// Copied bytes are what they were where they came from: with data, or without.
  func carry(from source: MemoryPlace, to target: MemoryPlace, _ count: Int) {
    var done = 0
    source.forEachPart(count, of: detector) { from, fromOffset, length in
      var copied = 0
      (target + done).forEachPart(length, of: detector) { to, toOffset, part in
        to.mark(toOffset, part, as: from, at: fromOffset + copied)
        copied += part
      }
      done += length
    }
  }
}
