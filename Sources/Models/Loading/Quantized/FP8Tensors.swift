// Weights in E4M3 (Micikevicius et al., 2022, arXiv:2209.05433) with scales for blocks of a matrix, as DeepSeek-V3 has them
// (`weight_scale_inv`, 128 · 128), for rows, or for the whole matrix:
//
//   weight       f8 [outputs, inputs]
//   weight_scale    [outputs / height, inputs / width], [outputs, 1], [outputs], [1] or a scalar
//   weight = scale · element

internal import Core
internal import Networks
internal import Tensors

extension QuantizedTensors {
  mutating func unpackFP8(_ settings: inout ModelSettings) {
    let block = (settings.object["weight_block_size"]?.array ?? []).compactMap(\.integer)
    for suffix in ["weight_scale_inv", "weight_scale"] {
      for module in modules(with: suffix) { unpackFP8(module, scales: suffix, block: block) }
    }
  }

  /// - Parameter block: height and width of the blocks that share a scale; empty where scales say it.
  mutating func unpackFP8(_ module: String, scales suffix: String, block: [Int]) {
    drop(module + ".input_scale")
    drop(module + ".activation_scale")
    guard let codes = take(module + ".weight", ["F8_E4M3"]), let scales = takeFloats("\(module).\(suffix)") else {
      return
    }
    guard codes.dimensions.count == 2, codes.dimensions.allSatisfy({ $0 > 0 }),
      let grid = ScaleGrid(scales.dimensions, matrix: codes.dimensions, block: block)
    else {
      return report("'\(module)' is a matrix of the shape \(codes.dimensions) with scales of \(scales.dimensions).")
    }
    let (rows, columns) = (codes.dimensions[0], codes.dimensions[1])
    guard columns % 32 == 0, grid.width == columns || grid.width % 32 == 0 && columns % grid.width == 0 else {
      return report(
        "'\(module)' has rows of \(columns) and scales for \(grid.width): they must be whole blocks of multiples of 32."
      )
    }
    let format = BlockFormat.fp8E4M3(group: grid.width == columns ? nil : grid.width)
    add(module + ".weight", .blocks(format), rows: rows, columns: columns) { result in
      BlockRepacking.fp8(
        rows: rows, columns: columns, weight: codes.bytes, scales: scales.scales(columns: columns / grid.width),
        rowsPerScale: grid.height, columnsPerScale: grid.width, to: result)
    }
  }
}

/// The elements of a matrix that share a scale.
private struct ScaleGrid {
  let height: Int
  let width: Int

  /// nil: the shape is not one that scales of such a matrix can have.
  ///
  /// - Parameter block: height and width as config.json has them, if it has.
  init?(_ scales: [Int], matrix: [Int], block: [Int]) {
    let (rows, columns) = (matrix[0], matrix[1])
    if scales.reduce(1, *) == 1 {
      (height, width) = (rows, columns)
    } else if scales == [rows] || scales == [rows, 1] {
      (height, width) = (1, columns)
    } else if scales.count == 2, scales.allSatisfy({ $0 > 0 }) {
      let given = block.count == 2 && block.allSatisfy { $0 > 0 }
      height = given ? block[0] : rows / scales[0]
      width = min(columns, given ? block[1] : columns / scales[1])
      guard height > 0, width > 0, (rows - 1) / height + 1 == scales[0], (columns - 1) / width + 1 == scales[1] else {
        return nil
      }
    } else {
      return nil
    }
  }
}
