// The order in which tiles of a result are computed. Neighbours in time should share rows or columns of the operands, which then
// come from the second-level cache.

/// Which tile of a grid of tiles is the i-th.
public enum TileSchedule: Hashable, Sendable {
  /// Groups of so many rows of tiles, column by column within a group.
  case grouped(Int)
  /// Along a Hilbert curve: the list is made once per shape and read from memory.
  case hilbert

  /// All tiles in order, as (row, column).
  public func order(rows: Int, columns: Int) -> [(row: Int, column: Int)] {
    switch self {
    case .grouped(let height):
      return (0..<rows * columns).map { index in
        let (group, inside) = index.quotientAndRemainder(dividingBy: height * columns)
        let first = group * height
        let here = min(height, rows - first)
        return (first + inside % here, inside / here)
      }
    case .hilbert:
      var side = 1
      while side < max(rows, columns) { side *= 2 }
      // Points of the curve outside of the grid are left out.
      return (0..<side * side).lazy.map { Self.point($0, side: side) }.filter { $0.x < rows && $0.y < columns }
        .map { ($0.x, $0.y) }
    }
  }

  /// The point of a Hilbert curve over a square whose side is a power of two.
  private static func point(_ distance: Int, side: Int) -> (x: Int, y: Int) {
    var (x, y, rest, size) = (0, 0, distance, 1)
    while size < side {
      let right = rest / 2 & 1
      let up = (rest ^ right) & 1
      if up == 0 {
        if right == 1 { (x, y) = (size - 1 - x, size - 1 - y) }
        (x, y) = (y, x)
      }
      x += size * right
      y += size * up
      rest /= 4
      size *= 2
    }
    return (x, y)
  }
}

extension KernelBuilder {
  /// Row and column of tile `index` in groups of `height` rows, computed by the thread.
  public func groupedTile(
    _ index: Value<U32>, rows: Value<U32>, columns: Value<U32>, height: Int
  ) -> (row: Value<U32>, column: Value<U32>) {
    let perGroup = columns * Value(height)
    let group = index / perGroup
    let inside = index - group * perGroup
    let first = group * Value(height)
    let here = minimum(rows - first, Value(height))
    let column = inside / here
    return (first + (inside - column * here), column)
  }
}
