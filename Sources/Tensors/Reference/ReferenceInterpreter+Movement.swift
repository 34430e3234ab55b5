/// Movement in the reference: each operation says where every element of its result comes from.
extension ReferenceInterpreter {
  static func permute(_ x: ReferenceValue, _ axes: [Int], _ type: TensorType) -> ReferenceValue {
    let strides = x.shape.strides
    return x.moved(type.shape.offsets(strides: axes.map { strides[$0] }), to: type)
  }

  static func slice(_ x: ReferenceValue, _ slices: [Slice], _ type: TensorType) -> ReferenceValue {
    let strides = x.shape.strides
    let first = zip(slices, strides).map { $0.start * $1 }.reduce(0, +)
    let offsets = type.shape.offsets(strides: zip(slices, strides).map { $0.step * $1 })
    return x.moved(offsets.map { first + $0 }, to: type)
  }

  static func pad(_ x: ReferenceValue, _ paddings: [Padding], _ type: TensorType) -> ReferenceValue {
    let strides = type.shape.strides
    let first = zip(paddings, strides).map { $0.before * $1 }.reduce(0, +)
    let places = x.shape.offsets(strides: zip(paddings, strides).map { ($0.between + 1) * $1 })
    var source = [Int](repeating: -1, count: type.shape.count)
    for (index, place) in places.enumerated() { source[first + place] = index }
    return x.moved(source, to: type)
  }

  static func concatenate(_ x: [ReferenceValue], _ axis: Int, _ type: TensorType) -> ReferenceValue {
    let (outer, _, _) = type.shape.around(axis)
    func joined<Element>(_ parts: [[Element]]) -> [Element] {
      (0..<outer).flatMap { o in
        parts.flatMap { part in part[(part.count / outer * o)..<(part.count / outer * (o + 1))] }
      }
    }
    return x[0].isFloat
      ? ReferenceValue(type, floats: joined(x.map(\.floats)))
      : ReferenceValue(type, integers: joined(x.map(\.integers)))
  }

  static func split(_ x: ReferenceValue, _ axis: Int, _ types: [TensorType]) -> [ReferenceValue] {
    let strides = x.shape.strides
    var start = 0
    return types.map { type in
      let source = type.shape.offsets(strides: strides).map { $0 + start * strides[axis] }
      start += type.shape[axis]
      return x.moved(source, to: type)
    }
  }

  static func gather(_ table: ReferenceValue, _ indices: ReferenceValue, _ axis: Int, _ type: TensorType)
    -> ReferenceValue
  {
    let (outer, entries, inner) = table.shape.around(axis)
    var source: [Int] = []
    for o in 0..<outer {
      for index in indices.integers {
        let inRange = (0..<Int64(entries)).contains(index)
        for i in 0..<inner { source.append(inRange ? (o * entries + Int(index)) * inner + i : -1) }
      }
    }
    return table.moved(source, to: type)
  }

  static func scatterAdd(_ updates: ReferenceValue, _ indices: ReferenceValue, _ axis: Int, _ type: TensorType)
    -> ReferenceValue
  {
    let (outer, entries, inner) = type.shape.around(axis)
    var places: [Int] = []
    for o in 0..<outer {
      for index in indices.integers {
        let inRange = (0..<Int64(entries)).contains(index)
        for i in 0..<inner { places.append(inRange ? (o * entries + Int(index)) * inner + i : -1) }
      }
    }
    return added(updates, at: places, type)
  }

  static func update(_ x: ReferenceValue, _ rows: ReferenceValue, _ index: ReferenceValue, _ axis: Int)
    -> ReferenceValue
  {
    let (outer, entries, inner) = x.shape.around(axis)
    let count = rows.shape[axis]
    // Whatever is not replaced comes from x, whose elements precede those of the rows.
    var source = Array(0..<x.count)
    let isOneEach = axis == 0 && index.count == count
    for o in 0..<outer {
      for row in 0..<count {
        let place =
          isOneEach
          ? index.integers[row] : index.integers[index.count == 1 ? 0 : o / (outer / index.count)] + Int64(row)
        guard (0..<Int64(entries)).contains(place) else { continue }
        for i in 0..<inner {
          source[(o * entries + Int(place)) * inner + i] = x.count + (o * count + row) * inner + i
        }
      }
    }
    return x.isFloat
      ? ReferenceValue(x.type, floats: source.map { $0 < x.count ? x.floats[$0] : rows.floats[$0 - x.count] })
      : ReferenceValue(x.type, integers: source.map { $0 < x.count ? x.integers[$0] : rows.integers[$0 - x.count] })
  }

  static func take(_ table: ReferenceValue, _ indices: ReferenceValue, _ type: TensorType) -> ReferenceValue {
    table.moved(elementIndices(indices, entries: table.shape[-1]), to: type)
  }

  static func takeAdd(_ updates: ReferenceValue, _ indices: ReferenceValue, _ type: TensorType) -> ReferenceValue {
    added(updates, at: elementIndices(indices, entries: type.shape[-1]), type)
  }

  /// The flat index in `[rows, entries]` that each index in `[rows, k]` means; -1 where it is out of range.
  private static func elementIndices(_ indices: ReferenceValue, entries: Int) -> [Int] {
    let width = indices.shape.rows.width
    return indices.integers.enumerated().map { position, index in
      (0..<Int64(entries)).contains(index) ? position / width * entries + Int(index) : -1
    }
  }

  /// Zeros to which each update is added at its place; those without one are left out.
  private static func added(_ updates: ReferenceValue, at places: [Int], _ type: TensorType) -> ReferenceValue {
    if updates.isFloat {
      var sums = [Double](repeating: 0, count: type.shape.count)
      for (place, update) in zip(places, updates.floats) where place >= 0 { sums[place] += update }
      return ReferenceValue(TensorType(.float64, type.shape), floats: sums).unrounded(as: type.element)
    }
    var sums = [Int64](repeating: 0, count: type.shape.count)
    for (place, update) in zip(places, updates.integers) where place >= 0 { sums[place] &+= update }
    return ReferenceValue(TensorType(.int64, type.shape), integers: sums).unrounded(as: type.element)
  }
}
