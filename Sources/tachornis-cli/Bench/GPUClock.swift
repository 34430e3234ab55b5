// What tells the time on a device: events on a GPU, on the emulator an estimate from what each launch did.

internal import Core
internal import Emulator
internal import GPUBackend
internal import KernelLanguage
internal import Synchronization
internal import Tensors

/// How a device's times are taken.
enum GPUClock {
  case events(CUDAGPU)
  case estimates(Chip, LaunchLog)

  /// A device whose times can be asked, as the default backend.
  ///
  /// - Returns: nil for the processor.
  static func backend(_ choice: DeviceChoice) throws -> (backend: GPUBackend, clock: GPUClock)? {
    switch choice {
    case .cpu: return nil
    case .emulator(let emulated):
      let log = LaunchLog()
      let backend = GPUBackend(EmulatedDevice(emulated.chip, observe: { log.append($0) }))
      DefaultBackend.use(backend)
      return (backend, .estimates(emulated.chip, log))
    case .gpu:
      guard let backend = try Device.backend(choice, threads: nil) as? GPUBackend, let gpu = backend.device as? CUDAGPU
      else { preconditionFailure("a GPU is run by the GPU's backend") }
      return (backend, .events(gpu))
    }
  }

  var isEstimate: Bool { if case .estimates = self { true } else { false } }

  /// The times of the kernels that `body` starts.
  ///
  /// On a GPU by events around each launch, which a program that was recorded before does not make; on the emulator each kernel
  /// is as long as its roofline says, one behind the other.
  func kernels(_ body: () throws -> Void) throws -> [KernelTime] {
    switch self {
    case .events(let gpu):
      let profiler = try KernelProfiler(on: gpu.stream)
      gpu.profiler = profiler
      defer { gpu.profiler = nil }
      try body()
      return try profiler.take().map { KernelTime(span: $0) }
    case .estimates(let chip, let log):
      _ = log.take()
      try body()
      var end = 0.0
      return log.take().map { report in
        let roofline = report.roofline(on: chip)
        // Reports tell how many blocks and threads there were, not how they were laid out.
        let configuration = LaunchConfiguration(
          grid: Extent(report.blocks), block: Extent(report.threads / max(1, report.blocks)))
        defer { end += roofline.seconds }
        return KernelTime(
          span: KernelSpan(
            kernel: report.kernel, configuration: configuration, start: end, duration: roofline.seconds),
          bound: roofline.binding.rawValue)
      }
    }
  }
}

/// One run of a kernel.
struct KernelTime {
  var span: KernelSpan
  /// Where the time is an estimate: the resource that takes so long.
  var bound: String?
}

/// What was launched on an emulated GPU.
final class LaunchLog: Sendable {
  private let reports = Mutex<[LaunchReport]>([])

  func append(_ report: LaunchReport) { reports.withLock { $0.append(report) } }

  /// All since the last call, in order.
  func take() -> [LaunchReport] {
    reports.withLock { reports in
      defer { reports = [] }
      return reports
    }
  }
}
