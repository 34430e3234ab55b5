// The second half of a product whose sums were made in parts: parts are added in order, then the result is finished as usual.

internal import KernelLanguage
internal import Tensors

/// y = residual + activation(Σ parts + bias), the parts [parts, batch, m, n] of float32.
struct ProductParts: KernelSource {
  var epilogue: TileEpilogue

  static let threads = 256
  /// Elements of a thread, neighbours in a row.
  var width: Int { epilogue.isEven ? 2 : 1 }

  func blocks(rows: Int, columns: Int) -> Int {
    (rows * columns / width + Self.threads - 1) / Self.threads
  }

  /// Operands of a launch: parts, how many they are, rows of the whole batch, columns, the result's pitch, then those of the epilogue.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("productParts", target: target, threads: Self.threads) { k in
      let parts = k.pointer("parts", to: F32.self)
      let (count, rows, columns) = (
        k.parameter("count", U32.self), k.parameter("rows", U32.self), k.parameter("columns", U32.self)
      )
      let pitch = k.parameter("pitch", U32.self)
      let pointers = epilogue.parameters(k)
      let perRow = width == 1 ? columns : columns >> 1
      let thread = k.globalThread
      let row = thread / perRow
      k.when(row .< rows) {
        let column = (thread - row * perRow) * Value(width)
        let place = ProductPlace(row: row, column: column, rowOfAll: row, rows: rows, columns: columns, pitch: pitch)
        let sums = (0..<width).map { _ in k.variable(Value<F32>(0)) }
        let source = k.variable((parts + k.multiplyWide(row, columns) + column).address)
        let size = k.multiplyWide(rows, columns) * 4
        k.loop(count) { _ in
          for (sum, part) in zip(sums, Pointer<F32, Global>(source).load(width)) { sum += part }
          source += size
        }
        epilogue.write(k, sums, at: place, pointers)
      }
    }
  }
}
