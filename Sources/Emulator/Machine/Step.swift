// Steps: what an instruction becomes when a module is loaded, and the table of those that make them.
//
// To add a family of instructions: a file in `Instructions/` with an enum that has `static let decoders: [String: Decoder]`, keyed
// by opcode (`mma`) or, where families share one, by opcode and any one modifier (`fence.proxy`, `barrier.cluster`, `cvt.e4m3x2`:
// that wins over the opcode), and one line in `DecoderTable.families`. A decoder looks at modifiers and operands once, throws
// `.unsupported` for a form that it does not know, and returns a closure specialised on the rest; it never leaves work to the
// closure that could be done before.
//
// Invariant: a step that returns `.blocked` has changed nothing; it is called again, with the same lanes or more, once something
// has changed. A step is never called with an empty mask.

internal import KernelLanguage

/// Runs one instruction for the lanes of a mask. The guard has been applied already.
typealias Step = (Warp, LaneMask) throws(EmulatorError) -> Outcome

/// Makes the step of an instruction.
typealias Decoder = @Sendable (inout DecodingContext, PTXInstruction) throws(EmulatorError) -> Step

/// What the lanes do next.
enum Outcome {
  /// On to the next instruction.
  case next
  /// On at another instruction.
  case jump(Int32)
  /// These lanes are done.
  case exit
  /// They wait: made by `Warp.blocked(on:)`.
  case blocked
}

/// What blocked lanes wait for.
enum Wait {
  /// Until these lanes have come to the same instruction.
  case convergence(LaneMask)
  /// A barrier of the block, by number.
  case namedBarrier(Int)
  /// Anything else: it says for the dead-lock report how it stands.
  case object(any Waitable)
}

/// Something that lanes can wait for.
protocol Waitable: AnyObject {
  /// For the dead-lock report: "mbarrier at shared 0x400: phase 3, 2 of 4 arrivals pending, 16384 bytes outstanding; warp 0 of
  /// block (0, 0, 0) arrived last".
  var waitDescription: String { get }
}

/// The functional unit that an instruction keeps busy, for the counters and the roofline.
enum FunctionalUnit: String, Hashable, CaseIterable {
  case integer, float32, half, float64, special, conversion, memory, control, synchronisation, tensor, asynchronousCopy
}

/// What one execution of an instruction by a warp costs; known when it is decoded.
struct InstructionCost {
  var unit: FunctionalUnit
  /// Of the tensor cores, by all lanes of one warp together; a warpgroup's instruction counts a quarter for each warp.
  var tensorOperations: Double = 0
  var tensorRate: Chip.TensorRate?
}

enum DecoderTable {
  /// All families of instructions. Opcodes are in one family only.
  static let families: [[String: Decoder]] = [
    ControlInstructions.decoders, IntegerInstructions.decoders, ArithmeticInstructions.decoders,
    FloatInstructions.decoders, FunctionInstructions.decoders, BitInstructions.decoders, MoveInstructions.decoders,
    MbarrierInstructions.decoders, FenceInstructions.decoders, ClusterInstructions.decoders,
    CopyInstructions.decoders, TensorCopyInstructions.decoders, RemoteStoreInstructions.decoders,
    LaunchControlInstructions.decoders, TensorMapInstructions.decoders, LoadMatrixInstructions.decoders,
    MMAInstructions.decoders, NarrowConversions.decoders, WGMMAInstructions.decoders,
    TensorMemoryInstructions.decoders, TensorProductInstructions.decoders, ComparisonInstructions.decoders,
    ConversionInstructions.decoders, MemoryInstructions.decoders, AtomicInstructions.decoders,
    WarpInstructions.decoders, BarrierInstructions.decoders,
  ]

  static let all: [String: Decoder] = families.reduce(into: [:]) { table, family in
    table.merge(family) { _, _ in preconditionFailure("an opcode has two decoders") }
  }

  /// What decodes an instruction, nil if nothing does.
  static func decoder(of instruction: PTXInstruction) -> Decoder? {
    for modifier in instruction.modifiers {
      if let decoder = all["\(instruction.opcode).\(modifier)"] { return decoder }
    }
    return all[instruction.opcode]
  }
}
