// How much each tenant was served: virtual token counters (Sheng et al., "Fairness in serving large language models", 2024,
// arXiv:2401.00588).
//
// Invariant: who asks for nothing saves nothing up: a tenant that comes back is lifted to the least counter of those that are
// there. Of tenants without requests at most `remembered` are known, whatever names requests bring.

/// A counter for each tenant.
struct TenantShares {
  /// What a token that is written costs against one that is read.
  static let writtenWeight = 2.0
  /// The most tenants that are remembered without having requests.
  static let remembered = 1024

  private struct Tenant {
    var name: String
    var served = 0.0
    /// Requests that wait or run.
    var requests = 0
  }

  private var numbers: [String: Int] = [:]
  /// By number; nil: the number is free.
  private var tenants: [Tenant?] = []
  private var vacant: [Int] = []
  /// Tenants that have requests.
  private var present = 0

  /// Tenants that are known.
  var count: Int { numbers.count }

  /// How much a tenant that has requests was served.
  subscript(number: Int) -> Double { tenants[number]!.served }

  /// One more request of a tenant.
  ///
  /// - Returns: the tenant's number, which stands for it as long as it has requests.
  mutating func arrive(_ name: String) -> Int {
    let number = numbers[name] ?? add(name)
    if tenants[number]!.requests == 0 {
      let least = tenants.lazy.compactMap { $0 }.filter { $0.requests > 0 }.map(\.served).min()
      tenants[number]!.served = max(tenants[number]!.served, least ?? 0)
      present += 1
    }
    tenants[number]!.requests += 1
    return number
  }

  /// One request less.
  mutating func leave(_ number: Int) {
    tenants[number]!.requests -= 1
    guard tenants[number]!.requests == 0 else { return }
    present -= 1
    if present == 0 {
      // Nobody is owed anything.
      (numbers, tenants, vacant) = ([:], [], [])
    } else if numbers.count - present > Self.remembered {
      forget()
    }
  }

  mutating func serve(_ number: Int, read: Int = 0, written: Int = 0) {
    tenants[number]!.served += Double(read) + TenantShares.writtenWeight * Double(written)
  }

  private mutating func add(_ name: String) -> Int {
    let number = vacant.popLast() ?? tenants.count
    if number == tenants.count { tenants.append(nil) }
    tenants[number] = Tenant(name: name)
    numbers[name] = number
    return number
  }

  /// Forgets half of those who have no requests: the ones that were served least, for whom it changes least.
  private mutating func forget() {
    let absent = tenants.indices.filter { tenants[$0]?.requests == 0 }.sorted { self[$0] < self[$1] }
    for number in absent.prefix(absent.count / 2) {
      numbers[tenants[number]!.name] = nil
      tenants[number] = nil
      vacant.append(number)
    }
  }
}
