// What an instruction becomes: launches and copies whose addresses are filled in when they are made.

internal import KernelLanguage
internal import Tensors

/// An argument of a launch.
enum Operand: Hashable, Sendable {
  /// The address of a value, and bytes behind it.
  case value(Program.Value, offset: Int = 0)
  /// Bytes from the start of memory that each instruction has for itself while it runs.
  case scratch(Int)
  case number(KernelArgument)
  /// A map of a tensor that begins at a place; its own address is filled in.
  indirect case tensorMap(TensorMap, at: Operand)

  /// So many bytes further on.
  ///
  /// - Precondition: a place, no number.
  func advanced(_ bytes: Int) -> Operand {
    switch self {
    case .value(let value, let offset): .value(value, offset: offset + bytes)
    case .scratch(let offset): .scratch(offset + bytes)
    case .number, .tensorMap: preconditionFailure("\(self) is no address")
    }
  }

  /// A count, in 64 bits where the kernel asks for that.
  static func count(_ value: Int, isWide: Bool = false) -> Operand {
    .number(isWide ? .uint64(UInt64(value)) : .uint32(UInt32(value)))
  }
}

/// A part of an instruction.
enum Step {
  case launch(LoadedKernel, LaunchConfiguration, [Operand])
  /// Between places that do not overlap; nothing where they are the same.
  case copy(from: Operand, to: Operand, bytes: Int)
  /// On the host, with the operands' elements brought there and the results' brought back.
  case host(CustomOp)
}
