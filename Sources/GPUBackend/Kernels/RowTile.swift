// The elements of a row, dealt out to the threads that work on it.
//
// Invariant: thread t of a group of T has elements (g T + t) V ..< (g T + t) V + V for g = 0, 1, ...: neighbours in one access,
// V of them. A row of moderate width is read once and held in registers, a longer one is read in each pass.

internal import KernelLanguage
internal import Tensors

/// How rows of a width are dealt out.
struct RowLayout: Hashable, Sendable {
  let width: Int
  /// Neighbours in one access.
  let vector: Int
  /// Threads of a row.
  let threads: Int

  /// Whether what a thread needs of a row stays in registers.
  let isHeld: Bool

  /// - Parameters:
  ///   - elements: the types of what is read and written along the row.
  ///   - held: how many numbers a thread needs for each of its elements.
  init(width: Int, _ elements: [ElementType], held: Int) {
    self.width = width
    var vector = 16 / elements.map(\.size).max()!
    while width % vector != 0 { vector /= 2 }
    var threads = 32
    while threads < 1024 && threads * max(vector, 16) < width { threads *= 2 }
    (self.vector, self.threads) = (vector, threads)
    let groups = (width + threads * vector - 1) / (threads * vector)
    let words = groups * vector * held * (elements.contains(.float64) ? 2 : 1)
    // A multiprocessor has 65536 registers, a thread 255 of them; some are needed for other things.
    isHeld = words <= min(160, 65536 / max(threads, 128) - 40)
  }

  /// Accesses of a thread to a row.
  var groups: Int { (width + threads * vector - 1) / (threads * vector) }
}

/// Rows that a group of threads reads.
struct RowTile {
  let layout: RowLayout
  let group: ThreadGroup
  private let k: KernelBuilder

  init(_ k: KernelBuilder, _ layout: RowLayout) {
    (self.k, self.layout) = (k, layout)
    group = ThreadGroup(k, size: layout.threads)
  }

  /// What was read of some rows, all of one place in the row.
  typealias Piece = (place: Value<U32>, values: [[Number]])

  /// Reads the thread's elements of rows, if they can be held.
  func hold(_ rows: [Elements<Global>]) -> Held {
    guard layout.isHeld else { return Held(tile: self, rows: rows, pieces: nil) }
    let pieces = (0..<layout.groups).map {
      number -> (place: Value<U32>, isInside: Value<Predicate>?, values: [[Number]]) in
      let place = group.lane * Value(layout.vector) + Value(number * layout.threads * layout.vector)
      if (number + 1) * layout.threads * layout.vector <= layout.width {
        return (place, nil, rows.map { $0.advanced(place).load(k, count: layout.vector) })
      }
      let isInside = place .< Value(layout.width)
      let values = rows.map { row in
        (0..<layout.vector).map { _ in k.variable(k.number(.integer(0), row.type.numberClass)) }
      }
      k.when(isInside) {
        for (row, values) in zip(rows, values) {
          for (value, loaded) in zip(values, row.advanced(place).load(k, count: layout.vector)) { value.assign(loaded) }
        }
      }
      return (place, isInside, values)
    }
    return Held(tile: self, rows: rows, pieces: pieces)
  }

  /// The thread's elements of rows.
  struct Held {
    fileprivate let tile: RowTile
    fileprivate let rows: [Elements<Global>]
    fileprivate let pieces: [(place: Value<U32>, isInside: Value<Predicate>?, values: [[Number]])]?

    /// Calls `body` for each piece that lies in the row: its place, and by row its elements. The number of the piece is known
    /// where pieces are held.
    func each(_ body: (_ place: Value<U32>, _ values: [[Number]], _ number: Int?) -> Void) {
      let (k, layout) = (tile.k, tile.layout)
      guard let pieces else {
        let step = layout.threads * layout.vector
        return k.loop(from: tile.group.lane * Value(layout.vector), to: Value(layout.width), by: Value(step)) { place in
          body(place, rows.map { $0.advanced(place).load(k, count: layout.vector) }, nil)
        }
      }
      for (number, piece) in pieces.enumerated() {
        if let isInside = piece.isInside {
          k.when(isInside) { body(piece.place, piece.values, number) }
        } else {
          body(piece.place, piece.values, number)
        }
      }
    }

    /// The sum over the row of a function of its elements.
    func sum(_ numberClass: NumberClass, _ value: ([Number]) -> Number) -> Number {
      let sum = tile.k.variable(tile.k.number(.integer(0), numberClass))
      each { _, values, _ in
        for place in 0..<tile.layout.vector { sum.assign(tile.k.add(sum, value(values.map { $0[place] }))) }
      }
      return tile.group.sum(sum)
    }
  }
}
