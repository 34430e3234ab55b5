import Core
import Tensors

/// The memory of a compiled program: where its plan's places are.
final class CPUMemory {
  let program: Program
  let places: [MemoryPlan.Place]
  let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer>
  private(set) var scratch: UnsafeMutableRawPointer
  private var scratchBytes = 0
  private let arena: UnsafeMutableRawPointer
  /// Kept alive: the literals and what is computed once.
  private var constants: [TensorData] = []
  private var ownOutputs: [Int: TensorData] = [:]
  /// Values in the memory of an input, by the input's position.
  private var inputValues: [(value: Program.Value, position: Int)] = []
  /// Copies at the end; what might be overwritten by another copy goes through memory of its own.
  private var copies: [(value: Program.Value, output: Int, stage: TensorData?)] = []
  private var outputViews: [Int: [Int: TensorData]] = [:]

  init(_ program: Program) {
    self.program = program
    places = program.plan.places
    addresses = .allocate(capacity: max(1, program.types.count))
    scratch = ZeroedMemory.allocate(0)
    arena = ZeroedMemory.allocate(program.plan.arenaBytes)
    addresses.initialize(repeating: arena, count: max(1, program.types.count))

    for (position, value) in program.outputs.enumerated() where program.donations[position] == nil {
      ownOutputs[position] = TensorData(program.types[value])
    }
    for instruction in program.instructions.prefix(program.constantCount) {
      for value in instruction.results {
        let data: TensorData
        if case .constant(.data(let literal)) = instruction.op {
          data = literal
        } else {
          data = TensorData(program.types[value])
        }
        constants.append(data)
        addresses[value] = data.pointer
      }
    }
    for (value, place) in places.enumerated() {
      switch place {
      case .arena(let offset): addresses[value] = arena + offset
      case .output(let position): addresses[value] = ownOutputs[position]!.pointer
      case .input(let position): inputValues.append((value, position))
      case .constant, .nowhere: break
      }
    }
    // A view of a constant that is not computed once but in each run (a large one, or in a program without inputs).
    for instruction in program.instructions.dropFirst(program.constantCount) {
      guard case .reshape = instruction.op, places[instruction.results[0]] == .constant else { continue }
      addresses[instruction.results[0]] = addresses[instruction.inputs[0]]
    }
    copies = program.plan.copies.map { copy in
      var mayBeOverwritten = false
      if case .input(let position) = places[copy.value] {
        mayBeOverwritten = program.donations.values.contains(position)
      }
      return (copy.value, copy.output, mayBeOverwritten ? TensorData(program.types[copy.value]) : nil)
    }
  }

  deinit {
    addresses.deallocate()
    ZeroedMemory.deallocate(scratch, scratchBytes)
    ZeroedMemory.deallocate(arena, program.plan.arenaBytes)
  }

  func reserveScratch(_ bytes: Int) {
    guard bytes > scratchBytes else { return }
    ZeroedMemory.deallocate(scratch, scratchBytes)
    scratchBytes = bytes
    scratch = ZeroedMemory.allocate(bytes)
  }

  func bind(_ inputs: [TensorData]) {
    for (value, position) in inputValues { addresses[value] = inputs[position].pointer }
    boundInputs = inputs
  }
  private var boundInputs: [TensorData] = []

  func view(_ value: Program.Value, _ type: TensorType) -> TensorData {
    TensorData(type, pointer: addresses[value], owner: self)
  }

  func copyOutputs(extent: Int) {
    func bytes(_ value: Program.Value) -> Int { program.type(of: value, extent: extent).bytes }
    for copy in copies {
      if let stage = copy.stage {
        stage.pointer.copyMemory(from: addresses[copy.value], byteCount: bytes(copy.value))
      }
    }
    for copy in copies {
      let source = copy.stage?.pointer ?? addresses[copy.value]
      let target = program.donations[copy.output].map { boundInputs[$0].pointer } ?? ownOutputs[copy.output]!.pointer
      if source != target { target.copyMemory(from: source, byteCount: bytes(copy.value)) }
    }
  }

  /// Keeps nothing for an extent any more.
  func forget(extent: Int) { outputViews[extent] = nil }

  /// The outputs of a run: donated inputs themselves, or the program's own memory.
  func outputs(inputs: [TensorData], extent: Int) -> [TensorData] {
    boundInputs = []
    return program.outputs.indices.map { position in
      if let input = program.donations[position] { return inputs[input] }
      let type = program.type(of: program.outputs[position], extent: extent)
      if type == ownOutputs[position]!.type { return ownOutputs[position]! }
      if let view = outputViews[extent]?[position] { return view }
      let view = TensorData(type, pointer: ownOutputs[position]!.pointer, owner: ownOutputs[position]!)
      outputViews[extent, default: [:]][position] = view
      return view
    }
  }
}
