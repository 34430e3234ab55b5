// Measures cases on a GPU one after the other, or on the emulator, where times are estimates.
//
// Invariant: with `json`, standard output is JSON lines and nothing else. What is wrong, or fails, is said and not timed; the
// others go on.

internal import Core
internal import Emulator
internal import GPUBackend
internal import KernelLanguage
internal import Tensors

/// Cases on one device.
final class GPUBenchmark {
  let device: any GPUDevice
  /// All that there are for this device.
  let cases: [GPUCase]
  private let backend: GPUBackend
  private let timer: GPUTimer
  private let check: GPUCheck
  private let cacheBytes: Int
  private let driver: String?
  private var problems: [String: String?] = [:]

  /// - Parameter choice: a GPU, or the emulator.
  /// - Throws: where there is no such device.
  init(_ choice: DeviceChoice) throws {
    guard let (backend, clock) = try GPUClock.backend(choice) else {
      throw CommandError("The processor's kernels are measured without --device.")
    }
    self.backend = backend
    device = backend.device
    check = GPUCheck(backend: backend, isEmulated: clock.isEstimate)
    cases = GPUCase.all(clock.isEstimate ? .small : .full)
    switch clock {
    case .events(let gpu):
      let properties = gpu.device.properties
      // Without the library there are times, but no clocks beside them.
      let monitor = try? DeviceMonitor(bus: properties.bus)
      timer = GPUTimer(clock, monitor: monitor)
      cacheBytes = properties.secondLevelCacheBytes
      driver = "\(monitor.map { $0.driverVersion + ", " } ?? "")CUDA \(gpu.device.driver.release)"
    case .estimates:
      timer = GPUTimer(clock)
      (cacheBytes, driver) = (0, nil)
    }
  }

  /// Of the tensor cores in bfloat16, from the table of chips; nil: the chip is not in it.
  var peak: Double? {
    let known = Chip.all.first { device.name.contains($0.name) }
    return known.flatMap { chip in
      chip.tensorRates[.half].map { $0 * chip.clock * Double(chip.multiprocessors) }
    }
  }

  /// What a reader of results must know of the device.
  var json: JSONObject {
    var facts = JSONObject([
      ("device", .string(device.name)), ("target", .string(device.target.name)),
      ("multiprocessors", .number(JSONNumber(device.multiprocessors))),
      ("cacheBytes", .number(JSONNumber(cacheBytes))), ("estimated", .bool(timer.clock.isEstimate)),
      ("version", .string(Tachornis.version)),
    ])
    if let driver { facts["driver"] = .string(driver) }
    if let peak { facts["peak"] = .number(JSONNumber(peak)) }
    if let gpu = device as? CUDAGPU { facts["bus"] = .string(gpu.device.properties.bus) }
    return facts
  }

  /// Why a case is not to be timed; nil: it computes what it should. Each kind is looked at once.
  func problem(_ measured: GPUCase) -> String? {
    if let known = problems[measured.kind] { return known }
    let found = check.problem(measured.kind)
    problems[measured.kind] = .some(found)
    return found
  }

  /// Kernels of a case that no check has seen.
  func unchecked(_ measured: GPUCase) throws -> [String] { try check.unchecked(measured) }

  /// Makes a case ready. Another one that was is to be let go of first: `release`.
  func prepare(_ measured: GPUCase) throws -> GPUWork {
    try GPUWork(measured.work, bytes: measured.bytes, on: backend, cacheBytes: cacheBytes)
  }

  func times(_ work: GPUWork, seconds: Double) throws -> GPUTimes { try timer.block(work, seconds: seconds) }

  /// Gives what finished work has held back to the system, for others.
  func release() throws {
    try device.synchronise()
    if let gpu = device as? CUDAGPU { try gpu.memory.trim() }
  }

  // MARK: A table

