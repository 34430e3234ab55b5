/// Decides where values live; see `MemoryPlan`.
extension MemoryPlan {
  init(for program: Program) {
    self.init()
    var planner = Planner(program)
    planner.shareViews()
    planner.shareInPlace()
    planner.placeOutputs()
    planner.packArena()
    places = program.types.indices.map { planner.place(of: $0) }
    arenaBytes = planner.arenaBytes
    unsharedBytes = planner.unsharedBytes
    copies = planner.copies
  }
}

extension Op {
  /// Pairs of a result and the input whose memory the result may be written to while the operation runs.
  package func inPlacePairs(_ inputs: [TensorType], _ results: [TensorType]) -> [(result: Int, input: Int)] {
    switch self {
    case .unary, .binary, .compare, .select, .cast, .activationGradient, .fused:
      return inputs.indices.filter {
        inputs[$0].shape == results[0].shape && inputs[$0].element.size == results[0].element.size
      }.map { (0, $0) }
    case .update: return [(0, 0)]
    case .adamW(let adamW):
      let n = adamW.tensors
      return (0..<n).map { ($0, 4 + $0) } + (n..<(3 * n)).map { ($0, 4 + n + $0) }
    default: return []
    }
  }
}

private struct Planner {
  typealias Value = Program.Value

  /// Values that share one piece of memory.
  struct Storage {
    var bytes: Int
    var firstWrite: Int
    var lastRead: Int
    var place: MemoryPlan.Place?
  }

  let program: Program
  var storages: [Storage] = []
  /// By value: its storage.
  var storageOf: [Int] = []
  var copies: [(value: Value, output: Int)] = []
  var arenaBytes = 0
  var unsharedBytes = 0
  private let donatedInputs: Set<Int>

  /// Outputs are read at the end.
  private var end: Int { program.instructions.count }

  init(_ program: Program) {
    self.program = program
    donatedInputs = Set(program.donations.values)
    storages = program.types.map { Storage(bytes: ($0.bytes + 63) & ~63, firstWrite: -1, lastRead: -1) }
    storageOf = Array(program.types.indices)
    for (position, value) in program.inputs.enumerated() { storages[value].place = .input(position) }
    for (index, instruction) in program.instructions.enumerated() {
      for value in instruction.inputs { storages[value].lastRead = index }
      for value in instruction.results {
        storages[value].firstWrite = index
        storages[value].lastRead = index
        if index < program.constantCount { storages[value].place = .constant }
      }
    }
    for value in program.outputs { storages[value].lastRead = end }
  }

  func place(of value: Value) -> MemoryPlan.Place { storages[storageOf[value]].place ?? .nowhere }

  private mutating func join(_ value: Value, into other: Value) {
    let (from, to) = (storageOf[value], storageOf[other])
    storages[to].lastRead = max(storages[to].lastRead, storages[from].lastRead)
    for index in storageOf.indices where storageOf[index] == from { storageOf[index] = to }
  }

  /// A reshaped value is its source under another type.
  mutating func shareViews() {
    for instruction in program.instructions[program.constantCount...] {
      if case .reshape = instruction.op { join(instruction.results[0], into: instruction.inputs[0]) }
    }
  }

  /// A result is written over an input that is not needed any more.
  mutating func shareInPlace() {
    for (index, instruction) in program.instructions.enumerated().dropFirst(program.constantCount) {
      let pairs = instruction.op.inPlacePairs(
        instruction.inputs.map { program.types[$0] }, instruction.results.map { program.types[$0] })
      var taken = Set<Int>()
      for (result, input) in pairs {
        let (value, source) = (instruction.results[result], instruction.inputs[input])
        let storage = storageOf[source]
        guard storageOf[value] == value, taken.isDisjoint(with: [value, -1 - storage]),
          storages[storage].lastRead == index, mayOverwrite(storage),
          // The same storage under another operand must be read at the same element, too.
          instruction.inputs.allSatisfy({ storageOf[$0] != storage || $0 == source })
        else { continue }
        taken.formUnion([value, -1 - storage])
        join(value, into: source)
      }
    }
  }

  private func mayOverwrite(_ storage: Int) -> Bool {
    switch storages[storage].place {
    case .input(let position): donatedInputs.contains(position)
    case .constant: false
    default: true
    }
  }

  /// Outputs go to their own memory or to that of the input that is donated to them; where that cannot be, they are copied.
  mutating func placeOutputs() {
    for (position, value) in program.outputs.enumerated() {
      let storage = storageOf[value]
      let wanted: MemoryPlan.Place = program.donations[position].map { .input($0) } ?? .output(position)
      if storages[storage].place == wanted { continue }
      if storages[storage].place == nil, isFree(wanted, from: storages[storage].firstWrite) {
        storages[storage].place = wanted
      } else {
        copies.append((value, position))
      }
    }
  }

  /// Whether nobody reads what is at a place from an instruction on.
  private func isFree(_ place: MemoryPlan.Place, from index: Int) -> Bool {
    storages.indices.allSatisfy { storages[$0].place != place || storages[$0].lastRead < index }
  }

  /// Largest first, each at the lowest offset where it meets none that lives at the same time.
  mutating func packArena() {
    let used = Set(storageOf)
    let open = storages.indices.filter {
      used.contains($0) && storages[$0].place == nil && storages[$0].firstWrite >= 0
    }
    let sorted = open.sorted { (storages[$0].bytes, $1) > (storages[$1].bytes, $0) }
    var placed: [(storage: Storage, offset: Int)] = []
    for index in sorted {
      let storage = storages[index]
      let conflicts = placed.filter {
        $0.storage.firstWrite <= storage.lastRead && storage.firstWrite <= $0.storage.lastRead
      }.sorted { $0.offset < $1.offset }
      var offset = 0
      for conflict in conflicts {
        if conflict.offset - offset >= storage.bytes { break }
        offset = max(offset, conflict.offset + conflict.storage.bytes)
      }
      storages[index].place = .arena(offset)
      placed.append((storage, offset))
      arenaBytes = max(arenaBytes, offset + storage.bytes)
      unsharedBytes += storage.bytes
    }
  }
}
