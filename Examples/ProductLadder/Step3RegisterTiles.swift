// A thread computes 8 x 8 elements: 16 values from shared memory give 64 multiplications, an eighth of the traffic. What bounds
// it now are the multiply-add units themselves: 128 a clock, a thirty-second of what the tensor cores do.

import KernelLanguage

let registerTiles = Step(
  name: "3 register tiles", idea: "a thread computes 8 x 8 elements from registers",
  kernel: Kernel("registerTiles", target: .sm80, threads: 256) { k in
    let (a, b, y) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    // Tiles of 128 x 8, summed axis first, so that a thread's eight neighbours are contiguous.
    let (tileA, tileB) = (k.shared(F32.self, count: 8 * 132), k.shared(F32.self, count: 8 * 132))
    let thread = k.thread.x
    let (row, column) = (k.block.y * 128, k.block.x * 128)
    let (threadRow, threadColumn) = (thread / 16 * 8, thread % 16 * 8)
    let sums = (0..<64).map { _ in k.variable(Value<F32>(0)) }
    let (columnA, columnB) = (tileA + threadRow, tileB + threadColumn)
    // Each thread brings four elements of each tile.
    let (loadRow, loadDepth) = (thread >> 1, (thread & 1) * 4)
    k.loop(from: 0, to: depth, by: 8) { first in
      for (tile, source, start) in [(tileA, a, row), (tileB, b, column)] {
        let values = (source + ((start + loadRow) * depth + first + loadDepth)).load(4)
        let place = tile + (loadDepth * 132 + loadRow)
        for (i, value) in values.enumerated() { place[132 * i] = k.convert(value) }
      }
      k.synchronise()
      for i in 0..<8 {
        let left = [0, 4].flatMap { columnA.advanced(i * 132 + $0).load(4) }
        let right = [0, 4].flatMap { columnB.advanced(i * 132 + $0).load(4) }
        for (index, sum) in sums.enumerated() { k.accumulate(sum, left[index / 8], right[index % 8]) }
      }
      k.synchronise()
    }
    for i in 0..<8 {
      let place = y + ((row + threadRow + Value(i)) * n + column + threadColumn)
      for half in 0..<2 { place.advanced(4 * half).store(Array(sums[8 * i + 4 * half..<8 * i + 4 * half + 4])) }
    }
  },
  tile: Shape(m: 128, n: 128, k: 8), threads: 256)
