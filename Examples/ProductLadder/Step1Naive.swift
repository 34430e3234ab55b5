// One thread, one element. Every operand comes from a cache for every multiplication, and the lanes of a warp read 32 rows of b at
// once, a sector of 32 bytes for 2 that they want: the second-level cache is the bound, and the tensor cores sleep.

import KernelLanguage

let naive = Step(
  name: "1 naive", idea: "one thread computes one element",
  kernel: Kernel("naive", target: .sm80) { k in
    let (a, b, y) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    let column = k.block.x * 32 + (k.thread.x & 31)
    let row = k.block.y * 32 + (k.thread.x >> 5)
    let sum = k.variable(Value<F32>(0))
    let (rowA, rowB) = (a + row * depth, b + column * depth)
    k.loop(depth) { i in k.accumulate(sum, k.convert(rowA[i]), k.convert(rowB[i])) }
    y[row * n + column] = sum
  },
  tile: Shape(m: 32, n: 32, k: 1), threads: 1024)
