// Vector clocks: what an actor knows of what the others did.
//
// Times are numbers of one counter of the detector, which grows with every release; an access carries the time of its
// actor's current epoch. Invariant: an access of actor a with time t is before everything that is done by whoever has
// `clock[a] >= t`.
//
// Lamport, "Time, clocks, and the ordering of events in a distributed system" (1978); Flanagan and Freund, "FastTrack"
// (2009).

/// A time of the detector; 0 is before everything.
typealias Time = UInt32

/// For each actor of a cluster, the time up to which its accesses are known.
struct VectorClock {
  private(set) var times: ContiguousArray<Time> = []

  subscript(actor: Int) -> Time {
    @inline(__always) get { actor < times.count ? times[actor] : 0 }
  }

  /// Knows accesses of `actor` up to `time`, too.
  mutating func raise(_ actor: Int, to time: Time) {
    if actor >= times.count {
      times.append(contentsOf: repeatElement(0, count: actor + 1 - times.count))
    }
    if times[actor] < time { times[actor] = time }
  }

  /// Knows all that `other` knows, too.
  mutating func join(_ other: VectorClock) {
    let count = other.times.count
    if times.isEmpty {
      times = other.times
      return
    }
    if times.count < count { times.append(contentsOf: repeatElement(0, count: count - times.count)) }
    other.times.withUnsafeBufferPointer { source in
      times.withUnsafeMutableBufferPointer { target in
        for i in 0..<count { target[i] = max(target[i], source[i]) }
      }
    }
  }
}

/// What is known of one cluster's accesses, and which of its writes have been made visible to the asynchronous proxy.
struct Clocks {
  var seen = VectorClock()
  /// Raised by `fence.proxy.async` only; never above `seen` but for the fencing actor itself.
  var proxied = VectorClock()

  mutating func join(_ other: Clocks) {
    seen.join(other.seen)
    proxied.join(other.proxied)
  }

  func joined(_ other: Clocks) -> Clocks {
    var all = self
    all.join(other)
    return all
  }
}

/// What an actor knows of its own cluster and, by way of atomics and fences in global memory, of others.
struct Knowledge {
  var own = Clocks()
  /// By the number of the cluster in the launch.
  var foreign: [UInt32: Clocks] = [:]

  mutating func join(_ other: Knowledge) {
    own.join(other.own)
    if !other.foreign.isEmpty {
      foreign.merge(other.foreign) { old, new in old.joined(new) }
    }
  }

  init() {}

  /// What all clusters may know of each other, as cluster `own` sees it.
  init(_ clocks: [UInt32: Clocks], own: UInt32) {
    self.own = clocks[own] ?? Clocks()
    foreign = clocks.filter { $0.key != own }
  }

  /// The same without a point of view.
  func byCluster(own number: UInt32) -> [UInt32: Clocks] { foreign.merging([number: own]) { old, _ in old } }
}
