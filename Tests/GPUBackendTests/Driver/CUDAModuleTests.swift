// Assembling, the log, and the cache on disk.

internal import CDrivers
internal import FakeDrivers
internal import Foundation
internal import GPUBackend
internal import KernelLanguage
internal import Testing

extension DriverTests {
  @Suite struct CUDAModuleTests {
    private func device(_ change: (UnsafeMutablePointer<fake_cuda_settings>) -> Void = { _ in }) throws -> CUDADevice {
      try CUDADevice(of: try DriverTests.open(change))
    }

    private func withCache(_ body: (CubinCache) throws -> Void) throws {
      let folder = NSTemporaryDirectory() + "/cubins-\(UUID().uuidString)"
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try body(CubinCache(folder: folder + "/kernels"))
    }

    private func files(_ cache: CubinCache) -> [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: cache.folder)) ?? []).map { "\(cache.folder)/\($0)" }
    }

    @Test func kernelsAndTheirAttributes() throws {
      let device = try device()
      do {
        let module = try CUDAModule(DriverTests.scale, on: device)
        let function = try module.function("scale")
        #expect(function.registers == 40 && function.sharedBytes == 1024 && function.threadsPerBlock == 512)
        #expect(function.localBytes == 0)
        #expect(try function.blocksPerMultiprocessor(threads: 512, dynamicSharedBytes: 0) == 4)
        #expect(try function.blocksPerMultiprocessor(threads: 512, dynamicSharedBytes: 200 * 1024) == 1)
        #expect(try module.variable("table").bytes == 64)
        let message = DriverTests.message(.driver) { _ = try module.function("gemm") }
        #expect(message.contains("'gemm'") && message.contains("'scale'"))
      }
      #expect(DriverTests.live == ["contexts": 1])
      withExtendedLifetime(device) {}
    }

    @Test func aKernelKeepsItsCode() throws {
      let device = try device()
      do {
        let function = try CUDAModule(DriverTests.scale, on: device).function("scale")
        #expect(DriverTests.live["modules"] == 1)
        #expect(function.name == "scale")
      }
      #expect(DriverTests.live["modules"] == nil)
    }

    /// The numbers of the linker's options: logs and their sizes, the target with its suffix, many words.
    @Test func theLinkerIsToldTheTarget() throws {
      let device = try device()
      _ = try CUDAModule(DriverTests.scale, on: device)
      #expect(String(cString: fake_cuda_options()) == "3 4 5 6 12 9=65626")
      var module = DriverTests.scale
      module.target = PTXTarget("sm_100f")
      _ = try CUDAModule(module, on: device)
      #expect(String(cString: fake_cuda_options()) == "3 4 5 6 12 9=131172")
      module.target = .sm80
      _ = try CUDAModule(module, on: device)
      #expect(String(cString: fake_cuda_options()) == "3 4 5 6 12")
    }

    @Test func theSecondStartAssemblesNothing() throws {
      try withCache { cache in
        for start in 0..<3 {
          let device = try device()
          let module = try CUDAModule(DriverTests.scale, on: device, cache: cache)
          #expect(try module.function("scale").registers == 40)
          #expect(DriverTests.calls("cuLinkCreate") == (start == 0 ? 1 : 0))
          #expect(files(cache).count == 1)
        }
        // Another driver, another chip, another text: another entry.
        _ = try CUDAModule(DriverTests.scale, on: try device { $0.pointee.version = 12080 }, cache: cache)
        #expect(DriverTests.calls("cuLinkCreate") == 1)
        _ = try CUDAModule(DriverTests.scale, on: try device { $0.pointee.capability = 100 }, cache: cache)
        #expect(DriverTests.calls("cuLinkCreate") == 1)
        var other = DriverTests.scale
        other.kernels[0].name = "other"
        _ = try CUDAModule(other, on: try device(), cache: cache)
        #expect(DriverTests.calls("cuLinkCreate") == 1)
        #expect(files(cache).count == 4)
      }
    }

    /// Every byte of the head and some of the contents are changed, and the file is cut at many lengths.
    @Test func damageIsFoundAndReplaced() throws {
      try withCache { cache in
        _ = try CUDAModule(DriverTests.scale, on: try device(), cache: cache)
        let path = try #require(files(cache).first)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let places = whole.indices.filter { $0 < 40 || $0 % 23 == 0 }
        var damaged = places.map { index -> Data in
          var data = whole
          data[index] ^= 0x40
          return data
        }
        damaged += places.map { whole.prefix($0) } + [whole.dropLast(), whole + [0]]
        for (index, data) in damaged.enumerated() {
          try data.write(to: URL(fileURLWithPath: path))
          let device = try device()
          _ = try CUDAModule(DriverTests.scale, on: device, cache: cache)
          #expect(DriverTests.calls("cuLinkCreate") == 1, "damage \(index)")
          #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole, "damage \(index)")
        }
      }
    }

    @Test func aCubinThatTheDriverRefusesIsReplaced() throws {
      try withCache { cache in
        _ = try CUDAModule(DriverTests.scale, on: try device(), cache: cache)
        let device = try device()
        fake_cuda_fail("cuModuleLoadDataEx", 1, CUDA_ERROR_NO_BINARY_FOR_GPU)
        _ = try CUDAModule(DriverTests.scale, on: device, cache: cache)
        #expect(DriverTests.calls("cuLinkCreate") == 1)
        #expect(files(cache).count == 1)
      }
    }

    /// A file where the folder should be: nothing is kept, and nothing fails.
    @Test func aCacheThatCannotBeWritten() throws {
      let path = NSTemporaryDirectory() + "/file-\(UUID().uuidString)"
      try Data([1]).write(to: URL(fileURLWithPath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      let module = try CUDAModule(DriverTests.scale, on: try device(), cache: CubinCache(folder: path))
      #expect(try module.function("scale").name == "scale")
    }

    /// Linked code would ignore `setmaxnreg`, so such modules are loaded as text; their entries say only that they are good.
    @Test func registerBudgetsAreNotLinked() throws {
      try withCache { cache in
        _ = try CUDAModule(DriverTests.roles, on: try device(), cache: cache)
        #expect(DriverTests.calls("cuLinkCreate") == 0)
        #expect(String(cString: fake_cuda_options()) == "3 4 5 6 12")
        #expect(files(cache).count == 1)
        // The next start asks for no log: even notes would not be seen.
        let device = try device { $0.pointee.notes = Self.noted("C7510") }
        _ = try CUDAModule(DriverTests.roles, on: device, cache: cache)
        #expect(DriverTests.calls("cuModuleLoadDataEx") == 1)
      }
    }

    /// The fake linker looks for the word only, and notes that it ignores it.
    @Test func theLoaderTakesWhatTheLinkerMakesSlow() throws {
      var module = DriverTests.scale
      module.kernels[0].body.insert(.pragma("setmaxnreg"), at: 0)
      try withCache { cache in
        for start in 0..<2 {
          let device = try device()
          _ = try CUDAModule(module, on: device, cache: cache)
          #expect(DriverTests.calls("cuLinkCreate") == (start == 0 ? 1 : 0))
          #expect(DriverTests.calls("cuModuleLoadDataEx") == 1)
        }
        #expect(files(cache).count == 1)
      }
    }

    @Test func theLoaderTakesWhatTheLinkerRefuses() throws {
      try withCache { cache in
        let module = try CUDAModule(DriverTests.scale, on: try device { $0.pointee.links = 0 }, cache: cache)
        #expect(try module.function("scale").name == "scale")
        #expect(DriverTests.live["linkers"] == nil)
        #expect(files(cache).count == 1)
      }
    }

    /// Notes live as long as the process.
    static func noted(_ code: String) -> UnsafePointer<CChar> {
      UnsafePointer(
        strdup("ptxas info    : (\(code)) Potential Performance Loss: wgmma.mma_async instructions are serialized\n"))
    }

    @Test(arguments: ["C7510", "C7511", "C7515", "C7517", "C7519", "C7504"], [false, true])
    func notesOfSlowCodeAreErrors(code: String, hasRoles: Bool) throws {
      let module = hasRoles ? DriverTests.roles : DriverTests.scale
      try withCache { cache in
        let slow = try device { $0.pointee.notes = Self.noted(code) }
        let message = DriverTests.message(.assembly) { _ = try CUDAModule(module, on: slow, cache: cache) }
        #expect(message.contains("kernel '\(module.kernels[0].name)'"))
        #expect(message.contains("ptxas info    : (\(code)) Potential Performance Loss"))
        #expect(files(cache).isEmpty)
        #expect(DriverTests.live == ["contexts": 1])
        // Whoever says so gets it, but it is not kept.
        _ = try CUDAModule(module, on: slow, cache: cache, acceptsSlowCode: true)
        #expect(files(cache).isEmpty)
      }
    }

    @Test func spillsAreErrors() throws {
      let notes = strdup(
        "ptxas info    : Function properties for big\n    64 bytes stack frame, 24 bytes spill stores, 16 bytes spill loads\n"
      )
      defer { free(notes) }
      let device = try device { $0.pointee.notes = UnsafePointer(notes) }
      let message = DriverTests.message(.assembly) { _ = try CUDAModule(DriverTests.scale, on: device) }
      #expect(message.contains("24 bytes spill stores, 16 bytes spill loads (in 'big')"))
    }

    /// What the driver takes from its own cache has no notes; it is assembled once more to read them.
    @Test(arguments: [false, true])
    func logsOfTheDriversCacheAreNotTrusted(hasRoles: Bool) throws {
      let module = hasRoles ? DriverTests.roles : DriverTests.scale
      let clean = try device { $0.pointee.keeps_code = 1 }
      _ = try CUDAModule(module, on: clean)
      let slow = try device {
        $0.pointee.keeps_code = 1
        $0.pointee.notes = Self.noted("C7511")
      }
      let message = DriverTests.message(.assembly) { _ = try CUDAModule(module, on: slow) }
      #expect(message.contains("C7511"))
    }

    @Test func wrongTextGivesTheAssemblersLog() throws {
      let device = try device()
      fake_cuda_fail("cuLinkAddData", 1, CUDA_ERROR_INVALID_PTX)
      fake_cuda_fail("cuModuleLoadDataEx", 1, CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
      let old = DriverTests.message(.assembly) { _ = try CUDAModule(DriverTests.scale, on: device) }
      #expect(old.contains("assemble kernel 'scale'") && old.contains("9.0 needs 580"))
      #expect(DriverTests.live == ["contexts": 1])
    }

    @Test func theLogOfErrorsIsInTheMessage() throws {
      let device = try device { $0.pointee.refuses_text = 1 }
      let message = DriverTests.message(.assembly) { _ = try CUDAModule(DriverTests.scale, on: device) }
      #expect(message.contains("CUDA_ERROR_INVALID_PTX"))
      #expect(message.contains("ptxas application ptx input, line 1; fatal : refused"))
      #expect(message.contains("assemble it with ptxas"))
    }
  }

  @Suite struct CompilerLogTests {
    @Test func complaints() {
      let log = CompilerLog(
        text: """
          ptxas info    : (C7510) Potential Performance Loss: serialized in 'a'
          ptxas info    : (C7600) something else
          ptxas info    : (C75)
          ptxas info    : 0 bytes gmem
          ptxas info    : Compiling entry function 'a' for 'sm_90a'
          ptxas info    : Function properties for a
              0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
          ptxas info    : Used 168 registers, used 1 barriers
          ptxas info    : Function properties for b
          ptxas         .     8 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads
          """)
      #expect(log.isOfCompilation)
      #expect(
        log.complaints == [
          "ptxas info    : (C7510) Potential Performance Loss: serialized in 'a'",
          "ptxas         .     8 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads (in 'b')",
        ])
      let cached = CompilerLog(
        text: "info    : used 8 registers, 0 stack, 0 bytes smem, 360 bytes cmem[0], 0 bytes lmem\n")
      #expect(!cached.isOfCompilation && cached.complaints.isEmpty)
    }
  }
}
