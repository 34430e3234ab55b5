// A step of the ladder: a kernel for y = a · bᵀ, and how it is launched. a [m, k] and b [n, k] are bfloat16, y [m, n] is float32.

import KernelLanguage

struct Step: Sendable {
  let name: String
  /// What it does that the step before does not.
  let idea: String
  /// Its parameters: both operands, as pointers or as tensor maps, y, n, k.
  let kernel: Kernel
  /// What a block computes at once.
  let tile: Shape
  /// Of a block.
  let threads: Int
  /// By which tensor copies bring the operands' tiles, if they do.
  var layouts: (a: TileLayout, b: TileLayout)? = nil

  func configuration(_ shape: Shape) -> LaunchConfiguration {
    LaunchConfiguration(
      grid: Extent(shape.n / tile.n, shape.m / tile.m), block: Extent(threads), dynamicSharedBytes: kernel.sharedBytes)
  }

  /// - Parameters: addresses on the device.
  func arguments(_ shape: Shape, a: UInt64, b: UInt64, y: UInt64) -> [KernelArgument] {
    let operands: [KernelArgument]
    if let layouts {
      operands = [
        .tensorMap(layouts.a.map(a, rows: shape.m, columns: shape.k)),
        .tensorMap(layouts.b.map(b, rows: shape.n, columns: shape.k)),
      ]
    } else {
      operands = [.pointer(a), .pointer(b)]
    }
    return operands + [.pointer(y), .uint32(UInt32(shape.n)), .uint32(UInt32(shape.k))]
  }
}

struct Shape: Sendable {
  var m: Int
  var n: Int
  var k: Int
}

/// The steps, slowest first.
let ladder = [naive, sharedTiles, registerTiles, tensorCores, asyncCopies, warpgroup, roles]
