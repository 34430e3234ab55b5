// A kernel that was decoded: its steps, its registers, and what it needs of a block.
//
// Invariant: registers that an instruction names exist; jumps go to instructions of the kernel; the last step is an exit.

internal import KernelLanguage

/// A kernel, ready to run.
final class DecodedKernel {
  /// One instruction as the machine runs it.
  struct Instruction {
    var step: Step
    /// The guard's place in the register file; -1: none.
    var guardOffset: Int32
    var guardIndex: Int32
    var guardIsNegated: Bool
  }

  /// A parameter's place in `.param`.
  struct Parameter {
    var name: String
    var offset: Int
    var count: Int
  }

  let name: String
  let target: PTXTarget
  let directives: [PTXDirective]
  /// As they stand in the text, for messages; one for each of `code`.
  let instructions: [PTXInstruction]
  let costs: [InstructionCost]
  let code: UnsafeMutablePointer<Instruction>
  /// For messages, by `Register.index`.
  let registerNames: [String]
  let constants: [(register: Register, value: ConstantValue)]
  /// Of the register file.
  let fileBytes: Int
  let parameters: [Parameter]
  let parameterBytes: Int
  /// End of the declared variables in shared memory, with the system's share at the beginning.
  let staticSharedBytes: Int
  /// Of what the launch adds; nil: no such variable.
  let dynamicSharedAlignment: Int?
  /// Of one thread.
  let localBytes: Int
  /// Of variables of the module in global and constant memory.
  let moduleAddresses: [String: UInt64]

  init(_ kernel: PTXKernel, context: consuming DecodingContext, code: [Instruction], instructions: [PTXInstruction]) {
    name = kernel.name
    directives = kernel.directives
    self.instructions = instructions
    self.code = .allocate(capacity: max(code.count, 1))
    self.code.initialize(from: code, count: code.count)
    target = context.target
    costs = context.costs
    registerNames = context.registerNames
    constants = context.constantRegisters
    fileBytes = context.fileBytes
    parameters = context.parameters
    parameterBytes = context.parameterBytes
    staticSharedBytes = context.sharedBytes
    dynamicSharedAlignment = context.dynamicSharedAlignment
    localBytes = context.localBytes
    moduleAddresses = context.moduleAddresses
  }

  deinit {
    code.deinitialize(count: instructions.count)
    code.deallocate()
  }

  /// The values of a directive, nil where the kernel does not have it.
  func directive(_ name: PTXDirective.Name) -> [Int]? { directives.first { $0.name == name }?.values }

  /// Registers of a thread that a launch with this many threads reserves, as far as the directives say it: `.maxnreg`, or what
  /// `.maxntid` and `.minnctapersm` leave. What the assembler really takes is not known here.
  func registersPerThread(_ chip: Chip) -> Int? {
    if let most = directive(.maxnreg)?.first { return most }
    guard let threads = (directive(.maxntid) ?? directive(.reqntid))?.reduce(1, *) else { return nil }
    let blocks = directive(.minnctapersm)?.first ?? 1
    return min(255, chip.registers / max(1, threads * blocks) / 8 * 8)
  }
}
