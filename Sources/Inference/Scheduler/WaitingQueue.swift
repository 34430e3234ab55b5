// The requests that do not run: a line for each tenant of each priority, in the order of arrival, apart from them the lines of
// those with adapters, and beside the lines those that wait for another request to compute the beginning that both have.
//
// Invariant: a request is in one line or behind one leader. What a call costs grows with the tenants that wait, not with their
// requests.

internal import DequeModule

/// Requests that wait.
struct WaitingQueue {
  typealias ID = ScheduledRequest.ID

  private var texts: [ID: Scheduler.Text] = [:]
  /// Of requests without adapters, and with one.
  private var (bare, adapted) = (Lines(), Lines())
  /// By leader: who follows it, until so many of its tokens are computed. Those that have left are still named here.
  private var followers: [ID: [(until: Int, id: ID)]] = [:]

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

  /// The highest priority of those in lines.
  func priority(adapted isAdapted: Bool) -> Int? {
    isAdapted ? [bare.priority, adapted.priority].lazy.compactMap(\.self).max() : bare.priority
  }

  /// The request in a line that goes first: by priority, then by how little its tenant was served, then by arrival.
  ///
  /// - Parameter adapted: whether those with adapters count.
  func first(_ shares: TenantShares, adapted isAdapted: Bool) -> Scheduler.Text? {
    let bare = bare.first(shares)
    guard isAdapted, let adapted = adapted.first(shares) else { return bare.flatMap { texts[$0.id] } }
    guard let bare else { return texts[adapted.id] }
    return texts[adapted.goesBefore(bare) ? adapted.id : bare.id]
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

  // MARK: Lines

  private mutating func enqueue(_ text: Scheduler.Text) {
    if text.request.adapter.isEmpty { bare.insert(text) } else { adapted.insert(text) }
  }

  /// Takes a request out of its line, if it is in it.
  private mutating func dequeue(_ text: Scheduler.Text) {
    if text.request.adapter.isEmpty { bare.remove(text) } else { adapted.remove(text) }
  }
}

extension WaitingQueue {
  /// Lines by priority and tenant; none is empty.
  private struct Lines {
    private struct Place {
      var arrival: UInt64
      var id: ID
    }

    /// A request with what its turn depends on.
    struct Head {
      var priority: Int
      var served: Double
      var arrival: UInt64
      var id: ID

      func goesBefore(_ other: Head) -> Bool {
        (-priority, served, arrival) < (-other.priority, other.served, other.arrival)
      }
    }

    private var lines: [Int: [Int: Deque<Place>]] = [:]

    var priority: Int? { lines.keys.max() }

    func first(_ shares: TenantShares) -> Head? {
      guard let priority else { return nil }
      return lines[priority]!.lazy.map { tenant, line in
        Head(priority: priority, served: shares[tenant], arrival: line[0].arrival, id: line[0].id)
      }.min { $0.goesBefore($1) }
    }

    mutating func insert(_ text: Scheduler.Text) {
      let place = Place(arrival: text.arrival, id: text.request.id)
      func add(_ line: inout Deque<Place>) { line.insert(place, at: Self.index(of: place.arrival, in: line)) }
      add(&lines[text.request.priority, default: [:]][text.tenant, default: []])
    }

    mutating func remove(_ text: Scheduler.Text) {
      let (priority, tenant) = (text.request.priority, text.tenant)
      // No second reference to the line, which would make its change a copy.
      func index(_ line: Deque<Place>?) -> Int? {
        guard let line else { return nil }
        let index = Self.index(of: text.arrival, in: line)
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
}
