import ArgumentParser
import CPUBackend
import Tensors

/// How a command computes.
struct ComputingOptions: ParsableArguments {
  @Option(help: "Threads to compute with.")
  var threads: Int?

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
  }

  /// What is computed with, the default backend from now on.
  ///
  /// - Parameter rowInvariant: whether a row's bits must not depend on what other rows are computed with it.
  func backend(rowInvariant: Bool = false) -> CPUBackend {
    let backend = CPUBackend(threads: threads, rowInvariant: rowInvariant)
    DefaultBackend.use(backend)
    return backend
  }
}
