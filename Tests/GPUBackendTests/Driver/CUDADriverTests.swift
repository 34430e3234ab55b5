// Opening the driver, devices, and what errors say.

internal import CDrivers
internal import FakeDrivers
internal import Foundation
internal import GPUBackend
internal import KernelLanguage
internal import Testing

extension DriverTests {
  @Suite struct CUDADriverTests {
    @Test func noDriver() {
      let missing = DriverTests.message(.noDevice) { _ = try CUDADriver(path: "/nowhere/libcuda.so.1") }
      #expect(missing.contains("'/nowhere/libcuda.so.1'") && missing.contains("No such file"))
      #expect(missing.contains("--device emulator"))
      let named = DriverTests.message(.noDevice) {
        _ = try CUDADriver(environment: ["TACHORNIS_CUDA_DRIVER": "/nowhere/else.so"])
      }
      #expect(named.contains("/nowhere/else.so"))
      // A library that is no driver: libm is everywhere.
      let other = DriverTests.message(.noDevice) { _ = try CUDADriver(path: "libm.so.6") }
      #expect(other.contains("CUDA 12.0") && other.contains("525"))
    }

    @Test func noDriverOnThisMachine() throws {
      do {
        _ = try CUDADriver(environment: [:])
      } catch {
        // A machine of tests has no driver; one that has is no mistake.
        #expect(error.code == .noDevice)
        #expect(error.message.contains("NVIDIA"))
      }
    }

    @Test func everyFunctionIsFound() throws {
      let driver = try DriverTests.open()
      #expect(driver.version == 13000)
      #expect(driver.release == "13.0")
      #expect(driver.deviceCount == 2)
      fake_cuda_reset()
      fake_cuda_set().pointee.has_old_entries_only = 1
      let old = DriverTests.message(.noDevice) { _ = try CUDADriver(functions: fake_cuda_get) }
      #expect(old.contains("cuTensorMapEncodeTiled") && old.contains("525"))
    }

    @Test(arguments: [
      (CUDA_ERROR_NO_DEVICE, GPUError.Code.noDevice, "CUDA_VISIBLE_DEVICES"),
      (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, .noDevice, "restart the machine"),
      (CUDA_ERROR_SYSTEM_NOT_READY, .noDevice, "nvidia-fabricmanager"),
      (CUDA_ERROR_STUB_LIBRARY, .noDevice, "LD_LIBRARY_PATH"),
      (CUDA_ERROR_UNKNOWN, .driver, "dmesg"),
    ])
    func initialisationFails(result: cuda_result, code: GPUError.Code, remedy: String) {
      fake_cuda_reset()
      fake_cuda_fail("cuInit", 1, result)
      let message = DriverTests.message(code) { _ = try CUDADriver(functions: fake_cuda_get) }
      #expect(message.contains("initialise the NVIDIA driver") && message.contains(remedy))
    }

    @Test func noDevices() {
      let message = DriverTests.message(.noDevice) { _ = try DriverTests.open { $0.pointee.devices = 0 } }
      #expect(message.contains("CUDA_ERROR_NO_DEVICE") && message.contains("--gpus all"))
    }

    @Test func numbersWithoutANameAreGiven() throws {
      let driver = try DriverTests.open()
      fake_cuda_fail("cuDeviceGet", 1, cuda_result(rawValue: 4711))
      let message = DriverTests.message(.driver) { _ = try CUDADevice(of: driver) }
      #expect(message.contains("error 4711"))
    }

    @Test func properties() throws {
      let device = try CUDADevice(1, of: try DriverTests.open())
      let properties = device.properties
      #expect(properties.name == "Fake H200 1")
      #expect(properties.bus == "0000:1C:00.0")
      #expect(properties.capability == 90)
      #expect(properties.target == .sm90a)
      #expect(properties.multiprocessors == 132)
      #expect(properties.sharedBytesPerBlock == 232448)
      #expect(properties.secondLevelCacheBytes == 50 << 20)
      #expect(properties.clockHertz == 1.98e9)
      #expect(properties.hasClusters)
      // 3201 MHz, two transfers a cycle, 6144 bits: what an H200's memory is said to have.
      #expect(abs(properties.memoryBandwidth - 4.917e12) < 1e9)
    }

    /// A file of /proc, whose size is said to be 0.
    @Test func theBuildIsALineOfText() {
      let build = CUDADriver.build(path: "/proc/version")
      #expect(build.hasPrefix("Linux") && !build.contains("\n"))
      #expect(CUDADriver.build(path: "/nowhere") == "")
    }

    @Test(arguments: [(80, PTXTarget.sm80), (89, .sm80), (90, .sm90a), (100, .sm100a), (120, .sm80)])
    func targets(capability: Int, target: PTXTarget) throws {
      let driver = try DriverTests.open { $0.pointee.capability = Int32(capability) }
      #expect(try CUDADevice(of: driver).properties.target == target)
    }

    @Test func devicesThatCannotBeUsed() throws {
      let old = try DriverTests.open { $0.pointee.capability = 75 }
      #expect(DriverTests.message(.unsupported) { _ = try CUDADevice(of: old) }.contains("7.5"))
      let virtual = try DriverTests.open { $0.pointee.has_pools = 0 }
      #expect(DriverTests.message(.unsupported) { _ = try CUDADevice(of: virtual) }.contains("memory pools"))
      let driver = try DriverTests.open()
      #expect(DriverTests.message(.noDevice) { _ = try CUDADevice(2, of: driver) }.contains("this machine has 2"))
      #expect(DriverTests.live.isEmpty)
    }

    @Test func devicesAreListedWithoutOpeningThem() throws {
      let driver = try DriverTests.open { $0.pointee.capability = 75 }
      #expect(try driver.devices().map(\.name) == ["Fake H200 0", "Fake H200 1"])
      #expect(DriverTests.live.isEmpty)
    }

    @Test func contextsAreGivenBack() throws {
      let driver = try DriverTests.open()
      do {
        let devices = try [CUDADevice(0, of: driver), CUDADevice(1, of: driver), CUDADevice(0, of: driver)]
        #expect(DriverTests.live == ["contexts": 3])
        #expect(devices.map(\.ordinal) == [0, 1, 0])
      }
      #expect(DriverTests.live.isEmpty)
    }

    @Test func everyThreadHasTheContext() throws {
      let driver = try DriverTests.open()
      let gpu = try CUDAGPU(CUDADevice(0, of: driver), cache: nil)
      let other = try CUDAGPU(CUDADevice(1, of: driver), cache: nil)
      let address = try gpu.make([1, 2, 3])
      // The fake driver refuses calls of threads without a context, and this one alternates between two.
      let results = (0..<4).map { _ in
        Result { try other.floats(try other.make([5]), 1) + (try gpu.floats(address, 3)) }
      }
      let thread = Thread {
        do {
          let values = try gpu.floats(address, 3)
          #expect(values == [1, 2, 3])
        } catch {
          Issue.record(error)
        }
      }
      thread.start()
      while !thread.isFinished { usleep(1000) }
      for result in results { #expect(try result.get() == [5, 1, 2, 3]) }
    }

    @Test func faultsOfKernelsPointToTheEmulator() throws {
      let gpu = try CUDAGPU(CUDADevice(of: try DriverTests.open()), cache: nil)
      fake_cuda_fail("cuStreamSynchronize", 1, CUDA_ERROR_ILLEGAL_ADDRESS)
      let message = DriverTests.message(.driver) { try gpu.synchronise() }
      #expect(message.contains("CUDA_ERROR_ILLEGAL_ADDRESS") && message.contains("--device emulator"))
    }
  }
}
