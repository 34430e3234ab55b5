// Named ranges of the host's time, for a profiler that listens (Nsight Systems); without its library they cost nothing.
//
// NVTX 3.

package import CDrivers

/// Names parts of the program for a profiler.
package final class ProfilerRanges: @unchecked Sendable {
  private let functions: nvtx_library?

  /// The ranges of this process, through the library that the system has, if any.
  package static let shared = ProfilerRanges(path: nil)

  /// - Parameter path: of the library; nil: where the system has it.
  package convenience init(path: String?) {
    var library = nvtx_library()
    var text = [CChar](repeating: 0, count: 512)
    self.init(nvtx_open(path, &library, &text, text.count) == 0 ? library : nil)
  }

  package init(_ library: nvtx_library?) { functions = library }

  /// Whether there is a library.
  package var isOpen: Bool { functions != nil }

  /// Runs `body` as a range, which begins and ends on this thread.
  package func range<Result>(_ name: @autoclosure () -> String, _ body: () throws -> Result) rethrows -> Result {
    guard let functions else { return try body() }
    _ = functions.nvtxRangePushA(name())
    defer { _ = functions.nvtxRangePop() }
    return try body()
  }
}
