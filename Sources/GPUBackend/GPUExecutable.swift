// A program on a device: its memory, and for each instruction the launches that compute it.

internal import KernelLanguage
internal import Synchronization
internal import Tensors

final class GPUExecutable: Executable {
  let program: Program
  private let kernels: KernelCache
  private let memory: GPUMemory
  private var device: any GPUDevice { kernels.device }
  /// Steps by instruction, by varying extent (0 where nothing varies), those that were run last at the end: only sizes differ,
  /// places and kernels do not.
  private var lowered: [(extent: Int, steps: [[Step]])] = []
  /// How many extents are kept at least, and beyond that as many as have so many instructions in all.
  private static let (keptExtents, keptInstructions) = (64, 1 << 15)
  /// The steps as the device has taken them down, and what that holds for.
  private var recording: (extent: Int, state: [UInt64], recording: any GPURecording)?
  private let isOnDeviceOnly: Bool

  init(_ program: Program, kernels: KernelCache) throws {
    self.program = program
    self.kernels = kernels
    memory = try GPUMemory(program, on: kernels.device)
    isOnDeviceOnly = !program.instructions.contains { if case .custom = $0.op { true } else { false } }
    let maximum = program.extent ?? 0
    _ = try steps(extent: maximum)
    for instruction in program.instructions.prefix(program.constantCount) where !instruction.op.isData {
      let lowering = try lower(instruction, extent: maximum)
      try memory.reserveScratch(lowering.scratchBytes)
      try run(lowering.steps, of: instruction, extent: maximum)
    }
    try device.synchronise()
  }

  func run(
    _ inputs: [TensorData], extent: Int?, inspect: ((Program.Instruction, [TensorData]) throws -> Void)?
  ) throws -> [TensorData] {
    let extent = extent ?? program.extent ?? 0
    precondition(
      program.extent.map { extent >= 0 && extent <= $0 } ?? (extent == 0),
      "an extent of \(extent) in a program that was planned for \(program.extent.map { "\($0)" } ?? "none")")
    check(inputs, extent: extent)
    return try kernels.turn.withLock { _ in try run(inputs, extent, inspect) }
  }

  private func run(
    _ inputs: [TensorData], _ extent: Int, _ inspect: ((Program.Instruction, [TensorData]) throws -> Void)?
  ) throws -> [TensorData] {
    let steps = try steps(extent: extent)
    try memory.bind(inputs)
    if inspect == nil, try replay(extent: extent, steps, inputs) { return memory.outputs(inputs, extent: extent) }
    for (steps, instruction) in zip(steps, program.instructions[program.constantCount...]) {
      try run(steps, of: instruction, extent: extent)
      try inspect?(instruction, instruction.results.map { try memory.read($0, program.type(of: $0, extent: extent)) })
    }
    try memory.copyOutputs(inputs, extent: extent)
    return memory.outputs(inputs, extent: extent)
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

  /// Starts all steps as one, where the device can; they are taken down anew when an input or the extent is another.
  private func replay(extent: Int, _ steps: [[Step]], _ inputs: [TensorData]) throws -> Bool {
    guard isOnDeviceOnly else { return false }
    if recording?.extent != extent || recording?.state != memory.state {
      recording = try device.record {
        for (steps, instruction) in zip(steps, program.instructions[program.constantCount...]) {
          try run(steps, of: instruction, extent: extent)
        }
        try memory.copyOutputs(inputs, extent: extent)
      }.map { (extent, memory.state, $0) }
    }
    try recording?.recording.replay()
    return recording != nil
  }

  private func run(_ steps: [Step], of instruction: Program.Instruction, extent: Int) throws {
    for step in steps {
      switch step {
      case .launch(let kernel, let configuration, let operands):
        try kernel.module.launch(kernel.name, configuration, operands.map(memory.argument))
      case .copy(let source, let target, let bytes):
        let (from, to) = (memory.address(of: source), memory.address(of: target))
        if from != to && bytes > 0 { try device.copy(bytes, from: from, to: to) }
      case .host(let custom):
        let inputs = try instruction.inputs.map { try memory.read($0, program.type(of: $0, extent: extent)) }
        let results = instruction.results.map { TensorData(program.type(of: $0, extent: extent)) }
        custom.kernel(inputs, results)
        for (value, result) in zip(instruction.results, results) { try memory.write(result, to: value) }
      }
    }
  }

  // MARK: Lowering

  private func steps(extent: Int) throws -> [[Step]] {
    if lowered.last?.extent == extent { return lowered.last!.steps }
    if let index = lowered.firstIndex(where: { $0.extent == extent }) {
      lowered.append(lowered.remove(at: index))
    } else {
      let most = max(Self.keptExtents, Self.keptInstructions / max(1, program.instructions.count))
      if lowered.count == most { memory.forget(extent: lowered.removeFirst().extent) }
      let steps = try program.instructions[program.constantCount...].map { instruction in
        let lowering = try lower(instruction, extent: extent)
        try memory.reserveScratch(lowering.scratchBytes)
        return lowering.steps
      }
      lowered.append((extent, steps))
    }
    return lowered.last!.steps
  }

  private func lower(_ instruction: Program.Instruction, extent: Int) throws -> Lowering {
    var lowering = Lowering(
      op: instruction.op, inputs: instruction.inputs, results: instruction.results,
      inputTypes: instruction.inputs.map { program.type(of: $0, extent: extent) },
      resultTypes: instruction.results.map { program.type(of: $0, extent: extent) }, kernels: kernels)
    try lowering.lower()
    return lowering
  }
}

extension Op {
  var isData: Bool {
    if case .constant(.data) = self { return true }
    return false
  }
}