  /// Measures what a filter leaves.
  ///
  /// - Parameters:
  ///   - checks: whether every kind is compared with the reference first.
  ///   - emit: takes one line of output.
  /// - Returns: how many cases there were.
  func run(filter: String, checks: Bool, json: Bool, seconds: Double, emit: (String) -> Void) -> Int {
    let chosen = cases.filter { filter.isEmpty || $0.title.contains(filter) }
    guard !chosen.isEmpty else { return 0 }
    emit(json ? JSONValue.object(self.json).json : heading)
    // The roof of what is bound by memory.
    let passes = chosen.contains { $0.goal.bandwidth != nil } ? cases.filter { $0.name == "memory" } : []
    var bandwidth = 0.0
    for measured in passes + chosen.filter({ one in !passes.contains { $0.title == one.title } }) {
      do {
        if checks, let problem = problem(measured) { throw CommandError("wrong: \(problem)") }
        let unchecked = checks ? try unchecked(measured) : []
        let times = try block(measured, seconds: seconds)
        try release()
        if measured.name == "memory" { bandwidth = max(bandwidth, measured.bytes / times.median) }
        var line = line(measured, times)
        if checks { line["unchecked"] = .array(unchecked.map { .string($0) }) }
        let remark = unchecked.isEmpty ? "" : "  not checked: " + unchecked.joined(separator: ", ")
        emit(json ? JSONValue.object(line).json : row(measured, times, bandwidth: bandwidth) + remark)
      } catch {
        var line = measured.json
        line["error"] = .string("\(error)")
        emit(json ? JSONValue.object(line).json : "\(padded(measured.title, 62))\(error)")
        try? release()
      }
    }
    return chosen.count
  }

  /// Prepares, warms up and measures a case.
  private func block(_ measured: GPUCase, seconds: Double) throws -> GPUTimes {
    let work = try prepare(measured)
    if !timer.clock.isEstimate { _ = try times(work, seconds: seconds / 2) }
    return try times(work, seconds: seconds)
  }

  /// A result as results are exchanged.
  func line(_ measured: GPUCase, _ times: GPUTimes) -> JSONObject {
    var line = measured.json
    line["seconds"] = .number(JSONNumber(times.median))
    line["samples"] = .array(times.samples.map { .number(JSONNumber($0)) })
    line["runs"] = .number(JSONNumber(times.runs))
    if let bound = times.bound { line["bound"] = .string(bound) }
    if let condition = times.condition {
      line["megahertz"] = .number(JSONNumber(condition.multiprocessorMegahertz))
      line["watts"] = .number(JSONNumber(condition.watts))
      line["celsius"] = .number(JSONNumber(condition.celsius))
      line["slowdowns"] = .array(condition.slowdowns.map { .string($0) })
    }
    return line
  }

  private var heading: String {
    let about = "\(device.name), \(device.multiprocessors) multiprocessors\(driver.map { ", driver " + $0 } ?? "")"
    let columns = timer.clock.isEstimate ? right("bound by", 20) : right("MHz", 6) + right("W", 5) + right("°C", 4)
    return about + "\n\n" + padded("case", 62) + right(timer.clock.isEstimate ? "estimate" : "time", 10)
      + right("TFLOP/s", 9) + right("TB/s", 7) + right("of the memory", 14) + columns
  }

  private func row(_ measured: GPUCase, _ times: GPUTimes, bandwidth: Double) -> String {
    let time = times.median
    let rate = measured.bytes / time
    var line = padded(measured.title, 62) + right(Numerals.duration(time), 10)
    line += right(measured.operations > 0 ? Numerals.significant(measured.operations / time / 1e12) : "-", 9)
    line += right(Numerals.significant(rate / 1e12), 7)
    let isShare = measured.goal.bandwidth != nil && bandwidth > 0
    line += right(isShare ? "\(Int((100 * rate / bandwidth).rounded()))%" : "-", 14)
    if let condition = times.condition {
      line += right("\(condition.multiprocessorMegahertz)", 6) + right(Numerals.fixed(condition.watts, 0), 5)
      line += right("\(condition.celsius)", 4)
    }
    if let bound = times.bound { line += right(bound, 20) }
    if measured.runsPerToken > 0 {
      line += "  \(Numerals.significant(time * Double(measured.runsPerToken) * 1e3)) ms a token"
    }
    if measured.tokens > 0 {
      line += "  \(Numerals.grouped(Int(Double(measured.tokens) / time))) tokens/s"
      if let peak { line += ", MFU \(Numerals.fixed(100 * measured.operations / time / peak, 1))%" }
    }
    return line
  }

  private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }
}
