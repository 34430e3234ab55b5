// Launches and modules that are refused, whole small kernels, reports.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

@Suite(.ownThreads) struct LaunchTests {
  private static func launch(
    _ configuration: LaunchConfiguration, directives: String = "", body: String = "", chip: Chip = .h200
  ) throws {
    let gpu = EmulatedGPU(chip)
    let target = chip.target.name
    let module = try gpu.load(
      PTXModule(parsing: Emulation.header(target) + Emulation.kernel(0, directives: directives, body)))
    _ = try gpu.launch(module, "k", configuration, [])
  }

  @Test(
    arguments: [
      (LaunchConfiguration(grid: Extent(1), block: Extent(64, 17)), "", "more than 1024"),
      (LaunchConfiguration(grid: Extent(0), block: Extent(32)), "", "a grid of 0 x 1 x 1"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(32, 1, 65)), "", "a block of 32 x 1 x 65"),
      (LaunchConfiguration(grid: Extent(3), block: Extent(32), cluster: Extent(2)), "", "no multiple of the cluster"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(32), dynamicSharedBytes: 232_449), "", "smaller tiles"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(256)), ".maxntid 128, 1, 1", ".maxntid"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(256)), ".reqntid 128, 2, 1", ".reqntid"),
      (LaunchConfiguration(grid: Extent(2), block: Extent(32)), ".reqnctapercluster 2, 1, 1", ".reqnctapercluster"),
      (LaunchConfiguration(grid: Extent(1), block: Extent(1024)), ".maxnreg 128", "lower .maxnreg"),
    ])
  func refused(configuration: LaunchConfiguration, directives: String, message: String) throws {
    let error = #expect(throws: EmulatorError.self) { try Self.launch(configuration, directives: directives) }
    #expect(error?.code == .launch)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func limitsAreAllowed() throws {
    try Self.launch(LaunchConfiguration(grid: Extent(1), block: Extent(1024), dynamicSharedBytes: 232_448))
    try Self.launch(LaunchConfiguration(grid: Extent(4, 4), block: Extent(32), cluster: Extent(2, 4)))
    let error = #expect(throws: EmulatorError.self) {
      try Self.launch(LaunchConfiguration(grid: Extent(2), block: Extent(32), cluster: Extent(2)), chip: .a100)
    }
    #expect(error?.message.contains("it has no clusters") == true)
  }

  @Test(
    arguments: [
      ("frobnicate.b32 %r1, %r2;", "does not know frobnicate"), ("add.fast.u32 %r1, %r2, %r3;", "does not know .fast"),
      ("add.u32 %r1, %r2;", "takes 3 operands, not 2"), ("add.u32 %d1, %r2, %r3;", "%d1 has 64 bits where .u32"),
      ("add.u32 %r1, %zz, %r3;", "%zz is not declared"), ("bra NOWHERE;", "no label NOWHERE"),
      ("mov.f32 %f1, 1;", "written as its bits"), ("ld.global.u32 %r1, %d1;", "is no address"),
      ("ld.global.v4.u32 {%r1, %r2}, [%d1];", "loads 4 elements, but names 2"),
      ("mov.b64 {%r1, %r2, %r3}, %d1;", "no 3 equal parts"), ("add.u32 5, %r1, %r2;", "cannot be written"),
    ])
  func unknownForms(body: String, message: String) throws {
    let error = #expect(throws: EmulatorError.self) {
      try Self.launch(LaunchConfiguration(grid: Extent(1), block: Extent(32)), body: body)
    }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("kernel k, instruction ") == true)
  }

  @Test func modulesForOtherChips() throws {
    let text = "\n.visible .entry k() { ret; }"
    for (target, chip, isFine) in [
      ("sm_80", Chip.h200, true), ("sm_90a", .a100, false), ("sm_90a", .b200, false), ("sm_100a", .b200, true),
      ("sm_100a", .h100, false),
    ] {
      let module = try PTXModule(parsing: Emulation.header(target) + text)
      if isFine {
        _ = try EmulatedGPU(chip).load(module)
      } else {
        let error = #expect(throws: EmulatorError.self) { try EmulatedGPU(chip).load(module) }
        #expect(error?.message.contains("does not run on the \(chip.name)") == true)
      }
    }
    let gpu = EmulatedGPU()
    let module = try gpu.load(PTXModule(parsing: Emulation.header("sm_80") + text))
    let error = #expect(throws: EmulatorError.self) {
      try gpu.launch(module, "other", LaunchConfiguration(grid: Extent(1), block: Extent(1)), [])
    }
    #expect(error?.message.contains("no kernel \"other\", only: k") == true)
  }

  @Test func deviceMemory() throws {
    let gpu = EmulatedGPU(.h200)
    let a = try gpu.allocate(100, name: "a")
    let b = try gpu.allocate(100, name: "b")
    #expect(a % 256 == 0 && b % 256 == 0 && b >= a + 356)
    var bytes = [UInt8](0..<100)
    try bytes.withUnsafeBytes { try gpu.write($0, to: a) }
    try bytes.withUnsafeMutableBytes { try gpu.read(a + 10, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<20])) }
    #expect(bytes.prefix(20) == ArraySlice(10..<30))
    let error = #expect(throws: EmulatorError.self) { try bytes.withUnsafeBytes { try gpu.write($0, to: a + 1) } }
    #expect(error?.code == .outOfBounds && error!.message.contains("\"a\" (100 bytes"))
    gpu.free(a)
    #expect(throws: EmulatorError.self) { try bytes.withUnsafeBytes { try gpu.write($0, to: a) } }
    #expect(throws: EmulatorError.self) { try gpu.allocate(200 << 30, name: "huge") }
  }

  /// Dynamic shared memory begins behind the declared one, as aligned as it is declared, and has the launch's size.
  @Test func dynamicSharedMemory() throws {
    let text = Emulation.kernel(
      1, module: ".extern .shared .align 1024 .b8 dynamic[];",
      """
      .shared .align 4 .b32 fixed[3];
      mov.u32 %r1, dynamic; mov.u32 %r2, fixed; mov.u32 %r3, %dynamic_smem_size; mov.u32 %r4, %total_smem_size;
      st.shared.u32 [dynamic+2044], %r1; ld.shared.u32 %r5, [dynamic+2044];
      st.global.v4.u32 [%P0], {%r1, %r2, %r3, %r4}; st.global.u32 [%P0+16], %r5;
      """)
    let result = try Emulation.run(
      text, block: Extent(1), dynamicSharedBytes: 2048, buffers: [[UInt32](repeating: 0, count: 5)])
    #expect(result.buffers[0] == [2048, 1024, 2048, 3072, 2048])
    let error = #expect(throws: EmulatorError.self) {
      try Emulation.run(
        text, block: Extent(1), dynamicSharedBytes: 1024, buffers: [[UInt32](repeating: 0, count: 5)])
    }
    #expect(error?.code == .outOfBounds)
  }

  /// Blocks of a cluster read and write each other's shared memory, through addresses that name the block.
  @Test func distributedSharedMemory() throws {
    let text = Emulation.kernel(
      1,
      """
      .shared .align 4 .b32 cell;
      .reg .b32 %rank; mov.u32 %rank, %cluster_ctarank; mov.u32 %r1, cell; shr.u32 %r2, %r1, 24;
      setp.ne.u32 %p1, %r2, %rank; @%p1 trap;
      mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P0, %d0; st.global.u32 [%d1], %r1;
      """)
    let result = try Emulation.run(
      text, target: "sm_90a", grid: Extent(4), block: Extent(1), cluster: Extent(4),
      buffers: [[UInt32](repeating: 0, count: 4)])
    #expect(result.buffers[0] == (0..<4).map { $0 << 24 | 1024 })
    let error = #expect(throws: EmulatorError.self) {
      try Emulation.run(
        Emulation.kernel(
          0, ".shared .b32 cell; mov.u32 %r1, cell; add.u32 %r1, %r1, 0x5000000; ld.shared::cluster.u32 %r2, [%r1];"),
        target: "sm_90a", grid: Extent(2), block: Extent(1), cluster: Extent(2))
    }
    #expect(error?.code == .outOfBounds && error!.message.contains("of a cluster of 2"))
  }

  /// The same seed gives the same run; another seed another order, but the same sums.
  @Test func seeds() throws {
    let text = Emulation.kernel(
      2,
      "atom.global.add.u32 %r1, [%P0], 1; mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P1, %d0; st.global.u32 [%d1], %r1;")
    func run(_ seed: UInt64) throws -> [[UInt32]] {
      try Emulation.run(
        text, grid: Extent(20), block: Extent(64), buffers: [[0], [UInt32](repeating: 0, count: 1280)],
        options: EmulatedGPU.Options(seed: seed)
      ).buffers
    }
    let first = try run(1)
    #expect(try run(1) == first)
    let other = try run(2)
    #expect(other != first && other[0] == first[0] && other[1].sorted() == first[1].sorted())
  }

  /// More blocks than the chip holds, also one at a time.
  @Test(arguments: [nil, 1, 7]) func manyBlocks(resident: Int?) throws {
    let text = Emulation.kernel(1, "mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P0, %d0; st.global.u32 [%d1], %g;")
    let count = 3000
    let result = try Emulation.run(
      text, grid: Extent(count), block: Extent(32), buffers: [[UInt32](repeating: 0, count: 32 * count)],
      options: EmulatedGPU.Options(residentBlocks: resident))
    #expect(result.buffers[0] == (0..<UInt32(32 * count)).map { $0 })
    #expect(result.report.blocks == count && result.report.threads == 32 * count)
  }

  @Test func rooflines() throws {
    let text = Emulation.kernel(
      2,
      """
      mul.wide.u32 %d0, %g, 4; add.u64 %d1, %P0, %d0; add.u64 %d2, %P1, %d0;
      ld.global.f32 %f1, [%d1]; add.f32 %f1, %f1, %f1; st.global.f32 [%d2], %f1;
      """)
    let count = 1 << 14
    let zeros = [UInt32](repeating: 0, count: count)
    let result = try Emulation.run(text, grid: Extent(count / 256), block: Extent(256), buffers: [zeros, zeros])
    let report = result.report
    #expect(report.globalLoadSectors == count / 8 && report.globalStoreSectors == count / 8)
    #expect(report.footprintBytes == 8 * count)
    #expect(report.instructions["float32"] == count / 32 && report.instructions["memory"] == 4 * count / 32)
    #expect(report.instructions.values.reduce(0, +) == report.warpInstructions)
    let roofline = report.roofline(on: .a100)
    #expect(roofline.binding == .deviceMemory && roofline.seconds == Double(8 * count) / 2.04e12)
    #expect(roofline.description.contains("device memory") && roofline.description.contains("<- binds"))
    // The tensor cores' time is what their rate says.
    var product = report
    product.tensorOperations = [.half: 2 * 4096 * 4096 * 4096]
    product.blocks = 132
    let binding = product.roofline(on: .h200)
    #expect(binding.binding == .tensorCores)
    #expect(abs(binding.seconds / (2 * 4096.0 * 4096 * 4096 / 989e12) - 1) < 0.01)
  }
}
