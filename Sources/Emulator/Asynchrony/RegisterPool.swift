// The registers of a block, as `setmaxnreg` gives them back and asks for them.
//
// Invariant: what the warps hold and what is free is what the launch reserved. Registers of warps that have exited
// stay with them: only `setmaxnreg.dec` gives some back.
//
// PTX ISA 9.1, `setmaxnreg`.

internal import KernelLanguage

/// The registers of one block.
final class RegisterPool: Waitable {
  private unowned let block: ThreadBlock
  /// Of a thread, by warp.
  private var held: [Int]
  /// How often each warp has run `setmaxnreg`.
  private var runs: [Int]
  private(set) var free = 0
  /// What a warp could not get, for the report.
  private var wanted = ""

  init(_ block: ThreadBlock, perThread: Int) {
    self.block = block
    held = [Int](repeating: perThread, count: block.warps.count)
    runs = [Int](repeating: 0, count: block.warps.count)
  }

  var waitDescription: String {
    "registers of block \(block.name): \(wanted), \(free) are free, and warps hold "
      + held.map(String.init).joined(separator: ", ") + " for each thread"
  }

  /// `setmaxnreg.dec`
  func decrease(_ warp: Int, to count: Int) throws(EmulatorError) {
    guard count <= held[warp] else {
      throw EmulatorError(
        .registerBudget,
        "setmaxnreg.dec to \(count) registers, but each thread holds \(held[warp]): a decrease gives some back")
    }
    free += (held[warp] - count) * 32
    held[warp] = count
    runs[warp] += 1
  }

  /// `setmaxnreg.inc`: false if the warp must wait for others to give registers back.
  func increase(_ warp: Int, to count: Int) throws(EmulatorError) -> Bool {
    guard count >= held[warp] else {
      throw EmulatorError(
        .registerBudget,
        "setmaxnreg.inc to \(count) registers, but each thread holds \(held[warp]) already: an increase asks for more")
    }
    let more = (count - held[warp]) * 32
    guard more <= free else {
      wanted = "warp \(warp) wants \(more) more"
      return false
    }
    free -= more
    held[warp] = count
    runs[warp] += 1
    return true
  }

  /// Throws unless all warps of each warpgroup have run `setmaxnreg` equally often.
  func requireWholeGroups() throws(EmulatorError) {
    for first in stride(from: 0, to: runs.count, by: 4) {
      let group = runs[first..<min(first + 4, runs.count)]
      guard group.allSatisfy({ $0 == group.first }) else {
        throw EmulatorError(
          .registerBudget,
          "setmaxnreg was run by some warps of a warpgroup only (warps \(first) to \(first + group.count - 1) of block "
            + "\(block.name): \(group.map(String.init).joined(separator: ", ")) times): let all four run it")
      }
    }
  }
}

extension ThreadBlock {
  /// The block's registers, once the first warp asks. Throws where the launch has reserved no number that is known.
  func requireRegisterPool() throws(EmulatorError) -> RegisterPool {
    if let registers { return registers }
    let kernel = cluster.launch.kernel
    let threads = kernel.directive(.maxntid) ?? kernel.directive(.reqntid)
    guard kernel.directive(.maxnreg) != nil || threads != nil && kernel.directive(.minnctapersm) != nil,
      let perThread = kernel.registersPerThread(cluster.launch.chip)
    else {
      throw EmulatorError(
        .registerBudget,
        "the assembler ignores setmaxnreg, as it does not know how many registers the kernel starts with: add "
          + ".maxnreg, or "
          + ".maxntid with .minnctapersm")
    }
    let pool = RegisterPool(self, perThread: perThread)
    registers = pool
    return pool
  }

  /// All threads have exited. Throws if the block must not end like this.
  func end() throws(EmulatorError) { try registers?.requireWholeGroups() }
}
