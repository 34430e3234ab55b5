// Times of kernels, timelines from inside of them, the trace, the monitor and ranges.

internal import Core
internal import FakeDrivers
internal import Foundation
internal import GPUBackend
internal import KernelLanguage
internal import Support
internal import Testing

extension DriverTests {
  @Suite struct KernelProfilerTests {
    @Test func timesOfKernels() throws {
      let driver = try DriverTests.open()
      do {
        let gpu = try CUDAGPU(CUDADevice(of: driver), cache: nil)
        let address = try gpu.make([1])
        let module = try gpu.load(DriverTests.scale)
        let configuration = LaunchConfiguration(grid: Extent(1), block: Extent(32))
        func launch() throws {
          try module.launch("scale", configuration, [.pointer(address), .uint32(1), .float32(1)])
        }
        try launch()
        let profiler = try KernelProfiler(on: gpu.stream)
        gpu.profiler = profiler
        // Beyond what is held at once; a launch takes a quarter of a millisecond.
        for _ in 0..<5000 { try launch() }
        let spans = try profiler.take()
        #expect(spans.count == 5000)
        for (index, span) in spans.enumerated() {
          #expect(abs(span.start - Double(index) * 0.25e-3) < 1e-7)
          #expect(abs(span.duration - 0.25e-3) < 1e-9)
        }
        #expect(spans[0].kernel == "scale" && spans[0].configuration == configuration)
        #expect(try profiler.take().isEmpty)
        // Events are used again.
        #expect(DriverTests.live["events"] ?? 0 < 4200)
        // What is recorded is not timed, so nothing is recorded now; what was before is replayed as ever.
        #expect(try gpu.record { try launch() } == nil)
        gpu.profiler = nil
        let recording = try #require(try gpu.record { try launch() })
        gpu.profiler = profiler
        try recording.replay()
        gpu.profiler = nil
        try launch()
        #expect(try profiler.take().isEmpty)
        gpu.free(address)
      }
      #expect(DriverTests.live.isEmpty)
    }
  }
}

@Suite struct RoleTimelineTests {
  /// A buffer as kernels write it, made byte by byte.
  private func buffer(room: Int, _ records: [(time: UInt64, sm: UInt32, block: UInt32, warp: UInt32, tag: UInt32)])
    -> [UInt8]
  {
    func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    var result = bytes(UInt32(records.count)) + bytes(UInt32(room)) + bytes(UInt64(0))
    for record in records.prefix(room) {
      result += bytes(record.time) + bytes(record.sm) + bytes(record.block) + bytes(record.warp) + bytes(record.tag)
    }
    return result + [UInt8](repeating: 0, count: 16 + 24 * room - result.count)
  }

  private func timeline(_ bytes: [UInt8], parts: [String] = ["load", "multiply"]) -> RoleTimeline {
    bytes.withUnsafeBytes { RoleTimeline($0, parts: parts) }
  }

  @Test func partsOfWarps() {
    let result = timeline(
      buffer(
        room: 10,
        [
          (1000, 5, 7, 0, 0), (1032, 5, 7, 4, 2), (1500, 5, 7, 0, 1), (1500, 5, 7, 0, 0), (2032, 5, 7, 4, 3),
          (1600, 5, 7, 0, 1), (9000, 6, 8, 0, 3), (9500, 6, 8, 1, 8), (9600, 6, 8, 1, 9), (9700, 6, 8, 2, 0),
        ]))
    let expected: [(String, Int, Int, Int, Double, Double)] = [
      ("load", 5, 7, 0, 0, 500e-9), ("multiply", 5, 7, 4, 32e-9, 1000e-9), ("load", 5, 7, 0, 500e-9, 100e-9),
      ("part 4", 6, 8, 1, 8500e-9, 100e-9),
    ]
    #expect(result.spans.map(\.part) == expected.map(\.0))
    for (span, expected) in zip(result.spans, expected) {
      #expect((span.multiprocessor, span.block, span.warp) == (expected.1, expected.2, expected.3))
      #expect(abs(span.start - expected.4) < 1e-15 && abs(span.duration - expected.5) < 1e-15)
    }
    #expect(result.unpaired == 2)
    #expect(result.lost == 0)
  }

  @Test func whatDoesNotFitIsCounted() {
    let records = (0..<7).map {
      (time: UInt64($0), sm: UInt32(0), block: UInt32(0), warp: UInt32(0), tag: UInt32($0 & 1))
    }
    let result = timeline(buffer(room: 4, records))
    #expect(result.spans.count == 2)
    #expect(result.lost == 3)
  }

