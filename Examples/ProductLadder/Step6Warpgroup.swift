// On Hopper one thread asks the tensor memory accelerator for whole tiles, and four warps multiply 64 x 128 by k straight from shared
// memory: no `ldmatrix`, no addresses in registers. The layout gives both the box of the copy and the descriptor of the product.

import KernelLanguage

let groupA = TileLayout(rows: 64, columns: 64, .bfloat16)
let groupB = TileLayout(rows: 128, columns: 64, .bfloat16)

let warpgroup = Step(
  name: "6 tensor copies, warpgroup", idea: "tensor copies and warpgroup products from shared memory",
  kernel: Kernel("warpgroup", target: .sm90a, threads: 128) { k in
    let (mapA, mapB, y) = (k.tensorMap("a"), k.tensorMap("b"), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    let (tileA, tileB) = (k.tile(groupA, of: BF16.self)[0], k.tile(groupB, of: BF16.self)[0])
    let barrier = Barrier(k.shared(U64.self, count: 1))
    k.when(k.thread.x .== 0) {
      barrier.initialise(arrivals: 1)
      k.fenceBarriers()
    }
    k.synchronise()
    let sums = (0..<64).map { _ in k.register(F32.self) }
    let parity = k.variable(Value<U32>(0))
    let (row, column) = (k.block.y * 64, k.block.x * 128)
    k.loop(from: 0, to: depth, by: 64) { first in
      k.when(k.thread.x .== 0) {
        let copies = [
          TileCopy(tileA, mapA, column: first.seen(as: S32.self), row: row.seen(as: S32.self)),
          TileCopy(tileB, mapB, column: first.seen(as: S32.self), row: column.seen(as: S32.self)),
        ]
        barrier.fill(copies)
      }
      barrier.wait(parity: parity)
      parity.assign(parity ^ 1)
      k.fenceProducts()
      for step in 0..<4 {
        k.multiplyGroup(
          sums, tileA.descriptor() + Value(groupA.descriptorStep(step, .k)),
          tileB.descriptor() + Value(groupB.descriptorStep(step, .k)), .bf16,
          accumulates: step == 0 ? first .!= 0 : k.predicate(true))
      }
      k.commitProducts()
      k.waitForProducts()
      // Nobody may copy over what another warp still reads.
      k.synchronise()
    }
    storeGroup(k, sums, y, n, row: row, column: column)
  },
  tile: Shape(m: 64, n: 128, k: 64), threads: 128, layouts: (groupA, groupB))

/// Writes a warpgroup's sums: thread 32w + l has rows 16w + l / 4 and + 8, columns 8g + 2(l % 4) and + 1.
func storeGroup(
  _ k: KernelBuilder, _ sums: [Value<F32>], _ y: Pointer<F32, Global>, _ n: Value<U32>, row: Value<U32>,
  column: Value<U32>
) {
  let (warp, lane) = ((k.thread.x >> 5) & 3, k.thread.x & 31)
  let first = (row + warp * 16 + (lane >> 2)) * n + column + (lane & 3) * 2
  for group in 0..<sums.count / 4 {
    for half in 0..<2 {
      let place = y + (first + n * Value(8 * half) + Value(8 * group))
      place.store([sums[4 * group + 2 * half], sums[4 * group + 2 * half + 1]])
    }
  }
}
