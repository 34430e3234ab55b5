// Four warps that multiply together: the queue of `wgmma` instructions that they have issued.
//
// Each warp issues on its own; an instruction begins when all four have, in order. It lands later, at a time that the seed chooses,
// after those before it. Registers are in use from a warp's issue to the `wait_group` that covers it, whether or not it has landed,
// so that what a program may not touch does not depend on the seed.
//
// Invariant: `operations` are those that some warp has not waited for, from number `first` on.

internal import KernelLanguage

/// The products of a warpgroup.
final class Warpgroup {
  /// What one of the four warps has done.
  struct Member {
    /// Instructions issued so far, and of those, how many it has waited for.
    var issued = 0
    var waited = 0
    /// For each group that may be pending, how many instructions were issued when it was committed.
    var groups: [Int] = []
    /// For each register that is in use, how many instructions use it, and the form that writes it.
    var uses: [Int32: Use] = [:]
  }

  struct Use {
    var count = 0
    /// Instructions that write it have one shape and one type; nil: it is read only.
    var writer: String?
    var register: Register
  }

  unowned let block: ThreadBlock
  /// The index of the first of the four warps.
  let first: Int
  let chain: Int
  /// Among the cluster's actors: what it reads; nil without a detector.
  private(set) lazy var actor = block.cluster.order?.add(.matrix(of: block.warps[first].order!.actor))
  var members = [Member](repeating: Member(), count: 4)
  private(set) var operations: [WarpgroupOperation] = []
  private var removed = 0

  init(_ block: ThreadBlock, first: Int) {
    (self.block, self.first) = (block, first)
    chain = block.cluster.launch.effects.newChain()
  }

  /// The instruction with this number; a new one by `make` if no warp has issued it.
  func operation(_ number: Int, make: () -> WarpgroupOperation) -> WarpgroupOperation {
    if number - removed == operations.count { operations.append(make()) }
    return operations[number - removed]
  }

  func operation(_ number: Int) -> WarpgroupOperation { operations[number - removed] }

  /// Marks a register as used by one more instruction of a warp.
  func use(_ register: Register, by warp: Warp, writer: String?) {
    let member = warp.index - first
    members[member].uses[register.index, default: Use(register: register)].count += 1
    if let writer { members[member].uses[register.index]!.writer = writer }
    warp.use(register, writer == nil ? .reads : .writes)
  }

  /// Throws if the block ends with products that a warp has not waited for.
  func requireWaited() throws(EmulatorError) {
    for (index, member) in members.enumerated() where member.waited < member.issued {
      throw EmulatorError(
        .inFlight,
        "block \(block.name) exits, and warp \(first + index) has not waited for its wgmma of instruction "
          + "\(operation(member.waited).pc): run wgmma.commit_group and wgmma.wait_group 0 before the end")
    }
  }

  /// A warp has waited for all instructions before `end`: their registers are its own again.
  func release(_ warp: Warp, before end: Int) {
    let member = warp.index - first
    for number in members[member].waited..<max(end, members[member].waited) {
      for register in operation(number).form.registers {
        guard var use = members[member].uses[register.index] else { continue }
        use.count -= 1
        members[member].uses[register.index] = use.count == 0 ? nil : use
        if use.count == 0 { warp.release(register, written: use.writer == nil ? 0 : .max) }
      }
    }
    members[member].waited = max(end, members[member].waited)
    let done = members.map(\.waited).min()! - removed
    if done > 0 {
      operations.removeFirst(done)
      removed += done
    }
  }
}

/// One `wgmma.mma_async`, issued by some of its four warps.
final class WarpgroupOperation: Waitable {
  let form: WGMMAInstructions.Form
  /// The instruction, for errors about warps that issue another one.
  let pc: Int32
  let operands: WGMMAInstructions.Operands
  private unowned let warpgroup: Warpgroup
  /// By number in the warpgroup.
  var joined: [Bool] = [false, false, false, false]
  var hasLanded = false
  /// What it reads of shared memory, from the last warp's issue on.
  var access: AsynchronousAccess?
  var aChunks: [Int] = []
  var bChunks: [Int] = []

  init(_ form: WGMMAInstructions.Form, _ operands: WGMMAInstructions.Operands, pc: Int32, in warpgroup: Warpgroup) {
    (self.form, self.operands, self.pc, self.warpgroup) = (form, operands, pc, warpgroup)
  }

  var waitDescription: String {
    let missing = joined.indices.filter { !joined[$0] }.map { "\(warpgroup.first + $0)" }
    let name = "wgmma of instruction \(pc)"
    return missing.isEmpty
      ? "\(name), which has not landed"
      : "\(name), which warps \(missing.joined(separator: ", ")) of the warpgroup have not issued"
  }
}
