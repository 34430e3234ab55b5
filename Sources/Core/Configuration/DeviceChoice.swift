// Which device computes.

/// The processor, a GPU, or a GPU that the processor emulates.
public enum DeviceChoice: ConfigurationChoice, Hashable {
  case cpu
  /// Through the CUDA driver; its number among those that the driver shows.
  case gpu(index: Int)
  /// The GPU's kernels on the processor: slow, and it finds what is wrong with them.
  case emulator(chip: EmulatedChip)

  public enum EmulatedChip: String, Codable, Sendable, CaseIterable { case a100, h100, h200, b200 }

  public static let choices: [DeviceChoice] = [.cpu, .gpu(index: 0), .emulator(chip: .h200)]

  /// From how people type it: `cpu`, `gpu`, `gpu:1`, `emulator`, `emulator:a100`. Nil: anything else.
  public init?(_ text: String) {
    let parts = text.lowercased().split(separator: ":", omittingEmptySubsequences: false)
    switch (parts[0], parts.count) {
    case ("cpu", 1): self = .cpu
    case ("gpu", 1): self = .gpu(index: 0)
    case ("emulator", 1): self = .emulator(chip: .h200)
    case ("gpu", 2):
      guard let index = Int(parts[1]), (0..<1024).contains(index) else { return nil }
      self = .gpu(index: index)
    case ("emulator", 2):
      guard let chip = EmulatedChip(rawValue: String(parts[1])) else { return nil }
      self = .emulator(chip: chip)
    default: return nil
    }
  }

  /// What `init(_:)` takes, for messages.
  public static let forms =
    "cpu, gpu, gpu:1 (another GPU), emulator, "
    + EmulatedChip.allCases.map { "emulator:\($0.rawValue)" }.joined(separator: ", ")
}
