// Copies run while the tensor cores compute: three stages of tiles, filled by `cp.async` without passing through registers. On an
// A100 this is the shape of the fastest products.

import KernelLanguage

let asyncCopies = Step(
  name: "5 asynchronous copies", idea: "three stages: copies run under the products",
  kernel: Kernel("asyncCopies", target: .sm80, threads: 256) { k in
    let (a, b, y) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    let stages = 3
    let tilesA = k.tile(warpTile, of: BF16.self, count: stages)
    let tilesB = k.tile(warpTile, of: BF16.self, count: stages)
    let product = WarpProduct(k)
    let load = { (stage: Value<U32>, first: Value<U32>) in
      k.when(first .< depth) {
        for (tile, source, start) in [(tilesA[stage], a, k.block.y * 128), (tilesB[stage], b, k.block.x * 128)] {
          for round in 0..<4 {
            let (row, chunk) = ((k.thread.x >> 3) + Value(32 * round), k.thread.x & 7)
            k.copyAsync(to: tile.chunk(row: row, chunk), from: source + ((start + row) * depth + first + chunk * 8))
          }
        }
      }
      // Also without copies, so that the number of groups says which stage has come.
      k.commitCopies()
    }
    for stage in 0..<stages - 1 { load(Value(stage), Value(64 * stage)) }
    let stage = k.variable(Value<U32>(0))
    k.loop(from: 0, to: depth, by: 64) { first in
      k.waitForCopies(pending: stages - 2)
      k.synchronise()
      let ahead = stage + Value(stages - 1)
      load(k.select(ahead .>= Value(stages), ahead - Value(stages), ahead), first + Value(64 * (stages - 1)))
      product.accumulate(tilesA[stage], tilesB[stage])
      stage += 1
      stage.assign(k.select(stage .== Value(stages), 0, stage))
    }
    product.store(y, n)
  },
  tile: Shape(m: 128, n: 128, k: 64), threads: 256)
