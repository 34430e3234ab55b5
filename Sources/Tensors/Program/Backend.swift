import Synchronization

/// Something that runs programs: the reference interpreter, a CPU, a GPU.
public protocol Backend: Sendable {
  var name: String { get }

  /// Names what results depend on: of backends that have it in common, they are equal bit by bit.
  var arithmetic: String { get }

  /// Prepares a program for being run many times; allocates all memory that runs will need.
  func compile(_ program: Program) throws -> any Executable
}

extension Backend {
  public var arithmetic: String { name }
}

/// A compiled program. Not for concurrent use: one run at a time.
public protocol Executable: AnyObject {
  var program: Program { get }

  /// Runs the program.
  ///
  /// - Parameters:
  ///   - inputs: in the program's order; those that are donated are overwritten.
  ///   - extent: the varying extent, if the program has one (its maximum if nil).
  ///   - inspect: called after each instruction with its results; for looking for the first NaN, or profiling.
  /// - Returns: the outputs, in memory that the next run writes again (donated inputs themselves where donated).
  func run(_ inputs: [TensorData], extent: Int?, inspect: ((Program.Instruction, [TensorData]) throws -> Void)?) throws
    -> [TensorData]
}

extension Executable {
  public func run(_ inputs: [TensorData], extent: Int? = nil) throws -> [TensorData] {
    try run(inputs, extent: extent, inspect: nil)
  }
}

/// The backend that reading a value uses where none was chosen for a task.
public enum DefaultBackend {
  private static let shared = Mutex<(any Backend)?>(nil)
  @TaskLocal private static var chosen: (any Backend)?

  /// The one chosen around the current task, else the process's, else the reference interpreter.
  public static var current: any Backend { chosen ?? shared.withLock { $0 } ?? ReferenceBackend() }

  /// Sets the process's backend; called once, by the program that picks the device.
  public static func use(_ backend: any Backend) { shared.withLock { $0 = backend } }

  /// Uses `backend` for what is read inside `body`.
  public static func with<Result>(_ backend: any Backend, _ body: () throws -> Result) rethrows -> Result {
    try $chosen.withValue(backend, operation: body)
  }
}

// MARK: - Reading values

extension Tensor {
  /// The values: runs the part of the graph that they depend on, once.
  public func data() throws -> TensorData {
    if let known = node.knownValues { return known[index] }
    if case .constant(.data(let data)) = op { return data }
    let results = (0..<node.resultCount).map { Tensor(node, $0) }
    let executable = try DefaultBackend.current.compile(Program(inputs: [], outputs: results))
    // The executable is not run again, so its outputs are nobody else's.
    let values = try executable.run([])
    node.values.withLock { $0 = values }
    return values[index]
  }

  /// The only element.
  public func item() throws -> Double { try data().item }

  /// All elements, row-major.
  public func floats() throws -> [Float] { try data().floats }
}

/// Computes several tensors together.
public func evaluate(_ tensors: [Tensor]) throws -> [TensorData] {
  try DefaultBackend.current.compile(Program(inputs: [], outputs: tensors)).run([])
}
