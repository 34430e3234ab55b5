// When requests are too late, the next first.
//
// Invariant: of requests that have ended fewer are kept than there are others, a few apart.

internal import HeapModule

/// The deadlines of requests.
struct Deadlines {
  private struct Entry: Comparable {
    var time: Double
    var id: ScheduledRequest.ID

    static func < (a: Self, b: Self) -> Bool { (a.time, a.id) < (b.time, b.id) }
  }

  private var heap = Heap<Entry>()
  /// Entries after which those of ended requests are looked for.
  private var most = 64

  /// - Parameter isOpen: whether a request has not ended.
  mutating func insert(_ id: ScheduledRequest.ID, _ time: Double, isOpen: (ScheduledRequest.ID) -> Bool) {
    heap.insert(Entry(time: time, id: id))
    guard heap.count > most else { return }
    heap = Heap(heap.unordered.filter { isOpen($0.id) })
    most = 64 + 2 * heap.count
  }

  /// Takes out the requests that are too late, those among them that have ended before included.
  mutating func due(at now: Double) -> [ScheduledRequest.ID] {
    var due: [ScheduledRequest.ID] = []
    while let next = heap.min, next.time <= now { due.append(heap.removeMin().id) }
    return due
  }
}
