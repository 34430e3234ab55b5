import Emulator

/// A kernel around products of tcgen05: four warps in each of one or two blocks; shared memory begins with the input's image, and
/// ends with an mbarrier and the slot of the tensor memory address.
struct TensorKernel {
  var group = 1
  /// Words of each block's image.
  var imageWords: Int
  var columns = 512
  /// Run by all warps behind the allocation: %r250 is the address.
  var prepare = ""
  /// Run by one thread of block 0.
  var issue: String
  /// Run by all warps when the products are done.
  var finish: String
  var fences = true

  var blocks: Int { group }
  private var barrier: Int { imageWords * 4 }

  /// A loop that waits for the products.
  func wait(parity: Int = 0) -> String {
    """
    WAIT\(parity):
    mbarrier.try_wait.parity\(group == 2 ? ".acquire.cluster" : "").shared::cta.b64 %p7, [%r249], \(parity);
    @!%p7 bra WAIT\(parity);
    \(fences ? "tcgen05.fence::after_thread_sync;" : "")
    """
  }

  /// Everybody waits for everybody.
  var meet: String {
    group == 1
      ? "bar.sync 0;"
      : "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;"
  }

  var kernel: MatrixKernel {
    let commit =
      group == 1
      ? "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%r249];"
      : "mov.b16 %h0, 3; tcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.multicast::cluster.b64 [%r249], %h0;"
    return MatrixKernel(
      chip: .b200, warps: 4, blocks: blocks, sharedBytes: imageWords * 4 + 16,
      body: """
        add.u32 %r249, %sb, \(barrier);
        setp.eq.u32 %leader, %thread, 0;
        @%leader mbarrier.init.shared::cta.b64 [%r249], 1;
        @%leader fence.mbarrier_init.release.cluster;
        setp.ne.u32 %p6, %warp, 0;
        @%p6 bra ALLOCATED;
        tcgen05.alloc.cta_group::\(group).sync.aligned.shared::cta.b32 [%r249+8], \(columns);
        tcgen05.relinquish_alloc_permit.cta_group::\(group).sync.aligned;
        ALLOCATED:
        \(imageWords > 0 ? MatrixKernel.fill(words: imageWords, warps: 4) : "")
        \(meet)
        ld.shared.b32 %r250, [%r249+8];
        shl.b32 %r251, %warp, 21;
        add.u32 %r252, %r250, %r251;
        \(prepare)
        tcgen05.wait::st.sync.aligned;
        \(fences ? "tcgen05.fence::before_thread_sync;" : "")
        \(meet)
        setp.eq.u32 %p5, %rank, 0;
        and.pred %p5, %p5, %leader;
        @!%p5 bra ISSUED;
        \(fences ? "tcgen05.fence::after_thread_sync;" : "")
        \(issue)
        \(commit)
        ISSUED:
        \(wait())
        \(finish)
        tcgen05.wait::ld.sync.aligned;
        tcgen05.fence::before_thread_sync;
        \(meet)
        @%p6 bra DONE;
        tcgen05.dealloc.cta_group::\(group).sync.aligned.b32 %r250, \(columns);
        DONE:
        """)
  }

  /// Loads or stores `count` columns, eight at a time, of the warp's 32 lanes: registers from %r`first` on.
  static func loadColumns(_ count: Int, from column: Int, first: Int = 0) -> String {
    stride(from: 0, to: count, by: 8).map { offset in
      let names = (0..<8).map { "%r\(first + offset + $0)" }.joined(separator: ", ")
      return "tcgen05.ld.sync.aligned.32x32b.x8.b32 {\(names)}, [%r252+\(column + offset)];"
    }.joined(separator: "\n")
  }

  static func storeColumns(_ count: Int, to column: Int, first: Int = 0) -> String {
    stride(from: 0, to: count, by: 4).map { offset in
      let names = (0..<4).map { "%r\(first + offset + $0)" }.joined(separator: ", ")
      return "tcgen05.st.sync.aligned.32x32b.x4.b32 [%r252+\(column + offset)], {\(names)};"
    }.joined(separator: "\n")
  }
}
