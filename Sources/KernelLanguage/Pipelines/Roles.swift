// Roles: what the warpgroups of a block do, each with a budget of registers of its own (sm_90a).
//
// Invariant: the budgets of all groups fit into the registers that the launch gave the block.

/// What one or several warpgroups (of 128 threads) do.
public struct Role {
  let groups: Int
  let registers: Int?
  let body: (Value<U32>) -> Void

  /// - Parameters:
  ///   - groups: of 128 threads.
  ///   - registers: of a thread: 24 to 256, a multiple of 8; nil: as many as at launch.
  ///   - body: gets the group's index within the role.
  public init(groups: Int = 1, registers: Int? = nil, _ body: @escaping (Value<U32>) -> Void) {
    (self.groups, self.registers, self.body) = (groups, registers, body)
  }
}

extension KernelBuilder {
  /// Lets the warpgroups of the block take roles, in order.
  public func roles(_ roles: [Role]) {
    let groups = roles.reduce(0) { $0 + $1.groups }
    let atLaunch = 65536 / (groups * 128) / 8 * 8
    let budget = roles.reduce(0) { $0 + $1.groups * 128 * ($1.registers ?? atLaunch) }
    precondition(
      budget <= atLaunch * groups * 128,
      "the roles want \(budget) registers, but \(groups) groups have \(atLaunch * groups * 128) at launch")
    // The same in all lanes, which the assembler must see.
    let group = shuffle(thread.x >> 7, .index, 0)
    let end = label()
    var first = 0
    for (index, role) in roles.enumerated() {
      let next = label()
      if index + 1 < roles.count { branch(next, if: group .>= Value(first + role.groups)) }
      if let registers = role.registers {
        if registers < atLaunch { decreaseRegisters(to: registers) } else { increaseRegisters(to: registers) }
      }
      role.body(first == 0 ? group : group - Value(first))
      if index + 1 < roles.count { branch(end) }
      place(next)
      first += role.groups
    }
    place(end)
  }
}
