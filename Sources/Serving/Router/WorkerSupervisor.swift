// Looks at workers and at where they are found, every few seconds, on a thread of its own.

internal import AsyncHTTPClient
internal import Core
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Workers of one role, and where they are found.
package struct WorkerGroup: Sendable, Hashable {
  package let source: WorkerSource
  package let role: WorkerRole

  package init(_ source: WorkerSource, _ role: WorkerRole = .decode) { (self.source, self.role) = (source, role) }
}

/// Keeps a router's workers up to date.
package final class WorkerSupervisor: Sendable {
  private let service: RouterService
  private let groups: Mutex<[WorkerGroup]>
  private let isStopped = Atomic(false)
  /// Asks workers, and Kubernetes.
  private let clients: (workers: HTTPClient, kubernetes: HTTPClient)

  /// Adds the workers that are there, and goes on looking.
  ///
  /// - Parameter kubernetesAuthority: a PEM file with the authority that has signed its certificate; nil: the system's.
  package init(_ service: RouterService, _ groups: [WorkerGroup], kubernetesAuthority: String? = nil) throws {
    self.service = service
    self.groups = Mutex(groups)
    clients = (
      try .ofWorkers(authority: service.options.authority, patience: .seconds(2)),
      try .ofWorkers(authority: kubernetesAuthority, patience: .seconds(2))
    )
    var found: [WorkerGroup: Set<WorkerAddress>] = [:]
    look(&found)
    Threads.start { [self, found] in
      var found = found
      var next = MonotonicClock().seconds + service.options.interval
      while !isStopped.load(ordering: .relaxed) {
        if MonotonicClock().seconds < next {
          // Short, so that stopping takes no time.
          try? MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .milliseconds(50)) {}.futureResult.wait()
          continue
        }
        next = MonotonicClock().seconds + service.options.interval
        look(&found)
      }
      try? clients.workers.syncShutdown()
      try? clients.kubernetes.syncShutdown()
    }
  }

  /// A worker in a role.
  private struct Member: Hashable {
    let address: WorkerAddress
    let role: WorkerRole
  }

  package func stop() { isStopped.store(true, ordering: .relaxed) }

  /// Looks for workers here from now on. Those that are found no more end what they have.
  package func replace(_ groups: [WorkerGroup]) { self.groups.withLock { $0 = groups } }

  /// - Parameter found: of each group, those that the router has taken.
  private func look(_ found: inout [WorkerGroup: Set<WorkerAddress>]) {
    func members(_ groups: [WorkerGroup: Set<WorkerAddress>]) -> Set<Member> {
      Set(groups.flatMap { group, addresses in addresses.map { Member(address: $0, role: group.role) } })
    }
    let groups = groups.withLock { $0 }
    var now: [WorkerGroup: Set<WorkerAddress>] = [:]
    for group in groups {
      // Where nothing can be found out, what was known stays.
      now[group] = group.source.addresses(clients.kubernetes) ?? found[group] ?? []
    }
    let before = members(found)
    // Who changes its role goes before it comes.
    for member in before.subtracting(members(now)) { service.remove(member.address) }
    for group in groups {
      now[group] = now[group]!.filter {
        before.contains(Member(address: $0, role: group.role)) || service.add($0, group.role)
      }
    }
    found = now
    var headers: [(String, String)] = []
    if let key = service.keys.worker { headers.append(("authorization", "Bearer \(key)")) }
    let client = clients.workers
    let asked = service.workers.map(\.address).map { address in
      (address, client.get("\(address)/ready", headers), client.get("\(address)/v1/models", headers))
    }
    for (address, ready, models) in asked {
      let (ready, models) = (try? ready.wait(), try? models.wait())
      // A server that knows no /ready is ready when it can say what it has.
      guard let ready, ready.status == .ok || ready.status == .notFound, let models, models.status == .ok else {
        service.probed(address, nil)
        continue
      }
      let body = models.body.map { String(buffer: $0) } ?? ""
      service.probed(address, (try? JSONValue(parsing: body))?["data"]?.array ?? [])
    }
  }
}
