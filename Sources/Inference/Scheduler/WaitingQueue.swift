// The requests that do not run: a line for each tenant of each priority, in the order of arrival, apart from them the lines of
// those with adapters, and beside the lines those that wait for another request to compute the beginning that both have.
//
// Invariant: a request is in one line or behind one leader. What a call costs grows with the tenants that wait, not with their
// requests.

/// Requests that wait.
struct WaitingQueue {
  typealias ID = ScheduledRequest.ID

  private var texts: [ID: Scheduler.Text] = [:]
  /// Of requests without adapters, and with one.
  private var (bare, adapted) = (TenantLines(), TenantLines())
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
    if text.request.adapter.isEmpty { bare.insert(text.place) } else { adapted.insert(text.place) }
  }

  /// Takes a request out of its line, if it is in it.
  private mutating func dequeue(_ text: Scheduler.Text) {
    if text.request.adapter.isEmpty { bare.remove(text.place) } else { adapted.remove(text.place) }
  }
}

extension Scheduler.Text {
  /// Where it waits.
  fileprivate var place: TenantLines.Place {
    TenantLines.Place(id: request.id, priority: request.priority, tenant: tenant, arrival: arrival)
  }
}
