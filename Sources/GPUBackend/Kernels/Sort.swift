// Sorting: a bitonic network over keys, in shared memory where that is large enough, else with the wide steps in global memory.
//
// Batcher, Sorting networks and their applications (1968), doi:10.1145/1468075.1468121.

internal import KernelLanguage
internal import Tensors

/// `elements -> keys`, each with the element's place in its row.
struct MakeKeysKernel: FlatKernel {
  let keys: SortKeys
  let name = "makeKeys"
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let x = Elements(keys.element, k.pointer("x", to: U8.self))
    let memory = keys.memory(k, "keys")
    let width = k.parameter("width", type)
    return { item in
      let place = k.convert(item % width, to: U32.self)
      memory.store(item, keys.key(k, x.load(k, at: item), place))
    }
  }
}

/// Sorts pieces of rows, each in a block: `keys [rows, width] -> keys [rows, pieces * keep]`, the first of each piece. Where rows
/// end within a piece it is filled up with keys that come last.
struct SortPiecesKernel: KernelSource {
  let keys: SortKeys
  /// Of a piece, a power of two.
  let size: Int
  /// Only the last round of the network, for pieces that earlier rounds have prepared.
  let merges: Bool

  static let largest = 2048
  static func threads(_ size: Int) -> Int { min(512, max(32, size / 2)) }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("sortPieces", target: target, threads: Self.threads(size)) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    let source = keys.memory(k, "source")
    let target = keys.memory(k, "target")
    let width = k.parameter("width", U32.self)
    let pieces = k.parameter("pieces", U32.self)
    let keep = k.parameter("keep", U32.self)
    // Runs of so many elements of the row rise and fall by turns.
    let run = k.parameter("run", U32.self)
    let shared = KeyMemory(
      keys: k.shared(U64.self, count: size), places: keys.hasPlaces ? k.shared(U32.self, count: size) : nil)
    let (row, piece) = (k.block.x / pieces, k.block.x % pieces)
    let start = piece * Value(size)

    k.loop(from: k.thread.x, to: Value(size), by: Value(Self.threads(size))) { slot in
      let index = start + slot
      k.when(index .< width) {
        shared.store(slot, source.load(k.multiplyWide(row, width) + k.convert(index, to: U64.self)))
      } otherwise: {
        shared.store(slot, keys.last(k))
      }
    }
    let falls = ((start / run) & 1) .!= 0
    var length = merges ? size : 2
    while length <= size {
      var distance = length / 2
      while distance > 0 {
        k.synchronise()
        exchange(k, shared, length: length, distance: distance, falls: falls)
        distance /= 2
      }
      length *= 2
    }
    k.synchronise()
    let first = k.multiplyWide(k.block.x, keep)
    k.loop(from: k.thread.x, to: keep, by: Value(Self.threads(size))) { slot in
      target.store(first + k.convert(slot, to: U64.self), shared.load(slot))
    }
  }

  /// Compares elements `distance` apart; runs of `length` rise and fall by turns, the longest does what the piece is to do.
  private func exchange(
    _ k: KernelBuilder, _ shared: KeyMemory<Shared>, length: Int, distance: Int, falls: Value<Predicate>
  ) {
    k.loop(from: k.thread.x, to: Value(size / 2), by: Value(Self.threads(size))) { pair in
      let (block, place) = k.divided(pair, by: distance)
      let low = block * Value(2 * distance) + place
      let high = low + Value(distance)
      let isFalling = length == size ? falls : (low & Value(length)) .!= 0
      keys.exchange(k, shared, low, high, isFalling: isFalling)
    }
  }
}

/// One step of the network over rows in global memory.
struct SortStepKernel: FlatKernel {
  let keys: SortKeys
  let name = "sortStep"
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let memory = keys.memory(k, "keys")
    let length = k.parameter("length", type)
    let distance = k.parameter("distance", type)
    return { pair in
      // Rows are multiples of all lengths, so the place in all rows says what the place in the row does.
      let low = (pair & ~(distance - 1)) + pair
      keys.exchange(k, memory, low, low + distance, isFalling: (low & length) .!= 0)
    }
  }
}

