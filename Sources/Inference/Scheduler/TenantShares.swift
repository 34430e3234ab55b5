// How much each tenant was served: virtual token counters (Sheng et al., "Fairness in serving large language models", 2024,
// arXiv:2401.00588).
//
// Invariant: who asks for nothing saves nothing up: a tenant that comes back is lifted to the least counter of those that are
// there.

/// A counter for each tenant.
struct TenantShares {
  /// What a token that is written costs against one that is read.
  static let writtenWeight = 2.0

  private struct Tenant {
    var served = 0.0
    /// Requests that wait or run.
    var requests = 0
  }

  private var numbers: [String: Int] = [:]
  private var tenants: [Tenant] = []

  /// How much a tenant was served.
  subscript(number: Int) -> Double { tenants[number].served }

  /// One more request of a tenant.
  ///
  /// - Returns: the tenant's number.
  mutating func arrive(_ name: String) -> Int {
    let number = numbers[name] ?? tenants.count
    if number == tenants.count {
      numbers[name] = number
      tenants.append(Tenant())
    }
    if tenants[number].requests == 0 {
      let least = tenants.lazy.filter { $0.requests > 0 }.map(\.served).min()
      tenants[number].served = max(tenants[number].served, least ?? 0)
    }
    tenants[number].requests += 1
    return number
  }

  /// One request less.
  mutating func leave(_ number: Int) {
    tenants[number].requests -= 1
    // When all have gone, nobody is owed anything, and names that never come back are forgotten.
    if tenants.allSatisfy({ $0.requests == 0 }) { (numbers, tenants) = ([:], []) }
  }

  mutating func serve(_ number: Int, read: Int = 0, written: Int = 0) {
    tenants[number].served += Double(read) + TenantShares.writtenWeight * Double(written)
  }
}
