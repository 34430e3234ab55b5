import CKernels
import Tensors

/// A program in memory: an arena, and for each instruction a kernel that knows its operands' places.
final class CPUExecutable: Executable {
  let program: Program
  private let engine: Engine
  private let memory: CPUMemory
  /// Kernels by varying extent (0 where nothing varies), those that were run last at the end: only sizes differ, places do not.
  private var lowered: [(extent: Int, kernels: [Kernel])] = []
  /// How many extents are kept at least, and beyond that as many as have so many kernels in all, some MiB: with short prompts and
  /// answers a step has another number of rows each time.
  private static let (keptExtents, keptKernels) = (64, 1 << 15)
  private var scratchBytes = 0

  init(_ program: Program, engine: Engine) {
    self.program = program
    self.engine = engine
    memory = CPUMemory(program)
    let maximum = program.extent ?? 0
    _ = kernels(extent: maximum)
    engine.run { context in
      for index in 0..<program.constantCount where !program.instructions[index].op.isData {
        let kernel = lower(program.instructions[index], extent: maximum)
        memory.reserveScratch(kernel.scratchBytes)
        kernel.run(Frame(context: context, addresses: memory.addresses, scratch: memory.scratch))
      }
    }
  }

  func run(
    _ inputs: [TensorData], extent: Int?, inspect: ((Program.Instruction, [TensorData]) throws -> Void)?
  ) throws -> [TensorData] {
    let extent = extent ?? program.extent ?? 0
    precondition(
      program.extent.map { extent >= 0 && extent <= $0 } ?? (extent == 0),
      "an extent of \(extent) in a program that was planned for \(program.extent.map { "\($0)" } ?? "none")")
    check(inputs, extent: extent)
    let kernels = kernels(extent: extent)
    return try engine.run { context in
      memory.bind(inputs)
      let frame = Frame(context: context, addresses: memory.addresses, scratch: memory.scratch)
      if let inspect {
        for (kernel, instruction) in zip(kernels, program.instructions[program.constantCount...]) {
          kernel.run(frame)
          try inspect(instruction, instruction.results.map { memory.view($0, program.type(of: $0, extent: extent)) })
        }
      } else {
        for kernel in kernels { kernel.run(frame) }
      }
      memory.copyOutputs(extent: extent)
      return memory.outputs(inputs: inputs, extent: extent)
    }
  }

  private func check(_ inputs: [TensorData], extent: Int) {
    precondition(inputs.count == program.inputs.count, "\(inputs.count) inputs for \(program.inputs.count)")
    for (position, (input, value)) in zip(inputs, program.inputs).enumerated() {
      let type = program.type(of: value, extent: extent)
      precondition(
        input.type.element == type.element && input.shape.dimensions == type.shape.dimensions,
        "input '\(program.inputNames[position])' is \(type), but was given \(input.type)")
    }
  }

  private func kernels(extent: Int) -> [Kernel] {
    if lowered.last?.extent == extent { return lowered.last!.kernels }
    if let index = lowered.firstIndex(where: { $0.extent == extent }) {
      lowered.append(lowered.remove(at: index))
    } else {
      let most = max(Self.keptExtents, Self.keptKernels / max(1, program.instructions.count))
      if lowered.count == most { memory.forget(extent: lowered.removeFirst().extent) }
      lowered.append((extent, lower(extent: extent)))
    }
    return lowered.last!.kernels
  }

  private func lower(extent: Int) -> [Kernel] {
    program.instructions[program.constantCount...].map { instruction in
      let kernel = lower(instruction, extent: extent)
      memory.reserveScratch(kernel.scratchBytes)
      return kernel
    }
  }

  private func lower(_ instruction: Program.Instruction, extent: Int) -> Kernel {
    Lowering(
      op: instruction.op, inputs: instruction.inputs, results: instruction.results,
      inputTypes: instruction.inputs.map { program.type(of: $0, extent: extent) },
      resultTypes: instruction.results.map { program.type(of: $0, extent: extent) },
      places: memory.places, context: engine.context
    ).kernel()
  }
}

/// What a kernel is run with.
struct Frame {
  let context: UnsafePointer<ck_context>
  /// By value: its first byte.
  let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer>
  /// Room for one kernel at a time.
  let scratch: UnsafeMutableRawPointer

  subscript(value: Program.Value) -> UnsafeMutableRawPointer { addresses[value] }
}

/// One instruction, ready to run.
struct Kernel {
  var scratchBytes = 0
  let run: (Frame) -> Void
}

extension Op {
  var isData: Bool {
    if case .constant(.data) = self { return true }
    return false
  }
}
