// What a launch gives the driver, byte by byte, and what it refuses before.

internal import CDrivers
internal import FakeDrivers
internal import GPUBackend
internal import KernelLanguage
internal import Testing

extension DriverTests {
  @Suite struct CUDALaunchTests {
    /// A parameter of the last launch.
    private func parameter(_ index: Int) -> [UInt8] {
      let launch = fake_cuda_last_launch()
      return withUnsafeBytes(of: launch) { bytes in
        let sizes = MemoryLayout<fake_cuda_launch>.offset(of: \.parameter_bytes)!
        let count = bytes.load(fromByteOffset: sizes + index * 8, as: Int.self)
        let start = MemoryLayout<fake_cuda_launch>.offset(of: \.parameters)! + index * 128
        return Array(bytes[start..<start + count])
      }
    }

    /// The attributes of the last launch, 72 bytes each.
    private var attributes: [[UInt8]] {
      let launch = fake_cuda_last_launch()
      return withUnsafeBytes(of: launch) { bytes in
        let start = MemoryLayout<fake_cuda_launch>.offset(of: \.attributes)!
        return (0..<Int(launch.configuration.attribute_count)).map {
          Array(bytes[start + $0 * 72..<start + $0 * 72 + 72])
        }
      }
    }

    private func words(_ values: [UInt32], bytes: Int) -> [UInt8] {
      let bytesOfValues = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
      return bytesOfValues + [UInt8](repeating: 0, count: bytes - bytesOfValues.count)
    }

    private func kernel(_ text: String) throws -> CUDAFunction {
      let module = try PTXModule(
        parsing: ".version 8.0 .target sm_90a .address_size 64 .visible .entry \(text) { ret; }")
      let device = try CUDADevice(of: try DriverTests.open())
      return try CUDAModule(module, on: device).function(module.kernels[0].name)
    }

    @Test func argumentsOfEveryKind() throws {
      let function = try kernel(
        "k(.param .u64 a, .param .u32 b, .param .s32 c, .param .u64 d, .param .s64 e, .param .f32 f)")
      let stream = try CUDAStream(on: function.device)
      try function.launch(
        LaunchConfiguration(grid: Extent(70000, 3, 2), block: Extent(32, 4, 2), dynamicSharedBytes: 1000),
        [
          .pointer(0x1122_3344_5566_7788), .uint32(0xFFFF_FFFE), .int32(-2), .uint64(.max - 1), .int64(-3), .float32(1),
        ], on: stream)
      #expect(parameter(0) == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
      #expect(parameter(1) == [0xFE, 0xFF, 0xFF, 0xFF])
      #expect(parameter(2) == [0xFE, 0xFF, 0xFF, 0xFF])
      #expect(parameter(3) == [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
      #expect(parameter(4) == [0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
      #expect(parameter(5) == [0, 0, 0x80, 0x3F])
      let configuration = fake_cuda_last_launch().configuration
      #expect([configuration.grid_x, configuration.grid_y, configuration.grid_z] == [70000, 3, 2])
      #expect([configuration.block_x, configuration.block_y, configuration.block_z] == [32, 4, 2])
      #expect(configuration.dynamic_shared_bytes == 1000)
      #expect(configuration.stream != nil)
      #expect(attributes.isEmpty && configuration.attributes == nil)
    }

    @Test func attributesOfEveryKind() throws {
      let function = try kernel("k()")
      let stream = try CUDAStream(on: function.device)
      let configuration = LaunchConfiguration(
        grid: Extent(8, 2), block: Extent(128), cluster: Extent(4, 2), overlapsPrevious: true)
      try function.launch(configuration, [], isCooperative: true, on: stream)
      #expect(
        attributes == [
          words([4, 0, 4, 2, 1], bytes: 72),  // the cluster
          words([6, 0, 1], bytes: 72),  // programmatic stream serialisation
          words([2, 0, 1], bytes: 72),  // cooperative
        ])
      #expect(try function.activeClusters(configuration, on: stream) == 33)
    }

    /// What the kernel was assembled for is not said again.
    @Test func aClusterOfTheKernel() throws {
      let module = try PTXModule(
        parsing: """
          .version 8.0 .target sm_90a .address_size 64
          .visible .entry k() .reqnctapercluster 2, 1, 1 { ret; }
          """)
      let device = try CUDADevice(of: try DriverTests.open())
      let function = try CUDAModule(module, on: device).function("k")
      let stream = try CUDAStream(on: device)
      try function.launch(LaunchConfiguration(grid: Extent(4), block: Extent(32), cluster: Extent(2)), [], on: stream)
      #expect(attributes.isEmpty)
      let message = DriverTests.message(.driver) {
        try function.launch(LaunchConfiguration(grid: Extent(4), block: Extent(32), cluster: Extent(4)), [], on: stream)
      }
      #expect(message.contains("clusters of 2 x 1 x 1 blocks"))
    }

