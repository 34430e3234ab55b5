// The pool, copies, fills, pinned memory and staging.

internal import CDrivers
internal import FakeDrivers
internal import GPUBackend
internal import KernelLanguage
internal import Support
internal import Testing

extension DriverTests {
  @Suite struct CUDAMemoryTests {
    @Test func memoryGoesBack() throws {
      let driver = try DriverTests.open()
      do {
        let device = try CUDADevice(of: driver)
        let (stream, pool) = (try CUDAStream(on: device), try DeviceMemoryPool(on: device))
        let addresses = try (1...5).map { try pool.allocate($0 * 100, name: "a", on: stream) }
        #expect(addresses.allSatisfy { $0 % 256 == 0 })
        #expect(DriverTests.live["allocations"] == 5)
        #expect(try pool.usage().used == 1500)
        for address in addresses { pool.free(address, on: stream) }
        let usage = try pool.usage()
        #expect(usage.used == 0 && usage.mostUsed == 1500)
        #expect(try device.memory() == (1 << 20, 1 << 20))
      }
      #expect(DriverTests.live.isEmpty)
    }

    @Test func outOfMemoryNamesSizes() throws {
      let gpu = try CUDAGPU(CUDADevice(of: try DriverTests.open { $0.pointee.memory = 3 << 30 }), cache: nil)
      let first = try gpu.allocate(1 << 20, name: "weights")
      let message = DriverTests.message(.memory) { _ = try gpu.allocate(3 << 30, name: "the cache of keys") }
      #expect(message.contains("allocate 3.00 GiB on Fake H200 0 for the cache of keys"))
      #expect(message.contains("uses 1 MiB of the device's 3.00 GiB, 3.00 GiB are free"))
      #expect(message.contains("smaller batch"))
      // It was tried again, after what was freed had come back.
      #expect(DriverTests.calls("cuMemAllocFromPoolAsync") == 3)
      #expect(DriverTests.calls("cuMemPoolTrimTo") == 1)
      gpu.free(first)
    }

    @Test func aSecondAttemptSucceeds() throws {
      let gpu = try CUDAGPU(CUDADevice(of: try DriverTests.open()), cache: nil)
      fake_cuda_fail("cuMemAllocFromPoolAsync", 1, CUDA_ERROR_OUT_OF_MEMORY)
      gpu.free(try gpu.allocate(100, name: "a"))
      #expect(DriverTests.calls("cuMemPoolTrimTo") == 1)
    }

    /// Sizes around those of the buffers, which are small here.
    @Test(arguments: [0, 1, 63, 64, 65, 127, 128, 129, 1000])
    func staging(count: Int) throws {
      var random = RandomCase("staging", count)
      let driver = try DriverTests.open()
      do {
        let device = try CUDADevice(of: driver)
        let (stream, pool) = (try CUDAStream(on: device), try DeviceMemoryPool(on: device))
        let staging = try HostStaging(on: device, chunk: 64)
        let address = try pool.allocate(max(1, count) + 32, name: "a", on: stream)
        try stream.fill(address, with: UInt8(0xEE), count: max(1, count) + 32)
        let bytes = (0..<count).map { _ in UInt8(random.integer(0...255)) }
        try bytes.withUnsafeBytes { try staging.write($0, to: address + 16, on: stream) }
        var back = [UInt8](repeating: 0, count: count + 32)
        try back.withUnsafeMutableBytes { try staging.read(address, into: $0, on: stream) }
        let edge = [UInt8](repeating: 0xEE, count: 16)
        #expect(back == edge + bytes + edge, "\(random)")
        pool.free(address, on: stream)
      }
      #expect(DriverTests.live.isEmpty)
    }

