internal import Dispatch
internal import Synchronization
public import Testing

/// Runs the tests of a suite on threads of their own.
///
/// Tests share a few threads with everything else that is asynchronous. Those that compute for seconds would let servers and clients of
/// other tests wait behind them, until these give up.
public struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
  public var isRecursive: Bool { true }

  public func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await withTaskExecutorPreference(Threads.shared) { try await function() }
  }

  private final class Threads: TaskExecutor {
    static let shared = Threads()
    private let queues = (0..<2).map { DispatchQueue(label: "tests that compute \($0)") }
    private let next = Atomic<Int>(0)

    func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      let executor = asUnownedTaskExecutor()
      queues[next.wrappingAdd(1, ordering: .relaxed).newValue % 2].async { job.runSynchronously(on: executor) }
    }
  }
}

extension Trait where Self == OwnThreads {
  public static var ownThreads: OwnThreads { OwnThreads() }
}
