// Chips: what a GPU holds and how fast its parts are.
//
// The numbers are NVIDIA's data sheets and the measurements in the design reference, section 9: dense rates without sparsity.

public import KernelLanguage

/// A model of GPU: limits that launches are held to, and rates that the roofline is made of.
public struct Chip: Hashable, Sendable {
  /// What kind of tensor cores it has, which decides how they add.
  public enum Generation: Int, Hashable, Sendable, CaseIterable, Comparable {
    /// sm_80, sm_90, sm_100.
    case ampere = 80
    case hopper = 90
    case blackwell = 100

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  public var name: String
  public var generation: Generation
  /// Streaming multiprocessors.
  public var multiprocessors: Int
  /// In Hz, under load.
  public var clock: Double
  /// Floating-point (or integer) operations of the tensor cores, per cycle and multiprocessor.
  public var tensorRates: [TensorRate: Double]
  /// Of device memory.
  public var memoryBytes: Int
  /// Of device memory, bytes a second.
  public var memoryBandwidth: Double
  public var cacheBytes: Int
  /// Of the second-level cache, bytes per cycle and multiprocessor.
  public var cacheRate: Double = 64
  /// Of a multiprocessor, with what the system keeps of it for each block.
  public var sharedBytes: Int
  /// Of shared memory, bytes per cycle and multiprocessor.
  public var sharedRate: Double = 128
  /// Registers of 32 bits of a multiprocessor.
  public var registers = 65_536
  public var threadsPerMultiprocessor = 2048
  public var blocksPerMultiprocessor = 32

  /// What tensor cores multiply.
  public enum TensorRate: String, Hashable, Sendable, CaseIterable {
    case half, tf32, fp8, fp4, int8, fp64
  }

  /// Shared memory that the system keeps of each block's share, which begins at address 0.
  public static let reservedSharedBytes = 1024

  /// What one block may have at most: static and dynamic.
  public var sharedBytesPerBlock: Int { sharedBytes - Chip.reservedSharedBytes }

  /// The target whose modules use all that the chip has.
  public var target: PTXTarget {
    switch generation {
    case .ampere: .sm80
    case .hopper: .sm90a
    case .blackwell: .sm100a
    }
  }

  public static let a100 = Chip(
    name: "A100", generation: .ampere, multiprocessors: 108, clock: 1.41e9,
    tensorRates: [.half: 2048, .tf32: 1024, .int8: 4096, .fp64: 128], memoryBytes: 80 << 30, memoryBandwidth: 2.04e12,
    cacheBytes: 40 << 20, sharedBytes: 164 << 10)

  public static let h100 = Chip(
    name: "H100", generation: .hopper, multiprocessors: 132, clock: 1.83e9,
    tensorRates: [.half: 4096, .tf32: 2048, .fp8: 8192, .int8: 8192, .fp64: 256], memoryBytes: 80 << 30,
    memoryBandwidth: 3.35e12, cacheBytes: 50 << 20, sharedBytes: 228 << 10)

  public static let h200 = {
    var chip = h100
    (chip.name, chip.memoryBytes, chip.memoryBandwidth) = ("H200", 141 << 30, 4.8e12)
    return chip
  }()

  public static let b200 = Chip(
    name: "B200", generation: .blackwell, multiprocessors: 148, clock: 1.85e9,
    tensorRates: [.half: 8192, .tf32: 4096, .fp8: 16_384, .fp4: 32_768, .int8: 16_384, .fp64: 128],
    memoryBytes: 180 << 30, memoryBandwidth: 7.7e12, cacheBytes: 126 << 20, sharedBytes: 228 << 10)

  /// All that are described here.
  public static let all = [a100, h100, h200, b200]
}
