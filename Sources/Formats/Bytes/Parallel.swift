// Work on several threads, for the few things here that are worth it (counting and encoding large texts).

internal import Dispatch
internal import Synchronization

package enum Parallel {
  /// Calls `body` with each index of `0 ..< count` on up to `threads` threads, in no particular order, and returns when
  /// all are done. Results must go to places of their own, so that they do not depend on the number of threads.
  package static func forEach(_ count: Int, threads: Int, _ body: (Int) -> Void) {
    let workers = min(max(threads, 1), count)
    guard workers > 1 else {
      for index in 0..<max(count, 0) { body(index) }
      return
    }
    let next = Atomic<Int>(0)
    // The closure does not outlive this call; its callers write to separate places.
    nonisolated(unsafe) let body = body
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < count else { return }
        body(index)
      }
    }
  }
}
