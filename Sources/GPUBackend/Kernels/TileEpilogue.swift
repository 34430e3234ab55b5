// What is done to a product while it is written: bias, activation, the value in front of it, residual, conversion.

internal import KernelLanguage
internal import Tensors

/// Sizes of a batched product, as a kernel gets them.
struct ProductShape {
  let rows: Value<U32>
  let columns: Value<U32>
  let depth: Value<U32>
  let batch: Value<U32>
  /// 0 where all products share the operand, else 1.
  let batchA: Value<U32>
  let batchB: Value<U32>
  /// Elements from one row of the result to the next.
  let pitch: Value<U32>

  /// Declares the parameters.
  init(_ k: KernelBuilder) {
    rows = k.parameter("rows")
    columns = k.parameter("columns")
    depth = k.parameter("depth")
    batch = k.parameter("batch")
    batchA = k.parameter("batchA")
    batchB = k.parameter("batchB")
    pitch = k.parameter("pitch")
  }

  func rowTiles(_ size: Int) -> Value<U32> { tiles(rows, size) }
  func columnTiles(_ size: Int) -> Value<U32> { tiles(columns, size) }
  func steps(_ size: Int) -> Value<U32> { tiles(depth, size) }

  private func tiles(_ extent: Value<U32>, _ size: Int) -> Value<U32> { (extent + Value(size - 1)) / Value(size) }

  /// Where an element of the result may be.
  ///
  /// - Parameter end: where rows end; nil: with the matrix.
  func place(
    _ row: Value<U32>, _ column: Value<U32>, _ matrix: Value<U32>, end: Value<U32>? = nil
  ) -> ProductPlace {
    ProductPlace(
      row: row, column: column, rowOfAll: matrix * rows + row, rows: end ?? rows, columns: columns, pitch: pitch)
  }
}

/// Where an element of a product is, and how far the product reaches.
struct ProductPlace {
  var row: Value<U32>
  var column: Value<U32>
  /// In the result's memory, whose rows follow each other.
  var rowOfAll: Value<U32>
  /// The row's and the column's limits.
  var rows: Value<U32>
  var columns: Value<U32>
  /// Elements from one row of the result to the next.
  var pitch: Value<U32>

  var isInside: Value<Predicate> { (row .< rows) .& (column .< columns) }

  func index(_ k: KernelBuilder) -> Value<U64> {
    k.multiplyWide(rowOfAll, pitch) + k.convert(column, to: U64.self)
  }

  /// The place `distance` columns on.
  func advanced(_ distance: Int) -> ProductPlace {
    var place = self
    place.column = column + Value(distance)
    return place
  }
}

/// y = residual + activation(product + bias), in the result's type.
struct TileEpilogue: Hashable, Sendable {
  var result: ElementType
  /// Types of what is read and written beside the result, where it is.
  var bias: ElementType?
  var activation: Activation?
  var preActivation: ElementType?
  var residual: ElementType?
  /// Whether rows have an even number of elements, so that pairs are read and written at once.
  var isEven = true

  /// Addresses of what is read and written beside the operands.
  struct Pointers {
    var result: Elements<Global>
    var bias: Elements<Global>?
    var preActivation: Elements<Global>?
    var residual: Elements<Global>?
  }

  /// Declares the parameters, in this order.
  func parameters(_ k: KernelBuilder) -> Pointers {
    func elements(_ name: String, _ type: ElementType) -> Elements<Global> {
      Elements(type, k.pointer(name, to: U8.self))
    }
    return Pointers(
      result: elements("y", result), bias: bias.map { elements("bias", $0) },
      preActivation: preActivation.map { elements("preActivation", $0) },
      residual: residual.map { elements("residual", $0) })
  }

  /// Whether a result is more than the sum itself.
  var changesSums: Bool { bias != nil || activation != nil || preActivation != nil || residual != nil }

  /// Two neighbours of the result from their sums; what lies outside of the result is not read or written.
  func finish(
    _ k: KernelBuilder, _ sums: [Value<F32>], at place: ProductPlace, _ pointers: Pointers
  ) -> [Value<F32>] {
    guard changesSums else { return sums }
    let values = sums.map { k.variable($0) }
    visit(k, values, at: place) { values, place in change(k, values, place, pointers) }
    return values
  }

  /// Two neighbours of the result from their sums, written where they are inside of it.
  func write(_ k: KernelBuilder, _ sums: [Value<F32>], at place: ProductPlace, _ pointers: Pointers) {
    visit(k, changesSums ? sums.map { k.variable($0) } : sums, at: place) { values, place in
      change(k, values, place, pointers)
      pointers.result.advanced(place.index(k)).store(k, values.map { .f32($0) })
    }
  }

  /// Neighbours at once, or one by one where a row can end between them.
  private func visit(
    _ k: KernelBuilder, _ values: [Value<F32>], at place: ProductPlace,
    _ body: ([Value<F32>], ProductPlace) -> Void
  ) {
    if isEven { return k.when(place.isInside) { body(values, place) } }
    for (distance, value) in values.enumerated() {
      let place = place.advanced(distance)
      k.when(place.isInside) { body([value], place) }
    }
  }

  private func change(_ k: KernelBuilder, _ values: [Value<F32>], _ place: ProductPlace, _ pointers: Pointers) {
    func add(_ elements: [Number]) {
      for (value, element) in zip(values, elements) { value += k.float(element) }
    }
    if let bias = pointers.bias { add(bias.advanced(place.column).load(k, count: values.count)) }
    let index = preActivation != nil || residual != nil ? place.index(k) : nil
    if let index, let preActivation = pointers.preActivation {
      preActivation.advanced(index).store(k, values.map { .f32($0) })
    }
    if let activation { for value in values { value.assign(k.activation(activation, value)) } }
    if let index, let residual = pointers.residual { add(residual.advanced(index).load(k, count: values.count)) }
  }

  /// Two results as one register of 32 bits.
  func pack(_ k: KernelBuilder, _ pair: [Value<F32>]) -> Value<U32> {
    result == .bfloat16
      ? k.pack(pair[0], pair[1], as: BF16x2.self).seen(as: U32.self)
      : k.pack(pair[0], pair[1], as: F16x2.self).seen(as: U32.self)
  }
}
