// An mbarrier as a value: phases, arrivals, and bytes that copies still have to bring.
//
// A phase is complete when no arrival is pending and the transaction count is 0; then the next begins with all
// arrivals pending.
// Invariant: counts are within what the hardware's object holds; an operation that throws has changed nothing.
//
// PTX ISA 9.1, "Parallel Synchronization and Communication Instructions: mbarrier".

/// The state of one mbarrier object.
package struct MemoryBarrier: Hashable {
  /// What counts hold at most.
  package static let limit = 1 << 20 - 1

  /// Arrivals that a phase takes, from the next one on.
  package private(set) var expected: Int
  /// Arrivals that this phase still waits for.
  package private(set) var pending: Int
  /// Bytes that are expected less those that have come.
  package private(set) var transactions = 0
  /// Completed phases, which is the number of the current one, from 0.
  package private(set) var phase = 0

  /// A fault of the program, as a sentence.
  package struct Fault: Error, Hashable {
    package var code: EmulatorError.Code
    package var problem: String
  }

  /// `mbarrier.init`
  package init(count: Int) throws(Fault) {
    guard (1...MemoryBarrier.limit).contains(count) else {
      throw Fault(code: .barrier, problem: "an mbarrier counts 1 to \(MemoryBarrier.limit) arrivals, not \(count)")
    }
    (expected, pending) = (count, count)
  }

  /// `mbarrier.expect_tx`: so many more bytes must come before the phase is complete.
  package mutating func expect(_ bytes: Int) throws(Fault) {
    guard transactions + bytes <= MemoryBarrier.limit, bytes >= 0 else {
      throw Fault(
        code: .transactionCount,
        problem:
          "\(bytes) more bytes than the \(transactions) that are outstanding are expected, which passes the limit of "
          + "\(MemoryBarrier.limit): expect the bytes of one phase at a time")
    }
    transactions += bytes
    try completeIfDone()
  }

  /// `mbarrier.complete_tx`: so many bytes have come. Returns whether the phase is complete.
  @discardableResult
  package mutating func land(_ bytes: Int) throws(Fault) -> Bool {
    guard transactions - bytes >= -MemoryBarrier.limit, bytes >= 0 else {
      throw Fault(
        code: .transactionCount,
        problem: "\(bytes) bytes come, \(bytes - transactions) more than are expected, which passes the limit of "
          + "\(MemoryBarrier.limit): expect as many bytes as the copies bring")
    }
    let before = self
    transactions -= bytes
    do { return try completeIfDone() } catch {
      self = before
      throw error
    }
  }

  /// `mbarrier.arrive`, with `dropping` `mbarrier.arrive_drop`. Returns whether the phase is complete.
  @discardableResult
  package mutating func arrive(_ count: Int = 1, dropping: Bool = false) throws(Fault) -> Bool {
    guard count >= 1, count <= pending else {
      throw Fault(
        code: .barrier,
        problem: count < 1
          ? "an arrival counts 1 or more, not \(count)"
          : "\(count) arrival\(count == 1 ? "" : "s") at an mbarrier whose phase \(phase) waits for \(pending) of "
            + "\(expected): initialise it with as many as arrive in a phase")
    }
    let before = self
    if dropping { expected -= count }
    pending -= count
    do { return try completeIfDone() } catch {
      self = before
      throw error
    }
  }

  /// `.noComplete`: the arrival must not be the phase's last.
  package mutating func arriveWithoutCompleting(_ count: Int) throws(Fault) {
    guard count < pending else {
      throw Fault(
        code: .barrier,
        problem:
          "\(count) arrivals with .noComplete at an mbarrier whose phase \(phase) waits for \(pending): the last "
          + "arrival "
          + "must not be one of these")
    }
    pending -= max(count, 0)
  }

  /// One arrival more is pending in this phase.
  package mutating func addPending() throws(Fault) {
    guard pending < MemoryBarrier.limit else {
      throw Fault(code: .barrier, problem: "more than \(MemoryBarrier.limit) arrivals are pending")
    }
    pending += 1
  }

  @discardableResult
  private mutating func completeIfDone() throws(Fault) -> Bool {
    guard pending == 0 else { return false }
    guard transactions >= 0 else {
      throw Fault(
        code: .transactionCount,
        problem:
          "all have arrived at an mbarrier in phase \(phase), and \(-transactions) bytes more have come than were "
          + "expected: expect (mbarrier.arrive.expect_tx) the bytes of all copies of the phase")
    }
    guard transactions == 0 else { return false }
    phase += 1
    pending = expected
    return true
  }

  /// `mbarrier.try_wait.parity`: whether the phase with this parity is the one before the current one.
  package func isComplete(parity: Int) -> Bool { phase & 1 != parity }

  // MARK: States of phases

  /// The opaque value of `mbarrier.arrive`: the phase, and the arrivals that were pending, before it.
  package var token: UInt64 { UInt64(phase) << 20 | UInt64(pending) }

  /// `mbarrier.pending_count`
  package static func pendingCount(_ token: UInt64) -> UInt32 { UInt32(token & UInt64(limit)) }

  /// `mbarrier.try_wait` with a state: whether its phase is complete.
  package func isComplete(token: UInt64) throws(Fault) -> Bool {
    let asked = Int(token >> 20)
    guard asked == phase || asked == phase - 1 else {
      throw Fault(
        code: .parity,
        problem:
          "the state is that of phase \(asked), and the mbarrier is in phase \(phase): wait for each phase before "
          + "the next "
          + "is complete")
    }
    return asked < phase
  }
}
