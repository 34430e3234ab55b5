// One warpgroup only copies and gives its registers to two others that only multiply; four stages between them. Copies never wait
// for products of the same stage, products never wait for a barrier of the whole block. The backend's kernel goes on from here:
// blocks that work through many tiles, clusters that share an operand, results that leave by tensor copies.

import KernelLanguage

let rolesA = TileLayout(rows: 128, columns: 64, .bfloat16)
let rolesB = TileLayout(rows: 256, columns: 64, .bfloat16)

let roles = Step(
  name: "7 roles", idea: "one group copies, two multiply; four stages between them",
  kernel: Kernel("roles", target: .sm90a, threads: 384, blocks: 1) { k in
    let (mapA, mapB, y) = (k.tensorMap("a"), k.tensorMap("b"), k.pointer("y", to: F32.self))
    let (n, depth) = (k.parameter("n", U32.self), k.parameter("k", U32.self))
    let tilesA = k.tile(rolesA, of: BF16.self, count: 4)
    let tilesB = k.tile(rolesB, of: BF16.self, count: 4)
    let pipeline = Pipeline(k, stages: 4, users: 2)
    Pipeline.publish(k, cluster: false)
    let (row, column) = (k.block.y * 128, k.block.x * 256)
    k.roles([
      Role(registers: 24) { _ in
        k.when(k.thread.x .== 0) {
          let cursor = pipeline.cursor()
          k.loop(from: 0, to: depth, by: 64) { first in
            let start = first.seen(as: S32.self)
            pipeline.fill(
              cursor,
              [
                TileCopy(tilesA[cursor.stage], mapA, column: start, row: row.seen(as: S32.self)),
                TileCopy(tilesB[cursor.stage], mapB, column: start, row: column.seen(as: S32.self)),
              ])
            cursor.advance()
          }
        }
      },
      Role(groups: 2, registers: 240) { group in
        let cursor = pipeline.cursor()
        let sums = (0..<128).map { _ in k.register(F32.self) }
        let rows = k.convert(group, to: U64.self) * Value(rolesA.descriptorOffset(from: 64, .k))
        k.loop(from: 0, to: depth, by: 64) { first in
          pipeline.waitUntilFull(cursor)
          let (left, right) = (tilesA[cursor.stage].descriptor() + rows, tilesB[cursor.stage].descriptor())
          k.fenceProducts()
          for step in 0..<4 {
            k.multiplyGroup(
              sums, left + Value(rolesA.descriptorStep(step, .k)), right + Value(rolesB.descriptorStep(step, .k)),
              .bf16,
              accumulates: step == 0 ? first .!= 0 : k.predicate(true))
          }
          k.commitProducts()
          k.waitForProducts()
          k.when(k.thread.x & 127 .== 0) { pipeline.release(stage: cursor.stage) }
          cursor.advance()
        }
        storeGroup(k, sums, y, n, row: row + group * 64, column: column)
      },
    ])
  },
  tile: Shape(m: 128, n: 256, k: 64), threads: 384, layouts: (rolesA, rolesB))
