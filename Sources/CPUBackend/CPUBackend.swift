package import CKernels
import FoundationEssentials
import Synchronization
public import Tensors

/// Runs programs on the processor through the C kernels.
///
/// A backend owns a pool of threads and one choice of instruction set. Results are bit-identical for any number of threads.
public final class CPUBackend: Backend {
  /// What the kernels may use; each is slower and older than the next.
  public enum InstructionSet: Int, CaseIterable, Sendable, Codable {
    case portable = 0, neon, avx2, avx512, amx
    /// The AMX code on tiles that are emulated in C: for tests, on any machine with AVX-512.
    case amxEmulated

    var kernels: ck_isa { ck_isa(UInt32(rawValue)) }
    /// Whether this machine has it.
    public var isAvailable: Bool { ck_isa_available(kernels) }
    /// The fastest that this machine has.
    public static var best: InstructionSet { InstructionSet(rawValue: Int(ck_isa_best().rawValue)) ?? .portable }
    /// Those that this machine has.
    public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }
  }

  public let threads: Int
  public let instructionSet: InstructionSet
  package let engine: Engine

  /// - Parameters:
  ///   - threads: threads to compute with, the caller's included; as many as there are processors if nil.
  ///   - instructionSet: the best that the machine has if nil.
  ///   - spins: how long idle threads wait for work before they sleep, in pause instructions. Few where other work shares the
  ///     processors.
  ///   - rowInvariant: whether a row of a result has the same bits whatever the other rows are, and however many: what a server
  ///     needs whose answers shall not depend on its load. It costs time in products of few rows with NF4 and FP8 weights, and
  ///     with `exactBlocks`; everything else is so in any case.
  /// - Precondition: the machine has the instruction set.
  public init(
    threads: Int? = nil, instructionSet: InstructionSet? = nil, spins: Int = 20_000, rowInvariant: Bool = false
  ) {
    let threads = max(1, threads ?? CPUBackend.processors)
    let instructionSet = instructionSet ?? .best
    precondition(instructionSet.isAvailable, "this machine does not have \(instructionSet)")
    if instructionSet == .amx { _ = ck_amx_request() }
    self.threads = threads
    self.instructionSet = instructionSet
    engine = Engine(threads: threads, isa: instructionSet.kernels, spins: spins, rowInvariant: rowInvariant)
  }

  public var name: String { "cpu (\(instructionSet), \(threads) thread\(threads == 1 ? "" : "s"))" }

  public var arithmetic: String { CPUBackend.arithmetic(of: engine.context.pointee) }

  /// All that kernels are chosen by. The number of threads changes nothing.
  package static func arithmetic(of context: ck_context) -> String {
    let extensions = [
      (context.bf16, "bf16"), (context.vnni, "vnni"), (context.vbmi, "vbmi"), (context.row_invariant, "rows alone"),
    ]
    let parts = [String(cString: ck_isa_name(context.isa))] + extensions.filter(\.0).map(\.1)
    return "cpu (\(parts.joined(separator: ", ")))"
  }

  /// The processors that this process may use.
  public static var processors: Int { ProcessInfo.processInfo.activeProcessorCount }

  public func compile(_ program: Program) throws -> any Executable {
    CPUExecutable(program, engine: engine)
  }
}

/// The pool and the context of the kernels. Its regions are not reentrant, so runs take turns.
package final class Engine: @unchecked Sendable {
  package let context: UnsafePointer<ck_context>
  private let pool: OpaquePointer
  private let turn = Mutex(())

  init(threads: Int, isa: ck_isa, spins: Int, rowInvariant: Bool) {
    guard let pool = ck_pool_create(Int32(threads), Int32(spins)) else {
      preconditionFailure("the operating system refused to start \(threads) threads: use fewer (--threads)")
    }
    self.pool = pool
    let context = UnsafeMutablePointer<ck_context>.allocate(capacity: 1)
    context.initialize(
      to: ck_context(
        pool: pool, isa: isa, bf16: ck_has_bf16(), vnni: ck_has_vnni(), vbmi: ck_has_vbmi(),
        row_invariant: rowInvariant))
    self.context = UnsafePointer(context)
  }

  deinit {
    ck_pool_destroy(pool)
    context.deallocate()
  }

  package func run<Result>(_ body: (UnsafePointer<ck_context>) throws -> Result) rethrows -> Result {
    try turn.withLock { _ in try body(context) }
  }
}
