// A warp multiplies 16 x 16 by 16 x 8 in one instruction. Tiles stay bfloat16 in shared memory, swizzled so that `ldmatrix` reads
// eight rows of 16 bytes without meeting itself in a bank. The tensor cores now wait for memory: load, wait, compute, wait.

import KernelLanguage

/// Tiles of both operands: 128 rows of 64 elements, 128 bytes each.
let warpTile = TileLayout(rows: 128, columns: 64, .bfloat16)

let tensorCores = Step(
  name: "4 tensor cores", idea: "a warp multiplies on tensor cores; swizzled tiles, ldmatrix",
  kernel: Kernel("tensorCores", target: .sm80, threads: 256) { k in
    let (a, b, y) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    let (tileA, tileB) = (k.tile(warpTile, of: BF16.self)[0], k.tile(warpTile, of: BF16.self)[0])
    let product = WarpProduct(k)
    k.loop(from: 0, to: depth, by: 64) { first in
      for (tile, source, start) in [(tileA, a, k.block.y * 128), (tileB, b, k.block.x * 128)] {
        // 1,024 chunks of 16 bytes, four a thread.
        for round in 0..<4 {
          let (row, chunk) = ((k.thread.x >> 3) + Value(32 * round), k.thread.x & 7)
          let values = (source + ((start + row) * depth + first + chunk * 8)).cast(to: U32.self).load(4)
          tile.chunk(row: row, chunk).cast(to: U32.self).store(values)
        }
      }
      k.synchronise()
      product.accumulate(tileA, tileB)
      k.synchronise()
    }
    product.store(y, n)
  },
  tile: Shape(m: 128, n: 128, k: 64), threads: 256)

/// Eight warps on a tile of 128 x 128: each has 64 x 32 of it, 4 x 4 products of 16 x 8 by k.
struct WarpProduct {
  private let k: KernelBuilder
  private let sums: [Value<F32>]
  private let row: Value<U32>
  private let column: Value<U32>
  private let lane: Value<U32>

  init(_ k: KernelBuilder) {
    self.k = k
    lane = k.lane
    row = (k.warp & 1) * 64
    column = (k.warp >> 1) * 32
    sums = (0..<64).map { _ in k.variable(Value<F32>(0)) }
  }

  /// Adds the product of two tiles.
  func accumulate(_ a: SharedTile<BF16>, _ b: SharedTile<BF16>) {
    for step in 0..<4 {
      let left = (0..<4).map { i in
        k.loadMatrices(4, from: a.chunk(row: row + Value(16 * i) + (lane & 15), Value<U32>(2 * step) + (lane >> 4)))
      }
      // Two groups of eight columns at once: lanes 0 to 7 and 8 to 15 bring both halves of the first.
      let right = (0..<2).map { j in
        k.loadMatrices(
          4,
          from: b.chunk(
            row: column + Value(16 * j) + (lane & 7) + ((lane >> 4) << 3), Value<U32>(2 * step) + ((lane >> 3) & 1)))
      }
      for i in 0..<4 {
        for j in 0..<4 {
          let first = (i * 4 + j) * 4
          k.multiplyAccumulate(
            Array(sums[first..<first + 4]), left[i], Array(right[j / 2][j % 2 * 2..<j % 2 * 2 + 2]), .bf16)
        }
      }
    }
  }

  func store(_ y: Pointer<F32, Global>, _ n: Value<U32>) {
    let firstRow = k.block.y * 128 + row + (lane >> 2)
    let firstColumn = k.block.x * 128 + column + (lane & 3) * 2
    for i in 0..<4 {
      for j in 0..<4 {
        for half in 0..<2 {
          let first = (i * 4 + j) * 4 + 2 * half
          let place = y + ((firstRow + Value(16 * i + 8 * half)) * n + firstColumn + Value(8 * j))
          place.store([sums[first], sums[first + 1]])
        }
      }
    }
  }
}
