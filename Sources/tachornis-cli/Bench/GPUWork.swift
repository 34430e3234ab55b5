// A case that is ready to be run again and again: inputs on the device, programs compiled.
//
// Invariant: a run follows the one before without a wait, and finds nothing of its operands in the second-level cache: it uses
// one of several sets of inputs and outputs that together are at least twice as large.

internal import Core
internal import GPUBackend
internal import Tensors

/// A case on a device.
final class GPUWork {
  /// Runs of the case that one call starts.
  let runs: Int
  private let call: () throws -> Void

  /// - Parameter cacheBytes: of the second-level cache; 0: one set is enough, as nothing is timed.
  init(_ work: GPUCase.Work, bytes: Double, on backend: GPUBackend, cacheBytes: Int) throws {
    switch work {
    case .training(let training):
      let trainer = try GPUTrainer(training, backend: backend)
      (runs, call) = (1, { try trainer() })
    case .graph(let graph):
      let sets = Self.sets(bytes: bytes, cacheBytes: cacheBytes)
      let program = GPUProgram(graph, sets: sets)
      let inputs = try program.makeInputs(on: backend)
      let executable = try backend.compile(program.program)
      (runs, call) = (sets, { _ = try executable.run(inputs) })
    }
  }

  /// How many sets there are: so many that a call takes a tenth of a millisecond at least, too, for a graph costs some
  /// microseconds to start.
  private static func sets(bytes: Double, cacheBytes: Int) -> Int {
    guard cacheBytes > 0 else { return 1 }
    return min(64, max(1, Int((Double(max(2 * cacheBytes, 512 << 20)) / max(bytes, 1)).rounded(.up))))
  }

  /// Starts the runs.
  func start() throws { try call() }
}

/// Several sets of a graph's inputs and outputs as one program.
struct GPUProgram {
  let program: Program
  /// What makes the inputs of a key.
  private let fill: Program

  init(_ graph: (inout GPUInputs) -> GPUGraph, sets: Int = 1) {
    let key = Tensor.input("key", TensorType(.int64, .scalar))
    var inputs = GPUInputs(key: key)
    var outputs: [Tensor] = []
    var donating: [Int: Int] = [:]
    for _ in 0..<sets {
      let made = graph(&inputs)
      for (output, input) in made.donating {
        donating[outputs.count + output] = inputs.placeholders.firstIndex { $0.node === input.node }!
      }
      outputs += made.outputs
    }
    // Weights in blocks meet floats, as they are: other roundings would compare two approximations.
    program = Program(
      inputs: inputs.placeholders, outputs: outputs, donating: donating, options: .init(exactBlocks: true))
    fill = Program(inputs: [key], outputs: inputs.values)
  }

  /// In memory of their own, made by a backend.
  func makeInputs(on backend: any Backend) throws -> [TensorData] {
    let key = TensorData([Int64(1)], shape: .scalar)
    return try backend.compile(fill).run([key])
  }
}