  @Test func anEmptyBuffer() {
    let empty = RoleTimeline.emptyBuffer(records: 3)
    #expect(empty.count == 16 + 3 * 24 && empty[4] == 3)
    #expect(timeline(empty).spans.isEmpty)
    #expect(timeline([]).spans.isEmpty)
    #expect(RoleTimeline.tag(part: 3, isEnd: true) == 7)
  }

  /// Whatever bytes there are, reading them ends.
  @Test(arguments: 0..<50)
  func anyBytes(index: Int) {
    var random = RandomCase("anyBytes", index)
    var bytes = (0..<random.integer(0...400)).map { _ in UInt8(random.integer(0...255)) }
    if bytes.count > 8, random.bool() { bytes.replaceSubrange(0..<8, with: [9, 0, 0, 0, 200, 0, 0, 0]) }
    let result = timeline(bytes)
    #expect(result.spans.count <= bytes.count / 48 && result.lost >= 0, "\(random)")
  }
}

@Suite struct ChromeTraceTests {
  @Test func traces() throws {
    var trace = ChromeTrace()
    let configuration = LaunchConfiguration(grid: Extent(132), block: Extent(384), cluster: Extent(2))
    trace.add([
      KernelSpan(kernel: "gemm", configuration: configuration, start: 1e-3, duration: 2e-6),
      KernelSpan(kernel: "norm \"x\"", configuration: configuration, start: 2e-3, duration: 0.5e-6),
    ])
    var bytes = RoleTimeline.emptyBuffer(records: 2)
    bytes[0] = 2
    bytes.replaceSubrange(16..<24, with: [0, 1, 0, 0, 0, 0, 0, 0])
    bytes.replaceSubrange(40..<48, with: [0, 2, 0, 0, 0, 0, 0, 0])
    bytes[60] = 1
    trace.add(bytes.withUnsafeBytes { RoleTimeline($0, parts: ["load"]) }, startingAt: 1e-3)
    let path = NSTemporaryDirectory() + "/trace-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try trace.write(to: path)
    let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any]
    let events = try #require(object?["traceEvents"] as? [[String: Any]])
    let spans = events.filter { $0["ph"] as? String == "X" }
    #expect(spans.map { $0["name"] as? String } == ["gemm", "norm \"x\"", "load"])
    let times = spans.map { ($0["ts"] as? Double ?? .nan, $0["dur"] as? Double ?? .nan) }
    for (time, expected) in zip(times, [(1000.0, 2.0), (2000, 0.5), (1000, 0.256)]) {
      #expect(abs(time.0 - expected.0) < 1e-6 && abs(time.1 - expected.1) < 1e-6)
    }
    #expect((spans[0]["args"] as? [String: Any])?["grid"] as? String == "132 x 1 x 1")
    // Every row and process of a span has a name, once.
    let names = events.filter { $0["ph"] as? String == "M" }
    #expect(names.count == 4)
    #expect(
      Set(names.compactMap { ($0["args"] as? [String: Any])?["name"] as? String }) == [
        "GPU", "kernels", "SM 0", "block 0, warp 0",
      ])
  }
}

extension DriverTests {
  @Suite struct ToolsTests {
    @Test func conditions() throws {
      let monitor = try DeviceMonitor(fake_nvml(), bus: "0000:1B:00.0")
      #expect(monitor.driverVersion == "580.65.06")
      let condition = try monitor.condition()
      #expect(condition.multiprocessorMegahertz == 1755 && condition.memoryMegahertz == 3201)
      #expect(condition.watts == 695.5 && condition.mostWatts == 700 && condition.celsius == 61)
      #expect(condition.slowdowns == ["limit of power", "temperature"])
      #expect(DriverTests.message(.driver) { _ = try DeviceMonitor(fake_nvml(), bus: "x") }.contains("find device x"))
      let message = DriverTests.message(.noDevice) { _ = try DeviceMonitor(bus: "x", path: "/nowhere/libnvidia-ml.so") }
      #expect(message.contains("management library") && message.contains("/nowhere/libnvidia-ml.so"))
    }

    @Test func ranges() {
      let ranges = ProfilerRanges(fake_nvtx())
      let result = ranges.range("step") { ranges.range("forward") { 3 } + 1 }
      #expect(result == 4)
      #expect(String(cString: fake_nvtx_log()) == "push step;push forward;pop;pop;")
      let none = ProfilerRanges(path: "/nowhere/libnvtx.so")
      #expect(!none.isOpen)
      #expect(none.range("step") { 5 } == 5)
    }
  }
}