    @Test func copiesAndFills() throws {
      let driver = try DriverTests.open()
      let device = try CUDADevice(of: driver)
      let (stream, pool) = (try CUDAStream(on: device), try DeviceMemoryPool(on: device))
      let address = try pool.allocate(64, name: "a", on: stream)
      let pinned = try PinnedMemory(64, on: device)
      try stream.fill(address, with: UInt8(7), count: 64)
      try stream.fill(address + 8, with: UInt32(0x0102_0304), count: 2)
      try stream.copy(8, from: address + 8, to: address + 32)
      try stream.copy(from: address, to: 0..<64, of: pinned)
      try stream.synchronise()
      var expected = [UInt8](repeating: 7, count: 64)
      expected.replaceSubrange(8..<16, with: [4, 3, 2, 1, 4, 3, 2, 1])
      expected.replaceSubrange(32..<40, with: [4, 3, 2, 1, 4, 3, 2, 1])
      #expect(Array(pinned.bytes) == expected)
      pinned.bytes.copyBytes(from: [9, 8, 7])
      try stream.copy(1..<3, of: pinned, to: address)
      try stream.copy(from: address, to: 4..<6, of: pinned)
      #expect(Array(pinned.bytes[..<6]) == [9, 8, 7, 7, 8, 7])
      // Nothing is nothing.
      try stream.copy(0, from: 0, to: 0)
      try stream.fill(0, with: UInt8(1), count: 0)
      // What leaves an allocation is the driver's to refuse.
      #expect(
        DriverTests.message(.driver) { try stream.copy(64, from: address + 8, to: address) }.contains("copy 64 bytes"))
      pool.free(address, on: stream)
    }

    @Test func peers() throws {
      let driver = try DriverTests.open()
      let (a, b) = (try CUDADevice(0, of: driver), try CUDADevice(1, of: driver))
      let (stream, poolA, poolB) = (try CUDAStream(on: a), try DeviceMemoryPool(on: a), try DeviceMemoryPool(on: b))
      let streamB = try CUDAStream(on: b)
      try poolA.share(with: b)
      try poolA.share(with: a)
      #expect(DriverTests.log == ["share 0 with 1: 3"])
      let (from, to) = (try poolA.allocate(8, name: "a", on: stream), try poolB.allocate(8, name: "b", on: streamB))
      try stream.fill(from, with: UInt8(5), count: 8)
      try stream.copy(8, from: from, of: a, to: to, of: b)
      #expect(DriverTests.log.last == "peer 0 to 1: copy 8")
      let isThere = try CUDAEvent(on: a, isTimed: false)
      try isThere.record(on: stream)
      try streamB.wait(for: isThere)
      #expect(try isThere.isDone())
      poolA.free(from, on: stream)
      poolB.free(to, on: streamB)
      fake_cuda_set().pointee.can_reach_peers = 0
      #expect(try b.canReach(a) == false)
      let message = DriverTests.message(.unsupported) { try poolA.share(with: b) }
      #expect(message.contains("nvidia-smi topo"))
    }

    @Test func failuresOfEachCallAreErrorsAndLeakNothing() throws {
      // Each call that a short life of a device makes fails once.
      func live(_ driver: CUDADriver) throws {
        let gpu = try CUDAGPU(CUDADevice(of: driver), cache: nil)
        let address = try gpu.make([1, 2])
        defer { gpu.free(address) }
        let module = try gpu.load(DriverTests.scale)
        let arguments: [KernelArgument] = [.pointer(address), .uint32(2), .float32(3)]
        try module.launch("scale", LaunchConfiguration(grid: Extent(1), block: Extent(32)), arguments)
        let recording = try gpu.record {
          try module.launch("scale", LaunchConfiguration(grid: Extent(1), block: Extent(32)), arguments)
        }
        try recording?.replay()
        #expect(try gpu.floats(address, 2) == [9, 18])
      }
      try live(try DriverTests.open())
      let functions = [
        "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuStreamCreate", "cuMemPoolCreate", "cuMemPoolSetAttribute",
        "cuMemHostAlloc", "cuEventCreate", "cuMemAllocFromPoolAsync", "cuMemcpyHtoDAsync", "cuEventRecord",
        "cuModuleGetFunction", "cuFuncGetAttribute", "cuLaunchKernelEx", "cuStreamBeginCapture", "cuStreamEndCapture",
        "cuGraphGetNodes", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuMemcpyDtoHAsync", "cuEventSynchronize",
      ]
      for function in functions {
        let count = DriverTests.calls(function)
        #expect(count > 0, "\(function)")
        for call in 1...min(count, 3) {
          let driver = try DriverTests.open()
          fake_cuda_fail(function, Int32(call), CUDA_ERROR_INVALID_VALUE)
          let message = DriverTests.message(.driver) { try live(driver) }
          #expect(message.hasPrefix("Cannot "), "\(function), call \(call)")
          // A capture that cannot be ended keeps its graph; everything else comes back.
          let live = DriverTests.live.filter { function != "cuStreamEndCapture" || $0.key != "graphs" }
          #expect(live.isEmpty, "\(function), call \(call)")
        }
        try live(try DriverTests.open())
      }
    }
  }
}
