// A line for each tenant of each priority, in the order of arrival.
//
// Invariant: no line is empty. What a call costs grows with the tenants that wait, not with their requests.

internal import DequeModule

/// Those who wait, by priority and tenant.
struct TenantLines {
  /// Whose turn it is when.
  struct Place {
    var id: UInt64
    var priority: Int
    /// The tenant's number.
    var tenant: Int
    var arrival: UInt64
  }

  /// Who goes first in a line, with what its turn depends on.
  struct Head {
    var id: UInt64
    fileprivate var turn: (priority: Int, served: Double, arrival: UInt64)

    func goesBefore(_ other: Head) -> Bool {
      (-turn.priority, turn.served, turn.arrival) < (-other.turn.priority, other.turn.served, other.turn.arrival)
    }
  }

  private var lines: [Int: [Int: Deque<Place>]] = [:]

  /// The highest priority.
  var priority: Int? { lines.keys.max() }

  /// Who goes first: by priority, then by how little the tenant was served, then by arrival.
  func first(_ shares: TenantShares) -> Head? {
    guard let priority else { return nil }
    return lines[priority]!.lazy.map { tenant, line in
      Head(id: line[0].id, turn: (priority, shares[tenant], line[0].arrival))
    }.min { $0.goesBefore($1) }
  }

  mutating func insert(_ place: Place) {
    func add(_ line: inout Deque<Place>) { line.insert(place, at: Self.index(of: place.arrival, in: line)) }
    add(&lines[place.priority, default: [:]][place.tenant, default: []])
  }

  /// Takes somebody out of its line, if it is in it.
  mutating func remove(_ place: Place) {
    let (priority, tenant) = (place.priority, place.tenant)
    // No second reference to the line, which would make its change a copy.
    func index(_ line: Deque<Place>?) -> Int? {
      guard let line else { return nil }
      let index = Self.index(of: place.arrival, in: line)
      return index < line.count && line[index].id == place.id ? index : nil
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