/// The first of each row of sorted keys, and the elements that they stand for.
///
/// `(elements [rows, entries], keys [rows, width]) -> elements [rows, count], places [rows, count]: int32`
struct TakeSortedKernel: FlatKernel {
  let keys: SortKeys
  let name = "takeSorted"
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let elements = Pieces(size: keys.element.size, pointer: k.pointer("elements"))
    let sorted = keys.memory(k, "keys")
    let values = Pieces(size: keys.element.size, pointer: k.pointer("values"))
    let places = k.pointer("places", to: U32.self)
    let entries = k.parameter("entries", type)
    let width = k.parameter("width", type)
    let kept = k.parameter("kept", type)
    return { item in
      let (row, slot) = (item / kept, item % kept)
      let place = keys.place(k, sorted.load(row * width + slot))
      values.move(item, from: elements, at: row * entries + k.convert(place, to: type))
      places[item] = place
    }
  }
}

// MARK: - Lowering

extension Lowering {
  /// Keys in scratch memory: `[rows, width]`.
  struct SortedKeys {
    var place: Operand
    var rows: Int
    var width: Int
    var all: Int { rows * width }
  }

  /// The first `count` of each row in order, and where they were.
  mutating func ordered(keeping count: Int, descending: Bool) throws {
    let (rows, width) = rows(inputTypes[0].shape)
    if rows == 0 || count == 0 { return }
    let keys = SortKeys(element: inputTypes[0].element, descending: descending)
    let sorted = try sortedKeys(keys, .value(inputs[0]), rows: rows, width: width, keeping: count)
    try launch(
      TakeSortedKernel(keys: keys), count: rows * count,
      [.value(inputs[0])] + operands(keys, sorted)
        + [.value(results[0]), .value(results[1])] + [width, sorted.width, count].map { .count($0, isWide: true) })
  }

  /// Keys of elements `[rows, width]`, of which the first `count` of each row are in order.
  mutating func sortedKeys(_ keys: SortKeys, _ elements: Operand, rows: Int, width: Int, keeping count: Int) throws
    -> SortedKeys
  {
    let all = rows * width
    var sorted = SortedKeys(place: scratch(all * keys.bytes), rows: rows, width: width)
    try launch(
      MakeKeysKernel(keys: keys), count: all, [elements] + operands(keys, sorted) + [.count(width, isWide: true)])
    let largest = SortPiecesKernel.largest
    if width > largest && 2 * count > largest { return try sortInMemory(keys, sorted) }
    // Pieces are sorted and their first kept, until one piece is left.
    repeat {
      let size = min(largest, powerOf2(sorted.width))
      let pieces = (sorted.width + size - 1) / size
      let keep = min(count, size)
      let next = SortedKeys(place: scratch(rows * pieces * keep * keys.bytes), rows: rows, width: pieces * keep)
      try sortPieces(keys, sorted, to: next, size: size, pieces: pieces, keep: keep, run: 1 << 31)
      sorted = next
    } while sorted.width > count
    return sorted
  }

  /// The whole network over rows that do not fit in shared memory.
  private mutating func sortInMemory(_ keys: SortKeys, _ unsorted: SortedKeys) throws -> SortedKeys {
    let size = SortPiecesKernel.largest
    let padded = powerOf2(unsorted.width)
    let pieces = padded / size
    let sorted = SortedKeys(place: scratch(unsorted.rows * padded * keys.bytes), rows: unsorted.rows, width: padded)
    try sortPieces(keys, unsorted, to: sorted, size: size, pieces: pieces, keep: size, run: size)
    var length = 2 * size
    while length <= padded {
      var distance = length / 2
      while distance >= size {
        // The longest run rises.
        let sizes: [Operand] = [.count(length == padded ? 0 : length, isWide: true), .count(distance, isWide: true)]
        try launch(SortStepKernel(keys: keys), count: sorted.all / 2, operands(keys, sorted) + sizes)
        distance /= 2
      }
      try sortPieces(
        keys, sorted, to: sorted, size: size, pieces: pieces, keep: size, run: length, merges: true)
      length *= 2
    }
    return sorted
  }

  private mutating func sortPieces(
    _ keys: SortKeys, _ source: SortedKeys, to target: SortedKeys, size: Int, pieces: Int, keep: Int, run: Int,
    merges: Bool = false
  ) throws {
    try launch(
      SortPiecesKernel(keys: keys, size: size, merges: merges), grid: Extent(source.rows * pieces),
      threads: SortPiecesKernel.threads(size),
      operands(keys, source) + operands(keys, target) + [source.width, pieces, keep, run].map { .count($0) })
  }

  /// The parameters that `SortKeys.memory` declares.
  func operands(_ keys: SortKeys, _ sorted: SortedKeys) -> [Operand] {
    keys.hasPlaces ? [sorted.place, sorted.place.advanced(8 * sorted.all)] : [sorted.place]
  }

  private func powerOf2(_ count: Int) -> Int {
    var result = 1
    while result < count { result *= 2 }
    return result
  }
}
