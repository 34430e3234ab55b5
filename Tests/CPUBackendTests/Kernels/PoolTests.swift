// The thread pool: every task runs once, whatever the number of threads, regions and tasks.

import CKernels
import Core
import Testing

@Suite struct PoolTests {
  /// Marks its index: the argument is an array of counters.
  private static let mark: ck_task = { argument, index, _ in
    argument!.assumingMemoryBound(to: Int32.self)[Int(index)] += 1
  }

  @Test(arguments: [1, 2, 3, 7, 16]) func runsEveryTaskOnce(threads: Int) {
    let pool = ck_pool_create(Int32(threads), 500)!
    defer { ck_pool_destroy(pool) }
    #expect(ck_pool_threads(pool) == threads)
    let most = 37
    let counters = UnsafeMutablePointer<Int32>.allocate(capacity: most)
    defer { counters.deallocate() }
    for region in 0..<2000 {
      let tasks = region % (most + 1)
      counters.update(repeating: 0, count: most)
      ck_pool_run(pool, Int64(tasks), Self.mark, counters)
      for i in 0..<most where counters[i] != (i < tasks ? 1 : 0) {
        Issue.record("region \(region) of \(tasks) tasks on \(threads) threads: task \(i) ran \(counters[i]) times")
        return
      }
    }
  }

  @Test func workersAreWithinTheirRange() {
    let pool = ck_pool_create(5, 0)!
    defer { ck_pool_destroy(pool) }
    let workers = UnsafeMutablePointer<Int32>.allocate(capacity: 500)
    defer { workers.deallocate() }
    let note: ck_task = { argument, index, worker in
      argument!.assumingMemoryBound(to: Int32.self)[Int(index)] = worker
    }
    ck_pool_run(pool, 500, note, workers)
    for i in 0..<500 { #expect((0..<5).contains(workers[i])) }
  }

  /// Workers park between regions; a region after a pause must wake them or do without them.
  @Test func worksAfterParking() {
    let pool = ck_pool_create(4, 0)!
    defer { ck_pool_destroy(pool) }
    var counters = [Int32](repeating: 0, count: 8)
    for _ in 0..<50 {
      var nap = timespec(tv_sec: 0, tv_nsec: 200_000)
      nanosleep(&nap, nil)
      counters.withUnsafeMutableBytes { ck_pool_run(pool, 8, Self.mark, $0.baseAddress) }
    }
    #expect(counters == [Int32](repeating: 50, count: 8))
  }

  @Test func needsNoPool() {
    var counters = [Int32](repeating: 0, count: 3)
    counters.withUnsafeMutableBytes { ck_pool_run(nil, 3, Self.mark, $0.baseAddress) }
    #expect(counters == [1, 1, 1])
    #expect(ck_pool_threads(nil) == 1)
  }

  @Test func theBestInstructionSetIsAvailable() {
    #expect(ck_isa_available(CK_PORTABLE))
    #expect(ck_isa_available(ck_isa_best()))
    #expect(ck_isa_best() != CK_AMX_EMULATED)
    #expect(name(CK_AVX512) == "avx512")
  }
}
