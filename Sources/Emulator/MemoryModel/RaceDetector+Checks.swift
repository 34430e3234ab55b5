// Comparing an access with those before it, and recording it.

internal import KernelLanguage

/// Who accesses memory now: what its records have in common.
struct Accessor {
  /// Of the warp that runs the instruction, or has issued it; it outlives the access.
  unowned(unsafe) let order: WarpOrder
  let flags: AccessRecord.Flags
  let lanes: LaneMask
  /// Whose completion others wait for: the warp's, or that of a group or barrier of an asynchronous instruction.
  let actor: UInt16
  let time: Time
  let pc: Int32
  /// Of the warp.
  let cluster: UInt32
  /// `RaceDetector.floor` and `.settled`.
  let floor: Time
  let settled: Time

  init(
    _ order: WarpOrder, flags: AccessRecord.Flags, lanes: LaneMask, actor: Int, time: Time, pc: Int32,
    in detector: RaceDetector
  ) {
    (self.order, self.flags, self.lanes, self.time, self.pc) = (order, flags, lanes, time, pc)
    self.actor = UInt16(truncatingIfNeeded: actor)
    (cluster, floor, settled) = (order.cluster.number, detector.floor, detector.settled)
  }
}

extension RaceDetector {
  /// Compares an access of some bytes of a granule with earlier ones, and puts it beside them or in their place.
  @inline(__always)
  func check(
    _ window: Shadow.Window, _ granule: Int, _ bytes: UInt16, _ lanes: LanePattern, _ by: Accessor
  ) throws(EmulatorError) {
    let records = window.records + granule &* Shadow.slots
    let new = AccessRecord(
      time: by.time, cluster: by.cluster, actor: by.actor, bytes: bytes, flags: by.flags, lanes: lanes,
      pc: by.pc)
    let isWrite = by.flags.contains(.write)
    var (free, spare) = (-1, -1)
    for slot in 0..<Shadow.slots {
      let old = records[slot]
      // What was there before the launch is before all that it does, but for a grid that it overlaps.
      if old.time <= by.floor {
        if old.time <= by.settled {
          free = slot
        } else if by.order.knowsGridBefore(by.lanes) {
          // Other warps may not know it.
          spare = slot
        } else if old.bytes & bytes != 0, isWrite || old.flags.contains(.write) {
          throw overlap(old, new, window.shadow, granule, by)
        }
        continue
      }
      if new.repeats(old) { return }
      let common = old.bytes & bytes
      if common == 0 { continue }
      if isWrite || old.flags.contains(.write) {
        if !(old.flags.contains(.atomic) && by.flags.contains(.atomic)) {
          let relation = by.order.relation(of: old, to: new, on: common, by.lanes)
          if relation != .ordered { throw fault(relation, old, new, common, window.shadow, granule, by) }
        }
      }
      if old.flags.contains(.inFlight) { continue }
      if isWrite {
        records[slot].bytes = old.bytes & ~bytes
        if records[slot].bytes == 0 {
          records[slot].time = 0
          free = slot
        }
      } else if !old.flags.contains(.write), old.actor == new.actor, old.cluster == new.cluster, old.bytes & ~bytes == 0
      {
        records[slot].time = 0
        free = slot
      }
    }
    if free < 0 { free = spare >= 0 ? spare : victim(records, Int(by.time) &+ granule) }
    if free >= 0 { records[free] = new }
  }

  /// The record that makes room when there is none: a read, by turns; one in flight stays.
  private func victim(_ records: UnsafeMutablePointer<AccessRecord>, _ turn: Int) -> Int {
    for onlyReads in [true, false] {
      for step in 0..<Shadow.slots {
        let slot = (turn + step) % Shadow.slots
        let flags = records[slot].flags
        if !flags.contains(.inFlight), !onlyReads || !flags.contains(.write) { return slot }
      }
    }
    return -1
  }
}
