// The device that a command computes on.

public import ArgumentParser
import CPUBackend
public import Core
import Emulator
import GPUBackend
import Tensors

enum Device {
  /// A backend for a device, the default one from now on.
  ///
  /// - Parameters:
  ///   - threads: of the processor.
  ///   - rowInvariant: whether a row's bits must not depend on what other rows are computed with it; on GPUs they never do.
  static func backend(
    _ choice: DeviceChoice, threads: Int?, instructionSet: CPUBackend.InstructionSet? = nil, rowInvariant: Bool = false
  ) throws -> any Backend {
    let backend: any Backend =
      switch choice {
      case .cpu: CPUBackend(threads: threads, instructionSet: instructionSet, rowInvariant: rowInvariant)
      case .gpu(let index): GPUBackend(try CUDAGPU(try CUDADevice(index)))
      case .emulator(let chip): GPUBackend(EmulatedDevice(chip.chip))
      }
    DefaultBackend.use(backend)
    return backend
  }
}

extension DeviceChoice.EmulatedChip {
  var chip: Chip {
    switch self {
    case .a100: .a100
    case .h100: .h100
    case .h200: .h200
    case .b200: .b200
    }
  }
}

extension DeviceChoice: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }

  /// As the value of a setting.
  var setting: String {
    switch self {
    case .cpu: "cpu"
    case .gpu(let index): "{gpu: {index: \(index)}}"
    case .emulator(let chip): "{emulator: {chip: '\(chip.rawValue)'}}"
    }
  }

  /// What is typed for it.
  public var defaultValueDescription: String {
    switch self {
    case .cpu: "cpu"
    case .gpu(let index): index == 0 ? "gpu" : "gpu:\(index)"
    case .emulator(let chip): "emulator:\(chip.rawValue)"
    }
  }
}
