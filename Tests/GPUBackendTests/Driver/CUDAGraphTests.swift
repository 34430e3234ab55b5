// Capture and replay, on graphs and through the backend's device.

internal import CDrivers
internal import FakeDrivers
internal import GPUBackend
internal import KernelLanguage
internal import Testing

extension DriverTests {
  @Suite struct CUDAGraphTests {
    private static let configuration = LaunchConfiguration(grid: Extent(1), block: Extent(32))

    @Test func recordedWorkIsDoneOnReplayInOrder() throws {
      let driver = try DriverTests.open()
      do {
        let gpu = try CUDAGPU(CUDADevice(of: driver), cache: nil)
        let (a, b) = (try gpu.make([1, 2, 3]), try gpu.make([0, 0, 0]))
        let before = DriverTests.log.count
        let module = try gpu.load(DriverTests.scale)
        let recording = try #require(
          try gpu.record {
            try module.launch("scale", Self.configuration, [.pointer(a), .uint32(3), .float32(2)])
            try gpu.copy(12, from: a, to: b)
            try module.launch("scale", Self.configuration, [.pointer(b), .uint32(2), .float32(10)])
          })
        #expect(DriverTests.log.count == before)
        #expect(try gpu.floats(a, 3) == [1, 2, 3])
        try recording.replay()
        #expect(Array(DriverTests.log[(before + 1)...]) == ["launch scale", "copy 12", "launch scale"])
        #expect(try gpu.floats(b, 3) == [20, 40, 6])
        try recording.replay()
        #expect(try gpu.floats(a, 3) == [4, 8, 12])
        #expect(try gpu.floats(b, 3) == [40, 80, 12])
        gpu.free(a)
        gpu.free(b)
      }
      #expect(DriverTests.live.isEmpty)
    }

    @Test func graphsAreChangedInPlaceWhereTheyCan() throws {
      let device = try CUDADevice(of: try DriverTests.open())
      let (stream, pool) = (try CUDAStream(on: device), try DeviceMemoryPool(on: device))
      let address = try pool.allocate(64, name: "a", on: stream)
      let graph = try CUDAGraph(of: stream) { try stream.fill(address, with: UInt8(1), count: 64) }
      #expect(graph.count == 1)
      #expect(try graph.update(from: stream) { try stream.fill(address, with: UInt8(2), count: 64) })
      #expect(DriverTests.calls("cuGraphInstantiateWithFlags") == 1)
      let isInPlace = try graph.update(from: stream) {
        try stream.fill(address, with: UInt8(3), count: 32)
        try stream.copy(32, from: address, to: address + 32)
      }
      #expect(!isInPlace && graph.count == 2)
      #expect(DriverTests.calls("cuGraphInstantiateWithFlags") == 2)
      #expect(DriverTests.live["executables"] == 1 && DriverTests.live["graphs"] == nil)
      try graph.launch(on: stream)
      #expect(DriverTests.log == ["fill8 32", "copy 32"])
      pool.free(address, on: stream)
    }

    @Test func whatCannotBeRecordedIsRefusedAndLeavesTheStreamWell() throws {
      let driver = try DriverTests.open()
      do {
        let gpu = try CUDAGPU(CUDADevice(of: driver), cache: nil)
        let address = try gpu.make([1])
        let forbidden: [(String, () throws -> Void)] = [
          ("allocate b", { _ = try gpu.allocate(4, name: "b") }),
          ("read 4 bytes", { _ = try gpu.floats(address, 1) }),
          ("write 4 bytes", { try [Float(1)].withUnsafeBytes { try gpu.write($0, to: address) } }),
          ("wait", { try gpu.synchronise() }),
          ("record", { _ = try gpu.record {} }),
        ]
        for (name, body) in forbidden {
          let message = DriverTests.message(.driver) { _ = try gpu.record(body) }
          #expect(message.contains(name) && message.contains("Do it before"), "\(message)")
          #expect(!gpu.stream.isCapturing)
        }
        #expect(try gpu.floats(address, 1) == [1])
        gpu.free(address)
      }
      #expect(DriverTests.live.isEmpty)
    }

    @Test func aBrokenCaptureIsAnError() throws {
      let gpu = try CUDAGPU(CUDADevice(of: try DriverTests.open()), cache: nil)
      fake_cuda_fail("cuStreamEndCapture", 1, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)
      let message = DriverTests.message(.driver) { _ = try gpu.record {} }
      #expect(message.contains("only launches, and copies and fills"))
      #expect(!gpu.stream.isCapturing)
    }

    @Test func memoryThatIsFreedMeanwhileGoesBackAfterwards() throws {
      let gpu = try CUDAGPU(CUDADevice(of: try DriverTests.open()), cache: nil)
      let address = try gpu.make([1])
      _ = try gpu.record {
        gpu.free(address)
        #expect(DriverTests.live["allocations"] == 1)
      }
      #expect(DriverTests.live["allocations"] == nil)
    }

    @Test func graphsKeepCodeAndPinnedMemory() throws {
      let driver = try DriverTests.open()
      do {
        let device = try CUDADevice(of: driver)
        let (stream, pool) = (try CUDAStream(on: device), try DeviceMemoryPool(on: device))
        let address = try pool.allocate(8, name: "a", on: stream)
        let graph: CUDAGraph
        do {
          let function = try CUDAModule(DriverTests.scale, on: device).function("scale")
          let pinned = try PinnedMemory(8, on: device)
          pinned.bytes.storeBytes(of: 3, as: Float.self)
          graph = try CUDAGraph(of: stream) {
            try stream.copy(0..<4, of: pinned, to: address)
            try function.launch(Self.configuration, [.pointer(address), .uint32(1), .float32(2)], on: stream)
          }
        }
        #expect(DriverTests.live["modules"] == 1 && DriverTests.live["host"] == 1)
        try graph.launch(on: stream)
        #expect(UnsafePointer<Float>(bitPattern: UInt(address))?.pointee == 6)
        pool.free(address, on: stream)
      }
      #expect(DriverTests.live.isEmpty)
    }
  }
}
