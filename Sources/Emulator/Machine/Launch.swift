// A launch: its arguments, the blocks that are resident, and what is on its way.

internal import Core
internal import KernelLanguage

/// One run of a kernel.
final class Launch {
  let gpu: EmulatedGPU
  let kernel: DecodedKernel
  let configuration: LaunchConfiguration
  /// From 1, of the GPU.
  let number: Int
  /// Of a block: the system's share, declared variables, and what the launch adds.
  let sharedBytes: Int
  /// The parameters as `ld.param` reads them.
  let parameters: UnsafeMutableRawPointer
  /// Bytes of the allocations that the arguments point into.
  let footprint: Int
  let counters: UnsafeMutablePointer<MemoryCounters>
  /// How often each instruction was run by a warp.
  let executions: UnsafeMutablePointer<Int>
  /// Of the parameters, by their place.
  var tensorMaps: [UInt64: TensorMap] = [:]
  /// Asynchronous instructions put what they will do here.
  var effects = EffectQueue()
  /// Of the scheduler's choices; steps may draw from it, too.
  var random: RandomSequence
  /// Clusters that have begun, or were cancelled (`clusterlaunchcontrol`).
  var begun = 0
  /// Resident ones.
  var clusters: [Cluster] = []
  /// By multiprocessor, made when a block first uses it.
  var tensorMemories: [Int: TensorMemory] = [:]
  /// Of instructions whose shape is known only when they run.
  var tensorOperations: [Chip.TensorRate: Double] = [:]
  /// Warps that can run, in no order.
  var runnable: [Warp] = []
  /// Counted up by everything that a program could wait for: stores, atomics, barriers, effects, exits.
  var progress = 0
  /// Warp instructions so far.
  var ticks = 0
  /// Nanoseconds that `nanosleep` has let pass.
  var slept: UInt64 = 0
  /// What clocks show: as if each instruction of a warp took a cycle of 1 GHz.
  var now: UInt64 { UInt64(ticks) + slept }

  var chip: Chip { gpu.chip }
  var detector: RaceDetector? { gpu.detector }

  init(
    _ gpu: EmulatedGPU, _ kernel: DecodedKernel, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument],
    number: Int
  ) throws(EmulatorError) {
    (self.gpu, self.kernel, self.configuration, self.number) = (gpu, kernel, configuration, number)
    random = RandomSequence(seed: gpu.options.seed, stream: UInt64(number))
    try LaunchCheck.check(kernel, configuration, arguments, on: gpu.chip)
    sharedBytes = LaunchCheck.sharedBytes(kernel, configuration)
    let bytes = LaunchCheck.bytes(of: arguments, for: kernel)
    parameters = .allocate(byteCount: bytes.count + 16, alignment: 64)
    parameters.copyMemory(from: bytes, byteCount: bytes.count)
    let pointed = Set(
      arguments.compactMap { argument -> Int? in
        switch argument {
        case .pointer(let address): gpu.memory.index(of: address)
        case .tensorMap(let map): gpu.memory.index(of: map.address)
        default: nil
        }
      })
    footprint = pointed.reduce(0) { $0 + gpu.memory.allocations[$1].count }
    counters = .allocate(capacity: 1)
    counters.initialize(to: MemoryCounters())
    executions = .allocate(capacity: kernel.instructions.count)
    executions.initialize(repeating: 0, count: kernel.instructions.count)
  }

  deinit {
    parameters.deallocate()
    counters.deallocate()
    executions.deallocate()
  }

  /// Puts an effect on its way: it lands later, in the order of its chain, at a time that the seed chooses.
  func later(
    _ warp: Warp, chain: Int? = nil, _ land: @escaping () throws(EmulatorError) -> Void
  ) {
    effects.append(PendingEffect(place: warp.place(), cluster: warp.block.cluster, chain: chain, land: land))
  }
}
