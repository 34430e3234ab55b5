// Movement by index: `gather`, `update`, `take` and `takeAdd`. What is out of range is read as zeros, and not written.

internal import KernelLanguage
internal import Tensors

/// `(table [outer, entries, inner], indices [count]) -> [outer, count, inner]`, in pieces.
struct GatherKernel: FlatKernel {
  let indexType: ElementType
  let piece: Int
  let entries: Int
  /// 0: there is one outer slice.
  let count: Int
  /// In pieces.
  let inner: Int
  let isWide: Bool

  let name = "gather"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let table = Pieces(size: piece, pointer: k.pointer("table"))
    let indices = Elements(indexType, k.pointer("indices", to: U8.self))
    let result = Pieces(size: piece, pointer: k.pointer("result"))
    return { item in
      let (row, place) = k.divided(item, by: inner)
      let (outer, column) = count == 0 ? (Value<I>(0), row) : k.divided(row, by: count)
      let index = k.index(indices.load(k, at: column))
      k.when(index.isIn(entries)) {
        let start = (outer * Value(entries) + k.convert(index, to: type)) * Value(inner)
        result.move(item, from: table, at: start + place)
      } otherwise: {
        result.clear(k, item)
      }
    }
  }
}

/// Writes `rows [outer, count, inner]` into `result [outer, entries, inner]`, in pieces.
struct UpdateKernel: FlatKernel {
  /// Which index a row has.
  enum Index: Hashable {
    /// The only one, and the row's number after it.
    case one
    /// That of every `slices` outer slices, and the row's number after it.
    case each(slices: Int)
    /// Its own.
    case row
  }

  let index: Index
  let piece: Int
  let entries: Int
  /// 0: there is one outer slice.
  let count: Int
  /// In pieces.
  let inner: Int
  let isWide: Bool

  let name = "update"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let rows = Pieces(size: piece, pointer: k.pointer("rows"))
    let indices = k.pointer("indices", to: S32.self)
    let result = Pieces(size: piece, pointer: k.pointer("result"))
    return { item in
      let (line, place) = k.divided(item, by: inner)
      let (outer, row) = count == 0 ? (Value<I>(0), line) : k.divided(line, by: count)
      let own = k.convert(row, to: S64.self)
      let target: Value<S64> =
        switch index {
        case .one: k.convert(indices.load(), to: S64.self) + own
        case .each(let slices): k.convert(indices[k.quotient(outer, slices)], to: S64.self) + own
        case .row: k.convert(indices[row], to: S64.self)
        }
      k.when(target.isIn(entries)) {
        let start = (outer * Value(entries) + k.convert(target, to: type)) * Value(inner)
        result.move(start + place, from: rows, at: item)
      }
    }
  }
}

/// `(table [rows, entries], indices [rows, count]) -> [rows, count]`
struct TakeKernel: FlatKernel {
  let indexType: ElementType
  let piece: Int
  let entries: Int
  let count: Int
  let isWide: Bool

  let name = "take"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let table = Pieces(size: piece, pointer: k.pointer("table"))
    let indices = Elements(indexType, k.pointer("indices", to: U8.self))
    let result = Pieces(size: piece, pointer: k.pointer("result"))
    return { item in
      let index = k.index(indices.load(k, at: item))
      k.when(index.isIn(entries)) {
        let start = k.quotient(item, count) * Value(entries)
        result.move(item, from: table, at: start + k.convert(index, to: type))
      } otherwise: {
        result.clear(k, item)
      }
    }
  }
}

/// `(updates [rows, count], indices [rows, count]) -> [rows, entries]`: each thread adds up what its entry gets, in the order of
/// the updates.
struct TakeAddKernel: FlatKernel {
  let element: ElementType
  let indexType: ElementType
  let entries: Int
  let count: Int
  let isWide: Bool

