// A block loads a tile of each operand into shared memory once and uses each element 32 times: memory traffic falls to a
// thirty-second. Now each multiplication reads 8 bytes of shared memory, which is the next bound.

import KernelLanguage

let sharedTiles = Step(
  name: "2 shared tiles", idea: "a block shares the tiles that it loads",
  kernel: Kernel("sharedTiles", target: .sm80, threads: 1024) { k in
    let (a, b, y) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    // A row has one element more than it needs, so that a column's elements lie in different banks.
    let (tileA, tileB) = (k.shared(F32.self, count: 32 * 33), k.shared(F32.self, count: 32 * 33))
    let (x, y0) = (k.thread.x & 31, k.thread.x >> 5)
    let (row, column) = (k.block.y * 32 + y0, k.block.x * 32)
    let sum = k.variable(Value<F32>(0))
    let (rowA, rowB) = (a + (row * depth + x), b + ((column + y0) * depth + x))
    let (place, left, right) = (y0 * 33 + x, tileA + y0 * 33, tileB + x * 33)
    k.loop(from: 0, to: depth, by: 32) { first in
      tileA[place] = k.convert(rowA[first])
      tileB[place] = k.convert(rowB[first])
      k.synchronise()
      for i in 0..<32 { k.accumulate(sum, left[i], right[i]) }
      k.synchronise()
    }
    y[row * n + column + x] = sum
  },
  tile: Shape(m: 32, n: 32, k: 32), threads: 1024)
