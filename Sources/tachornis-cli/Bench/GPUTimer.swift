// How long work takes on a device: by events around blocks of calls on a GPU, by an estimate on the emulator.
//
// Invariant: between the two events of a sample the device has no reason to wait for the host, unless a single call takes less
// time than its start.

internal import GPUBackend

/// What a block of calls took.
struct GPUTimes {
  /// Seconds of one run, one for each sample of the block.
  var samples: [Double]
  var runs: Int
  /// While the block ran, if somebody knows.
  var condition: DeviceCondition?
  /// Where times are estimates: what they are bound by.
  var bound: String?

  var median: Double { medianOfSorted(samples.sorted()) }
}

/// Takes times on one device.
struct GPUTimer {
  let clock: GPUClock
  /// Of the device's clocks and power; nil: nobody knows them.
  let monitor: DeviceMonitor?
  private static let samples = 8

  init(_ clock: GPUClock, monitor: DeviceMonitor? = nil) { (self.clock, self.monitor) = (clock, monitor) }

  /// Calls work again and again.
  ///
  /// - Parameter seconds: about so long; at least twice.
  func block(_ work: GPUWork, seconds: Double) throws -> GPUTimes {
    switch clock {
    case .estimates: return try estimate(work)
    case .events(let gpu):
      let events = (begin: try CUDAEvent(on: gpu.device), end: try CUDAEvent(on: gpu.device))
      func sample(_ calls: Int, meanwhile: () -> Void = {}) throws -> Double {
        try events.begin.record(on: gpu.stream)
        for _ in 0..<calls { try work.start() }
        try events.end.record(on: gpu.stream)
        meanwhile()
        try events.end.synchronise()
        return try events.end.seconds(since: events.begin)
      }
      let first = max(try sample(1), 1e-6)
      let calls = max(1, Int(seconds / Double(Self.samples) / first))
      let count = max(1, min(Self.samples, Int(seconds / (first * Double(calls)))))
      var times = GPUTimes(samples: [], runs: count * calls * work.runs)
      for number in 1...count {
        let time = try sample(calls) { if number == count { times.condition = try? monitor?.condition() } }
        times.samples.append(time / Double(calls * work.runs))
      }
      return times
    }
  }

  /// The sum of the kernels' rooflines, each bound by what it is bound by.
  private func estimate(_ work: GPUWork) throws -> GPUTimes {
    let times = try clock.kernels { try work.start() }
    let byBound = Dictionary(grouping: times) { $0.bound ?? "" }.mapValues { $0.reduce(0) { $0 + $1.span.duration } }
    let seconds = times.reduce(0) { $0 + $1.span.duration } / Double(work.runs)
    return GPUTimes(samples: [seconds], runs: work.runs, bound: byBound.max { $0.value < $1.value }?.key)
  }
}