  let name = "takeAdd"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let updates = Elements(element, k.pointer("updates", to: U8.self))
    let indices = Elements(indexType, k.pointer("indices", to: U8.self))
    let result = Elements(element, k.pointer("result", to: U8.self))
    return { item in
      let (row, entry) = k.divided(item, by: entries)
      let own = k.convert(entry, to: S64.self)
      let sum = k.variable(k.number(.integer(0), element.numberClass))
      let start = row * Value(count)
      k.loop(from: start, to: start + Value(count)) { place in
        k.when(k.index(indices.load(k, at: place)) .== own) {
          sum.assign(k.add(sum, updates.load(k, at: place)))
        }
      }
      result.store(k, at: item, k.wrapped(sum, element))
    }
  }
}

extension KernelBuilder {
  /// An index of either type.
  func index(_ number: Number) -> Value<S64> { converted(number, to: .s64).int64 }
}

extension Value where T == S64 {
  /// Whether it is one of `0 ..< entries`.
  func isIn(_ entries: Int) -> Value<Predicate> { seen(as: U64.self) .< Value<U64>(entries) }
}

// MARK: - Lowering

extension Lowering {
  mutating func gather(_ axis: Int) throws {
    let (table, indices, result) = (inputTypes[0], inputTypes[1], resultTypes[0])
    let (outer, entries, inner) = sizes(table.shape, around: axis)
    if result.shape.count == 0 { return }
    let piece = Pieces.size(rowBytes: inner * table.element.size)
    let pieces = inner * table.element.size / piece
    let kernel = GatherKernel(
      indexType: indices.element, piece: piece, entries: entries,
      count: axis == 0 || outer == 1 ? 0 : indices.shape.count,
      inner: pieces, isWide: max(result.shape.count, table.shape.count) >= 1 << 31)
    try launch(
      kernel, count: outer * indices.shape.count * pieces,
      [.value(inputs[0]), .value(inputs[1]), .value(results[0])])
  }

  mutating func update(_ axis: Int) throws {
    let (x, rows, index) = (inputTypes[0], inputTypes[1], inputTypes[2])
    // The plan makes the result's place that of x where x is not needed any more.
    copyStep(from: .value(inputs[0]), to: .value(results[0]), bytes: x.bytes)
    if rows.shape.count == 0 || x.shape.count == 0 { return }
    let (outer, entries, inner) = sizes(x.shape, around: axis)
    let count = rows.shape[axis]
    let places = index.shape.count
    let piece = Pieces.size(rowBytes: inner * x.element.size)
    let pieces = inner * x.element.size / piece
    let kind: UpdateKernel.Index =
      axis == 0 && places == count ? .row : places == 1 ? .one : .each(slices: outer / places)
    let kernel = UpdateKernel(
      index: kind, piece: piece, entries: entries, count: axis == 0 || outer == 1 ? 0 : count, inner: pieces,
      isWide: max(x.shape.count, rows.shape.count) >= 1 << 31)
    try launch(
      kernel, count: outer * count * pieces, [.value(inputs[1]), .value(inputs[2]), .value(results[0])])
  }

  mutating func take() throws {
    let (table, indices) = (inputTypes[0], inputTypes[1])
    if indices.shape.count == 0 { return }
    let kernel = TakeKernel(
      indexType: indices.element, piece: table.element.size, entries: table.shape[-1], count: indices.shape[-1],
      isWide: max(table.shape.count, indices.shape.count) >= 1 << 31)
    try launch(kernel, count: indices.shape.count, [.value(inputs[0]), .value(inputs[1]), .value(results[0])])
  }

  mutating func takeAdd(_ entries: Int) throws {
    let (updates, result) = (inputTypes[0], resultTypes[0])
    if result.shape.count == 0 { return }
    let kernel = TakeAddKernel(
      element: updates.element, indexType: inputTypes[1].element, entries: entries, count: updates.shape[-1],
      isWide: max(updates.shape.count, result.shape.count) >= 1 << 31)
    try launch(kernel, count: result.shape.count, [.value(inputs[0]), .value(inputs[1]), .value(results[0])])
  }
}
