// The memory of a compiled program on a device: where its plan's places are.

internal import KernelLanguage
internal import Tensors

/// Addresses by value, filled in once but for the inputs, which each run brings.
final class GPUMemory {
  let program: Program
  let device: any GPUDevice
  private var addresses: [UInt64]
  private let arena: DeviceBuffer
  private var scratch: DeviceBuffer
  /// Kept alive: the literals and what is computed once.
  private var constants: [DeviceBuffer] = []
  private var ownOutputs: [Int: DeviceBuffer] = [:]
  /// Outputs by position and extent, each with the memory of its position attached.
  private var outputData: [Int: [Int: TensorData]] = [:]
  /// Values in the memory of an input, by the input's position.
  private var inputValues: [(value: Program.Value, position: Int)] = []
  /// Copies at the end; what might be overwritten by another copy goes through memory of its own.
  private var copies: [(value: Program.Value, output: Int, stage: DeviceBuffer?)] = []

  init(_ program: Program, on device: any GPUDevice) throws {
    self.program = program
    self.device = device
    arena = try DeviceBuffer(program.plan.arenaBytes, on: device, name: "arena")
    scratch = try DeviceBuffer(0, on: device, name: "scratch")
    addresses = [UInt64](repeating: 0, count: program.types.count)
    for (position, value) in program.outputs.enumerated() where program.donations[position] == nil {
      ownOutputs[position] = try DeviceBuffer(program.types[value].bytes, on: device, name: "output \(position)")
    }
    for instruction in program.instructions.prefix(program.constantCount) {
      try placeConstants(instruction)
    }
    for (value, place) in program.plan.places.enumerated() {
      switch place {
      case .arena(let offset): addresses[value] = arena.address + UInt64(offset)
      case .output(let position): addresses[value] = ownOutputs[position]!.address
      case .input(let position): inputValues.append((value, position))
      case .constant, .nowhere: break
      }
    }
    // A view of a constant that is not computed once but in each run (a large one, or in a program without inputs).
    for instruction in program.instructions.dropFirst(program.constantCount) {
      guard case .reshape = instruction.op, program.plan.places[instruction.results[0]] == .constant else { continue }
      addresses[instruction.results[0]] = addresses[instruction.inputs[0]]
    }
    copies = try program.plan.copies.map { copy in
      var mayBeOverwritten = false
      if case .input(let position) = program.plan.places[copy.value] {
        mayBeOverwritten = program.donations.values.contains(position)
      }
      let bytes = program.types[copy.value].bytes
      return (copy.value, copy.output, mayBeOverwritten ? try DeviceBuffer(bytes, on: device, name: "copy") : nil)
    }
  }

  private func placeConstants(_ instruction: Program.Instruction) throws {
    for value in instruction.results {
      let buffer = try DeviceBuffer(program.types[value].bytes, on: device, name: "constant %\(value)")
      if case .constant(.data(let literal)) = instruction.op, buffer.bytes > 0 {
        try device.write(literal.readBytes, to: buffer.address)
      }
      constants.append(buffer)
      addresses[value] = buffer.address
    }
  }

  func reserveScratch(_ bytes: Int) throws {
    if bytes > scratch.bytes { scratch = try DeviceBuffer(bytes, on: device, name: "scratch") }
  }

  /// Takes the inputs' memory on the device, filling it where it is not current. What is donated is the device's from here on.
  func bind(_ inputs: [TensorData]) throws {
    let buffers = try inputs.enumerated().map { position, input in
      try input.resident(on: device, name: "input '\(program.inputNames[position])'")
    }
    for (value, position) in inputValues { addresses[value] = buffers[position].address }
    for position in program.donations.values { inputs[position].attach(buffers[position], isNewer: true) }
  }

  /// All that launches of the same steps can differ in.
  var state: [UInt64] { addresses + [scratch.address] }

  func address(of operand: Operand) -> UInt64 {
    switch operand {
    case .value(let value, let offset): addresses[value] + UInt64(offset)
    case .scratch(let offset): scratch.address + UInt64(offset)
    case .number, .tensorMap: preconditionFailure("\(operand) is no address")
    }
  }

  func argument(_ operand: Operand) -> KernelArgument {
    switch operand {
    case .number(let number): return number
    case .value, .scratch: return .pointer(address(of: operand))
    case .tensorMap(var map, let place):
      map.address = address(of: place)
      return .tensorMap(map)
    }
  }

  /// A value as a tensor on the host.
  func read(_ value: Program.Value, _ type: TensorType) throws -> TensorData {
    let result = TensorData(type)
    if type.bytes > 0 { try device.read(addresses[value], into: result.bytes) }
    return result
  }

  func write(_ data: TensorData, to value: Program.Value) throws {
    if data.type.bytes > 0 { try device.write(data.readBytes, to: addresses[value]) }
  }

  func copyOutputs(_ inputs: [TensorData], extent: Int) throws {
    func bytes(_ value: Program.Value) -> Int { program.type(of: value, extent: extent).bytes }
    for copy in copies where bytes(copy.value) > 0 {
      if let stage = copy.stage { try device.copy(bytes(copy.value), from: addresses[copy.value], to: stage.address) }
    }
    for copy in copies where bytes(copy.value) > 0 {
      let source = copy.stage?.address ?? addresses[copy.value]
      let target =
        program.donations[copy.output].map { addresses[program.inputs[$0]] } ?? ownOutputs[copy.output]!.address
      if source != target { try device.copy(bytes(copy.value), from: source, to: target) }
    }
  }

  /// Keeps nothing for an extent any more.
  func forget(extent: Int) { outputData[extent] = nil }

  /// The outputs of a run: donated inputs themselves, or the program's own, whose elements come to the host when somebody looks.
  func outputs(_ inputs: [TensorData], extent: Int) -> [TensorData] {
    program.outputs.indices.map { position in
      if let input = program.donations[position] { return inputs[input] }
      let data =
        outputData[extent]?[position] ?? TensorData(program.type(of: program.outputs[position], extent: extent))
      outputData[extent, default: [:]][position] = data
      data.attach(ownOutputs[position]!, isNewer: true)
      return data
    }
  }
}
