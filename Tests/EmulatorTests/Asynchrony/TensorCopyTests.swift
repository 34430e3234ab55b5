// Tensor copies in kernels: boxes, swizzles and edges against the definition; and what does not fit together.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct TensorCopyTests {
  /// A tensor of 20 x 12 words in rows of 96 bytes; boxes of 8 x 4 words (32 bytes a row).
  static func map(
    _ swizzle: Swizzle = .none, box: [Int] = [8, 4], steps: [Int]? = nil, fill: TensorMap.Fill = .zero,
    element: TensorMap.Element = .uint32
  ) -> @Sendable ([UInt64]) -> TensorMap {
    {
      TensorMap(
        element, address: $0[0], dimensions: [20, 12], strides: [96], box: box, elementStrides: steps, swizzle: swizzle,
        fill: fill)
    }
  }

  /// Thread 0 copies the box at (`%r10`, `%r11`) into the tile; thread t passes on word t.
  static func load(_ x: Int, _ y: Int, swizzle: Swizzle = .none, bytes: Int = 128) -> Trial {
    Trial(
      """
      setp.eq.u32 %p0, %t, 0; mov.u32 %r0, tile; mov.u32 %r1, bar; mov.u32 %r10, \(x); mov.u32 %r11, \(y);
      @!%p0 bra READY;
      mbarrier.init.shared::cta.b64 [%r1], 1;
      fence.mbarrier_init.release.cluster;
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], \(bytes);
      cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r0], [%M0, {%r10, %r11}], [%r1];
      READY:
      bar.sync 0;
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], 0;
      @!%p1 bra WAIT;
      shl.b32 %r2, %t, 2; add.u32 %r2, %r2, %r0;
      ld.shared.u32 %r3, [%r2];
      mul.wide.u32 %d0, %t, 4; add.u64 %d0, %d0, %P1; st.global.u32 [%d0], %r3;
      """, threads: 32, buffers: [Trial.numbers(24 * 12).map { $0 + 1 }, Trial.zeros(32)],
      maps: [map(swizzle)])
  }

  @Test(arguments: [(0, 0), (4, 8), (16, 10), (-3, -2), (20, 0), (0, -4)], [Swizzle.none, .bytes32])
  func boxes(_ place: (Int, Int), _ swizzle: Swizzle) {
    let (x, y) = place
    Self.load(x, y, swizzle: swizzle).isClean(seeds: 0..<8) { result in
      (0..<32).allSatisfy { word in
        // Words of the tile, with the swizzle undone.
        let byte = swizzle == .none ? word * 4 : word * 4 ^ (word * 4 >> 7 & 1) << 4
        let (column, row) = (x + byte / 4 % 8, y + byte / 4 / 8)
        let isInside = (0..<20).contains(column) && (0..<12).contains(row)
        return result[1][word] == (isInside ? UInt32(row * 24 + column + 1) : 0)
      }
    }
  }

  @Test func bytesOutsideCountToo() {
    Self.load(16, 10, bytes: 32).finds(.transactionCount, .inFlight)
    Self.load(16, 10, bytes: 256).finds(.transactionCount, saying: ["128 bytes outstanding"])
  }

  @Test func whatDoesNotFitTogether() {
    func changed(_ map: @escaping @Sendable ([UInt64]) -> TensorMap) -> Trial {
      var trial = Self.load(0, 0)
      trial.maps = [map]
      return trial
    }
    let trial = Self.load(0, 0)
    trial.replacing("tensor.2d", "tensor.3d").replacing("{%r10, %r11}", "{%r10, %r11, %r11}").finds(
      .tensorMap, saying: ["has 2 axes, the instruction is for 3"])
    trial.replacing("{%r10, %r11}", "{%r10}").finds(.unsupported, saying: ["one coordinate for each axis"])
    trial.replacing("mov.u32 %r0, tile;", "mov.u32 %r0, tile; add.u32 %r0, %r0, 64;").finds(
      .misaligned, saying: ["multiple of 128"])
    for (swizzle, pattern) in [(Swizzle.bytes32, 256), (.bytes64, 512), (.bytes128, 1024)] {
      changed(Self.map(swizzle)).replacing("mov.u32 %r0, tile;", "mov.u32 %r0, tile; add.u32 %r0, %r0, 128;").finds(
        .misaligned, saying: ["multiple of \(pattern)", "\(swizzle.span)-byte swizzle"])
    }
    trial.replacing("[%M0,", "[%P0,").finds(.tensorMap, .uninitialised, saying: ["no tensor map"])
    trial.replacing("mov.u32 %r10", "add.u64 %M0, %M0, 8; mov.u32 %r10").finds(.tensorMap, saying: ["multiple of 64"])
    changed(Self.map(steps: [2, 1])).finds(.tensorMap, saying: ["the hardware ignores"])
    trial.replacing(".tile", ".im2col").finds(.unsupported, saying: ["im2col"])
  }

  @Test func theSixWaysToLoad() {
    // A tensor of 1 to 5 axes whose box is all of it.
    for rank in 1...5 {
      let registers = ["%r10", "%r11", "%r12", "%r13", "%r14"].prefix(rank).joined(separator: ", ")
      var trial = Self.load(0, 0, bytes: 16 << (rank - 1))
        .replacing("tensor.2d", "tensor.\(rank)d").replacing("{%r10, %r11}", "{\(registers)}")
        .replacing("mov.u32 %r10", "mov.u32 %r12, 0; mov.u32 %r13, 0; mov.u32 %r14, 0; mov.u32 %r10")
        .replacing("bar.sync 0;", "bar.sync 0; setp.ge.u32 %p3, %t, \(4 << (rank - 1)); @%p3 bra END;")
      trial.text += "\nEND:"
      trial.maps = [
        {
          TensorMap(
            .float32, address: $0[0], dimensions: [4] + [Int](repeating: 2, count: rank - 1),
            strides: (0..<rank - 1).map { 16 << $0 }, box: [4] + [Int](repeating: 2, count: rank - 1))
        }
      ]
      let count = min(32, 4 << (rank - 1))
      trial.isClean(seeds: 0..<4) { $0[1].prefix(count).elementsEqual((1...UInt32(count))) }
    }
  }

  @Test func listedRows() {
    var trial = Self.load(4, 0, bytes: 128)
      .replacing("tensor.2d.shared::cluster.global.tile", "tensor.2d.shared::cta.global.tile::gather4")
      .replacing("{%r10, %r11}", "{%r10, %r12, %r11, %r13, %r12}")
      .replacing("mov.u32 %r10", "mov.u32 %r12, 7; mov.u32 %r13, 12; mov.u32 %r10")
    trial.target = "sm_100a"
    trial.maps = [Self.map(box: [8, 1])]
    trial.isClean(seeds: 0..<4) { result in
      (0..<32).allSatisfy { word in
        let (column, row) = (4 + word % 8, [7, 0, 12, 7][word / 8])
        return result[1][word] == (row < 12 ? UInt32(row * 24 + column + 1) : 0)
      }
    }
    trial.maps = [Self.map()]
    trial.finds(.tensorMap, saying: ["one row, not 4"])
  }

  // MARK: To global memory

  /// All threads write the tile, thread 0 copies it to (`x`, `y`) of the tensor.
  static func store(
    _ x: Int, _ y: Int, _ instruction: String = "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group"
  ) -> Trial {
    Trial(
      """
      setp.eq.u32 %p0, %t, 0; mov.u32 %r0, tile; mov.u32 %r10, \(x); mov.u32 %r11, \(y);
      shl.b32 %r2, %t, 2; add.u32 %r2, %r2, %r0; add.u32 %r3, %t, 1000;
      st.shared.u32 [%r2], %r3;
      fence.proxy.async.shared::cta;
      bar.sync 0;
      @!%p0 bra END;
      \(instruction) [%M0, {%r10, %r11}], [%r0];
      cp.async.bulk.commit_group;
      cp.async.bulk.wait_group 0;
      END:
      """, buffers: [Trial.numbers(24 * 12)], maps: [map()])
  }

  @Test(arguments: [(0, 0), (16, 10), (-3, -2), (20, 0)])
  func stores(_ place: (Int, Int)) {
    let (x, y) = place
    var expected = Trial.numbers(24 * 12)
    for word in 0..<32 {
      let (column, row) = (x + word % 8, y + word / 8)
      if (0..<20).contains(column) && (0..<12).contains(row) { expected[row * 24 + column] = UInt32(1000 + word) }
    }
    Self.store(x, y).isClean(seeds: 0..<6) { $0[0] == expected }
    // Twice the same sum, from three blocks.
    var trial = Self.store(x, y, "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group")
    trial.blocks = 3
    let numbers = Trial.numbers(24 * 12)
    trial.isClean(seeds: 0..<6) { result in
      zip(result[0], zip(numbers, expected)).allSatisfy { $0 == ($1.0 == $1.1 ? $1.0 : $1.0 + 3 * $1.1) }
    }
  }

  @Test func storesThatAreNotFenced() {
    Self.store(0, 0).replacing("fence.proxy.async.shared::cta;", "").finds(
      .missingProxyFence, saying: ["cp.async.bulk.tensor.2d.global", "st.shared.u32 [%r2], %r3"])
    Self.store(0, 0).replacing("cp.async.bulk.wait_group 0;", "").finds(.inFlight, saying: ["exits"])
    Self.store(0, 0).replacing("cp.async.bulk.commit_group;", "").finds(.inFlight, saying: ["commit_group"])
    // Only what lies inside of the tensor must have been written.
    let part = "setp.lt.u32 %p2, %t, 16; @%p2 st.shared.u32 [%r2], %r3;"
    Self.store(0, 0).replacing("st.shared.u32 [%r2], %r3;", part).finds(.uninitialised, saying: ["shared 0x440"])
    Self.store(0, 10).replacing("st.shared.u32 [%r2], %r3;", part).isClean(seeds: 0..<4)
  }

  @Test func aMapThatIsChangedOnTheDevice() {
    let trial = Trial(
      """
      setp.eq.u32 %p0, %t, 0; mov.u32 %r0, tile; mov.u32 %r1, bar; mov.u32 %r10, 0; mov.u32 %r11, 0;
      shl.b32 %r2, %t, 2; add.u32 %r3, %r0, %r2; cvt.u64.u32 %d0, %r2; add.u64 %d1, %M0, %d0;
      ld.param.u32 %r4, [m0];
      ld.u32 %r4, [%d1];
      st.shared.u32 [%r3+1024], %r4;
      bar.warp.sync 0xFFFFFFFF;
      @%p0 tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r0+1024], %P1;
      @%p0 tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r0+1024], 0, 8;
      bar.warp.sync 0xFFFFFFFF;
      cvt.u64.u32 %d3, %r0; add.u64 %d4, %P2, 0;
      mov.u32 %r5, %r0; add.u32 %r5, %r5, 1024;
      tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%P2], [%r5], 128;
      @!%p0 bra END;
      fence.proxy.tensormap::generic.acquire.gpu [%P2], 128;
      mbarrier.init.shared::cta.b64 [%r1], 1;
      fence.mbarrier_init.release.cluster;
      mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 128;
      cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r0], [%P2, {%r10, %r11}], [%r1];
      WAIT:
      mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], 0;
      @!%p1 bra WAIT;
      ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r0+32];
      st.global.v4.u32 [%P1], {%r6, %r7, %r8, %r9};
      END:
      """, buffers: [Trial.numbers(24 * 12), Trial.numbers(24 * 12).map { $0 + 500 }, Trial.zeros(32)],
      maps: [Self.map()])
    trial.isClean(seeds: 0..<6) { $0[1][0..<4].elementsEqual([524, 525, 526, 527]) }
  }
}