    @Test func limitsAreRaisedOnce() throws {
      let function = try kernel("k()")
      let stream = try CUDAStream(on: function.device)
      func launch(_ bytes: Int, cluster: Int = 1) throws {
        let configuration = LaunchConfiguration(
          grid: Extent(16), block: Extent(32), cluster: Extent(cluster), dynamicSharedBytes: bytes)
        try function.launch(configuration, [], on: stream)
      }
      try launch(40000)
      try launch(200000)
      try launch(100000)
      try launch(200001, cluster: 16)
      try launch(0, cluster: 16)
      try launch(0, cluster: 8)
      #expect(
        DriverTests.log.filter { $0.hasPrefix("set") } == ["set k 8 = 200000", "set k 8 = 200001", "set k 14 = 1"])
    }

    @Test func tensorMaps() throws {
      let device = try CUDADevice(of: try DriverTests.open())
      let function = try CUDAModule(DriverTests.roles, on: device).function("roles")
      let stream = try CUDAStream(on: device)
      let map = TensorMap(
        .bfloat16, address: 0x7F00_0000_1000, dimensions: [4096, 8192, 3], strides: [8192, 67_108_864],
        box: [64, 128, 1],
        elementStrides: [1, 2, 1], swizzle: .bytes128, promotion: .bytes256, fill: .notANumber)
      try function.launch(
        LaunchConfiguration(grid: Extent(1), block: Extent(384)), [.tensorMap(map), .pointer(16), .int32(5)], on: stream
      )
      var expected = [UInt8](repeating: 0, count: 128)
      expected.replaceSubrange(0..<6, with: [9, 3, 0, 3, 3, 1])
      func put(_ value: UInt64, at offset: Int) {
        for byte in 0..<8 { expected[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
      }
      put(0x7F00_0000_1000, at: 8)
      for (index, value) in [4096, 8192, 3].enumerated() { put(UInt64(value), at: 16 + 8 * index) }
      for (index, value) in [8192, 67_108_864].enumerated() { put(UInt64(value), at: 56 + 8 * index) }
      expected.replaceSubrange(96..<99, with: [64, 128, 1])
      expected.replaceSubrange(104..<107, with: [1, 2, 1])
      #expect(parameter(0) == expected)
      #expect(parameter(1) == words([16], bytes: 8))
      #expect(parameter(2) == words([5], bytes: 4))

      var wrong = map
      wrong.address += 8
      wrong.box[1] = 257
      let message = DriverTests.message(.driver) {
        try function.launch(
          LaunchConfiguration(grid: Extent(1), block: Extent(384)), [.tensorMap(wrong), .pointer(16), .int32(5)],
          on: stream)
      }
      #expect(message.contains("no multiple of 16") && message.contains("257"))
    }

    @Test func mapsOfOneAxisHaveNoStrides() throws {
      let function = try kernel("k(.param .align 64 .b8 map[128])")
      let stream = try CUDAStream(on: function.device)
      let map = TensorMap(.float32, address: 256, dimensions: [100], strides: [], box: [32])
      try function.launch(LaunchConfiguration(grid: Extent(1), block: Extent(32)), [.tensorMap(map)], on: stream)
      #expect(parameter(0)[..<16] == [7, 1, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    @Test(arguments: [
      (LaunchConfiguration(grid: Extent(0), block: Extent(32)), "a grid of 0 x 1 x 1"),
      (LaunchConfiguration(grid: Extent(1 << 31), block: Extent(32)), "a grid of 2147483648"),
      (LaunchConfiguration(grid: Extent(1, 65536), block: Extent(32)), "65535"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(0)), "a block of 0"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(513)), "it can have 512"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(1, 1, 65)), "64 along the last axis"),
      (LaunchConfiguration(grid: Extent(6), block: Extent(32), cluster: Extent(4)), "no multiple of the cluster"),
      (LaunchConfiguration(grid: Extent(32), block: Extent(32), cluster: Extent(32)), "1 to 16"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(32), dynamicSharedBytes: 231_425), "232449 bytes of shared"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(32), dynamicSharedBytes: -1), "shared memory"),
    ])
    func configurationsThatCannotBe(configuration: LaunchConfiguration, problem: String) throws {
      let function = try kernel("k()")
      let stream = try CUDAStream(on: function.device)
      let message = DriverTests.message(.driver) { try function.launch(configuration, [], on: stream) }
      #expect(message.hasPrefix("Cannot start kernel 'k'") && message.contains(problem), "\(message)")
      #expect(DriverTests.calls("cuLaunchKernelEx") == 0)
    }

    @Test func argumentsThatDoNotFit() throws {
      let function = try kernel("k(.param .u64 a, .param .u32 b)")
      let stream = try CUDAStream(on: function.device)
      let configuration = LaunchConfiguration(grid: Extent(1), block: Extent(32))
      for arguments: [KernelArgument] in [
        [], [.pointer(1)], [.uint32(1), .pointer(1)], [.pointer(1), .uint32(1), .uint32(1)],
      ] {
        let message = DriverTests.message(.driver) { try function.launch(configuration, arguments, on: stream) }
        #expect(message.contains("its parameters have [8, 4] bytes, and the arguments \(arguments.map(\.size))"))
      }
    }

    @Test func clustersNeedHopper() throws {
      let device = try CUDADevice(of: try DriverTests.open { $0.pointee.capability = 80 })
      let function = try CUDAModule(DriverTests.scale, on: device).function("scale")
      let stream = try CUDAStream(on: device)
      let message = DriverTests.message(.driver) {
        try function.launch(
          LaunchConfiguration(grid: Extent(2), block: Extent(32), cluster: Extent(2)),
          [.pointer(0), .uint32(0), .float32(0)], on: stream)
      }
      #expect(message.contains("has no clusters"))
      // Nor do they overlap kernels.
      try function.launch(
        LaunchConfiguration(grid: Extent(2), block: Extent(32), overlapsPrevious: true),
        [.pointer(0), .uint32(0), .float32(0)], on: stream)
      #expect(attributes.isEmpty)
    }
  }
}
