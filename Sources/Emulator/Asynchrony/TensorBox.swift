// The box of a tensor that one copy moves, row by row: where each row lies in global memory, which of it is inside of
// the tensor, and where it goes in shared memory.
//
// Invariant: rows are in the order of the box, the innermost axis within a row; in shared memory they follow each
// other without gaps, before the swizzle, which works on the address. `bytes` counts what lies outside of the tensor,
// too.
//
// PTX ISA 9.1, "Tensors": bounding box, tiled mode, out-of-boundary access, swizzling modes.

package import KernelLanguage

/// What one `cp.async.bulk.tensor` copies.
package struct TensorBox {
  package let map: TensorMap
  /// Of the first element, the innermost axis first; may be negative.
  private let start: [Int]
  /// Elements of the box along each axis.
  private let extents: [Int]
  /// Coordinates of the rows along the second axis, where they are listed (`.tile::gather4`).
  private let listed: [Int]?

  /// A box in tiled mode.
  package init(_ map: TensorMap, at coordinates: [Int]) {
    (self.map, start, listed) = (map, coordinates, nil)
    // The hardware has no step along the innermost axis.
    extents = zip(map.box, map.elementStrides).enumerated().map { axis, pair in
      axis == 0 ? pair.0 : (pair.0 + pair.1 - 1) / pair.1
    }
  }

  /// Four rows of a tensor of two axes, of `box[0]` elements each (`.tile::gather4`, `.tile::scatter4`).
  package init(_ map: TensorMap, column: Int, rows: [Int]) {
    (self.map, start, listed) = (map, [column, 0], rows)
    extents = [map.box[0], rows.count]
  }

  /// Of one row.
  package var rowBytes: Int { extents[0] * map.element.size }
  package var rows: Int { extents.dropFirst().reduce(1, *) }
  /// That an mbarrier is told of.
  package var bytes: Int { rowBytes * rows }

  /// A row's part inside of the tensor.
  package struct Row {
    /// Bytes of the row before the part, and in it; the rest is filled.
    package var skipped: Int
    package var count: Int
    /// Of the part's first byte, in global memory.
    package var address: UInt64
  }

  /// Row `index` of the box; an empty part if all of it is outside.
  package func row(_ index: Int) -> Row {
    var (rest, address) = (index, Int(map.address))
    for axis in 1..<max(extents.count, 1) {
      let step = rest % extents[axis]
      rest /= extents[axis]
      let coordinate = listed?[step] ?? start[axis] + step * map.elementStrides[axis]
      guard (0..<map.dimensions[axis]).contains(coordinate) else { return Row(skipped: 0, count: 0, address: 0) }
      address += coordinate * map.strides[axis - 1]
    }
    let first = max(start[0], 0)
    let end = min(start[0] + extents[0], map.dimensions[0])
    guard first < end else { return Row(skipped: 0, count: 0, address: 0) }
    let size = map.element.size
    return Row(
      skipped: (first - start[0]) * size, count: (end - first) * size, address: UInt64(address + first * size))
  }

  /// Calls `body` with the parts of bytes `from..<to` of a row that lie together in shared memory, and where, for a
  /// box whose first byte is at `target`.
  package func forEachChunk(
    row index: Int, _ from: Int, _ to: Int, target: Int, _ body: (_ offset: Int, _ count: Int, _ place: Int) -> Void
  ) {
    let begin = target + index * rowBytes
    guard map.swizzle != .none else { return body(from, to - from, begin + from) }
    var place = from
    while place < to {
      let end = min((place | 15) + 1, to)
      // Chunks of 16 bytes change places; rows begin at multiples of 16.
      let chunk = begin + place
      body(place, end - place, map.swizzle(chunk & ~15) + chunk & 15)
      place = end
    }
  }

  /// A row's bytes outside of the tensor, as they are read: zeros, or NaNs.
  package func fill(_ target: UnsafeMutableRawPointer, _ count: Int) {
    guard map.fill == .notANumber else {
      target.initializeMemory(as: UInt8.self, repeating: 0, count: count)
      return
    }
    let pattern: [UInt8]
    switch map.element {
    case .float16, .bfloat16: pattern = [0xFF, 0x7F]
    case .float64: pattern = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]
    default: pattern = [0xFF, 0xFF, 0xFF, 0x7F]
    }
    for byte in 0..<count { target.storeBytes(of: pattern[byte % pattern.count], toByteOffset: byte, as: UInt8.self) }
  }
}
