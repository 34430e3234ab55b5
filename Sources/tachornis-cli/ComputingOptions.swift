import ArgumentParser
import Core
import Tensors

/// How a command computes.
struct ComputingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("What computes: \(DeviceChoice.forms).", valueName: "device"))
  var device: DeviceChoice?

  @Option(help: "Threads to compute with.")
  var threads: Int?

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
  }

  /// What is computed with, the default backend from now on.
  ///
  /// - Parameter rowInvariant: whether a row's bits must not depend on what other rows are computed with it.
  func backend(rowInvariant: Bool = false) throws -> any Backend {
    try Device.backend(device ?? .cpu, threads: threads, rowInvariant: rowInvariant)
  }

  /// As settings of a configuration: `device=…`, `threads=…`.
  var settings: [String] {
    (device.map { ["device=\($0.setting)"] } ?? []) + (threads.map { ["threads=\($0)"] } ?? [])
  }
}
