/// From tensors to instructions: only what the outputs need (no dead code), and equal computations once.
import Synchronization

extension Program {
  init(tracing inputTensors: [Tensor], outputs outputTensors: [Tensor], donating: [Int: Int]) {
    var tracer = Tracer()
    for input in inputTensors { tracer.declare(input) }
    for node in Program.reachable(from: outputTensors.map(\.node)) { tracer.emit(node) }

    types = tracer.types
    instructions = tracer.instructions
    inputs = inputTensors.map { tracer.value(of: $0) }
    inputNames = inputTensors.map { tensor in
      guard case .input(let input) = tensor.op else { preconditionFailure("a program's inputs are placeholders") }
      return input.name
    }
    outputs = outputTensors.map { tracer.value(of: $0) }
    donations = donating
    let extents = Set(inputTensors.filter { $0.shape.varies }.map { $0.shape[0] })
    precondition(extents.count <= 1, "inputs vary up to different extents: \(extents.sorted())")
    extent = extents.first
    for (output, input) in donating {
      precondition(
        outputTensors[output].type == inputTensors[input].type,
        "output \(output) of type \(outputTensors[output].type) cannot take over input \(input) of type "
          + "\(inputTensors[input].type)")
    }
  }

  /// All nodes that the roots depend on, inputs before what uses them; nodes whose values are known count as leaves.
  static func reachable(from roots: [Node]) -> [Node] { reachable(from: roots, stopsAtValues: true) }

  /// All nodes that the roots depend on, in rising order.
  static func reachableWithoutValues(from roots: [Node]) -> [Node] { reachable(from: roots, stopsAtValues: false) }

  private static func reachable(from roots: [Node], stopsAtValues: Bool) -> [Node] {
    var seen = Set<Int>()
    var found: [Node] = []
    var pending = roots
    while let node = pending.popLast() {
      guard seen.insert(node.id).inserted else { continue }
      found.append(node)
      if !stopsAtValues || node.knownValues == nil { pending.append(contentsOf: node.inputs.lazy.map(\.node)) }
    }
    return found.sorted { $0.id < $1.id }
  }

  private struct Tracer {
    struct Key: Hashable {
      var op: Op
      var inputs: [Value]
    }

    var types: [TensorType] = []
    var instructions: [Instruction] = []
    var values: [Int: [Value]] = [:]
    var known: [Key: [Value]] = [:]

    mutating func declare(_ tensor: Tensor) {
      guard case .input = tensor.op else { preconditionFailure("a program's inputs are placeholders") }
      precondition(values[tensor.node.id] == nil, "an input is given twice")
      values[tensor.node.id] = [append(tensor.type)]
    }

    mutating func append(_ type: TensorType) -> Value {
      types.append(type)
      return types.count - 1
    }

    mutating func emit(_ node: Node) {
      guard values[node.id] == nil else { return }
      if let data = node.knownValues {
        values[node.id] = data.map { record(.constant(.data($0)), [], [$0.type], node.scope)[0] }
        return
      }
      if case .input(let input) = node.op {
        preconditionFailure(
          "the value of input '\(input.name)' is needed but not given: a value that depends on a program's input cannot be "
            + "read while the program is traced")
      }
      let inputs = node.inputs.map(value(of:))
      values[node.id] = record(node.op, inputs, [node.type] + node.moreTypes, node.scope)
    }

    mutating func record(_ op: Op, _ inputs: [Value], _ resultTypes: [TensorType], _ scope: Scope?) -> [Value] {
      let key = Key(op: op, inputs: inputs)
      if let results = known[key] { return results }
      let results = resultTypes.map { append($0) }
      known[key] = results
      instructions.append(Instruction(op: op, inputs: inputs, results: results, scope: scope))
      return results
    }

    func value(of tensor: Tensor) -> Value {
      guard let results = values[tensor.node.id] else { preconditionFailure("\(tensor.op.name) was not traced") }
      return results[tensor.index]
    }
  }
}

extension Node {
  /// The values of the node's results if they were read before.
  var knownValues: [TensorData]? { values.withLock { $0 } }
}
