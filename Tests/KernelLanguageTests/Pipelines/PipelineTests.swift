// Pipelines and schedules as they are built.

internal import KernelLanguage
internal import Testing

@Suite struct PipelineTests {
  /// The bytes that a barrier waits for are those of the copies behind it.
  @Test func bytesAndArrivalsAreDerived() {
    let kernel = Kernel("k", target: .sm90a, threads: 256) { k in
      let map = k.tensorMap("map")
      let a = k.tile(TileLayout(rows: 64, columns: 128, .bfloat16), of: BF16.self, count: 3)
      let b = k.tile(TileLayout(rows: 32, columns: 64, .bfloat16), of: BF16.self, count: 3)
      let pipeline = Pipeline(k, stages: 3, users: 5)
      let cursor = pipeline.cursor()
      pipeline.fill(
        cursor, [TileCopy(a[cursor.stage], map, column: 0, row: 0), TileCopy(b[cursor.stage], map, column: 0, row: 0)])
      pipeline.release(stage: cursor.stage)
    }
    let text = kernel.module.text
    // Panels of 64 columns: two of the first tile, one of the second.
    #expect(text.split(separator: "\n").filter { $0.contains("cp.async.bulk.tensor.2d") }.count == 3)
    #expect(text.contains("expect_tx.release.cta.shared::cta.b64 _, [") && text.contains("], \(64 * 256 + 32 * 128);"))
    #expect(text.split(separator: "\n").filter { $0.hasSuffix(", 5;") && $0.contains("mbarrier.init") }.count == 3)
    #expect(kernel.sharedBytes == 3 * (64 * 256 + 32 * 128) + 6 * 8)
  }

  @Test(arguments: [(1, 1), (3, 5), (8, 8), (9, 4), (17, 2)], [TileSchedule.grouped(4), .grouped(1), .hilbert])
  func schedulesReachEveryTileOnce(grid: (Int, Int), schedule: TileSchedule) {
    let order = schedule.order(rows: grid.0, columns: grid.1)
    #expect(order.count == grid.0 * grid.1)
    #expect(Set(order.map { $0.row * grid.1 + $0.column }).count == order.count)
    #expect(order.allSatisfy { (0..<grid.0).contains($0.row) && (0..<grid.1).contains($0.column) })
  }

  @Test func hilbertGoesFromNeighbourToNeighbour() {
    let order = TileSchedule.hilbert.order(rows: 8, columns: 8)
    for (a, b) in zip(order, order.dropFirst()) { #expect(abs(a.row - b.row) + abs(a.column - b.column) == 1) }
  }

  @Test func rolesShareTheRegistersOfTheBlock() {
    let kernel = Kernel("k", target: .sm90a, threads: 384, blocks: 1) { k in
      k.roles([Role(registers: 24) { _ in k.trap() }, Role(groups: 2, registers: 240) { _ in k.exit() }])
    }
    let text = kernel.module.text
    #expect(text.contains("setmaxnreg.dec.sync.aligned.u32 24;"))
    #expect(text.contains("setmaxnreg.inc.sync.aligned.u32 240;"))
  }
}
