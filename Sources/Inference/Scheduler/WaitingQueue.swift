// The requests that do not run: a line for each tenant of each priority, in the order of arrival, and beside the lines those
// that wait for another request to compute the beginning that both have, or for a place for their adapter.
//
// Invariant: a request is in one line, behind one leader or parked. What a call costs grows with the tenants that wait, not with their
// requests.

internal import DequeModule

/// Requests that wait.
struct WaitingQueue {
  typealias ID = ScheduledRequest.ID

  private struct Place {
    var arrival: UInt64
    var id: ID
  }

  private var texts: [ID: Scheduler.Text] = [:]
  /// By priority and tenant; none is empty.
  private var lines: [Int: [Int: Deque<Place>]] = [:]
  /// By leader: who follows it, until so many of its tokens are computed. Those that have left are still named here.
  private var followers: [ID: [(until: Int, id: ID)]] = [:]
  /// Those that wait for a place for their adapter; those that have left are still named here.
  private var parked: [ID] = []

  var count: Int { texts.count }
  var isEmpty: Bool { texts.isEmpty }

  subscript(id: ID) -> Scheduler.Text? { texts[id] }

  /// Adds a request, or one that ran, in the place that its arrival gives it.
  mutating func insert(_ text: Scheduler.Text) {
    texts[text.request.id] = text
    enqueue(text)
  }

  @discardableResult
  mutating func remove(_ id: ID) -> Scheduler.Text? {
    guard let text = texts.removeValue(forKey: id) else { return nil }
    dequeue(text)
    return text
  }

  /// The request in a line that goes first: by priority, then by how little its tenant was served, then by arrival.
  func first(_ shares: TenantShares) -> Scheduler.Text? {
    guard let priority = lines.keys.max() else { return nil }
    let first = lines[priority]!.lazy.map { (served: shares[$0.key], place: $0.value.first!) }
      .min { ($0.served, $0.place.arrival) < ($1.served, $1.place.arrival) }
    return texts[first!.place.id]
  }

  // MARK: Leaders

  /// Takes a request out of its line until `computed` tokens of a running one are.
  mutating func follow(_ id: ID, _ leader: ID, until computed: Int) {
    dequeue(texts[id]!)
    followers[leader, default: []].append((computed, id))
  }

  /// Puts those back into their lines that followed a request.
  ///
  /// - Parameter computed: how far it has got; nil: it does not get on.
  mutating func advance(_ leader: ID, _ computed: Int?) {
    guard let all = followers[leader] else { return }
    let left = computed.map { computed in all.filter { $0.until > computed } } ?? []
    followers[leader] = left.isEmpty ? nil : left
    for (until, id) in all where computed.map({ until <= $0 }) ?? true {
      if let text = texts[id] { enqueue(text) }
    }
  }

  // MARK: Places of adapters

  var hasParked: Bool { !parked.isEmpty }

  /// Takes a request out of its line until there is a place for an adapter.
  mutating func park(_ id: ID) {
    dequeue(texts[id]!)
    parked.append(id)
  }

  /// Puts all of them back into their lines.
  mutating func unpark() {
    for id in parked {
      if let text = texts[id] { enqueue(text) }
    }
    parked = []
  }

  // MARK: Lines

  private mutating func enqueue(_ text: Scheduler.Text) {
    let place = Place(arrival: text.arrival, id: text.request.id)
    func add(_ line: inout Deque<Place>) { line.insert(place, at: WaitingQueue.index(of: place.arrival, in: line)) }
    add(&lines[text.request.priority, default: [:]][text.tenant, default: []])
  }

  /// Takes a request out of its line, if it is in it.
  private mutating func dequeue(_ text: Scheduler.Text) {
    let (priority, tenant) = (text.request.priority, text.tenant)
    // No second reference to the line, which would make its change a copy.
    func index(_ line: Deque<Place>?) -> Int? {
      guard let line else { return nil }
      let index = WaitingQueue.index(of: text.arrival, in: line)
      return index < line.count && line[index].id == text.request.id ? index : nil
    }
    guard let index = index(lines[priority]?[tenant]) else { return }
    lines[priority]![tenant]!.remove(at: index)
    guard lines[priority]![tenant]!.isEmpty else { return }
    lines[priority]![tenant] = nil
    if lines[priority]!.isEmpty { lines[priority] = nil }
  }

  /// Where an arrival is in a line or would be.
  private static func index(of arrival: UInt64, in line: Deque<Place>) -> Int {
    var (low, high) = (0, line.count)
    // Most come last or go first.
    if let last = line.last, last.arrival < arrival { return line.count }
    while low < high {
      let middle = (low + high) / 2
      if line[middle].arrival < arrival { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
