// The driver's tests share one fake driver, so they run one after the other, and each starts with a new one.

internal import CDrivers
internal import FakeDrivers
internal import GPUBackend
internal import KernelLanguage
internal import Testing

@Suite(.serialized) struct DriverTests {
  /// A fake driver, changed by `change` before it is opened.
  static func open(_ change: (UnsafeMutablePointer<fake_cuda_settings>) -> Void = { _ in }) throws -> CUDADriver {
    fake_cuda_reset()
    change(fake_cuda_set())
    return try CUDADriver(functions: fake_cuda_get)
  }

  /// `scale(u64 floats, u32 count, f32 factor)`, which the fake driver runs.
  static let scale = try! PTXModule(
    parsing: """
      .version 8.0 .target sm_90a .address_size 64
      .visible .entry scale(.param .u64 floats, .param .u32 count, .param .f32 factor) { ret; }
      """)

  /// A kernel with a tensor map and roles that give registers to each other.
  static let roles = try! PTXModule(
    parsing: """
      .version 8.0 .target sm_90a .address_size 64
      .visible .entry roles(.param .align 64 .b8 map[128], .param .u64 order, .param .s32 step)
        .maxntid 384, 1, 1 .minnctapersm 1
      { { setmaxnreg.inc.sync.aligned.u32 240; } ret; }
      """)

  static var log: [String] { String(cString: fake_cuda_log()).split(separator: "\n").map(String.init) }
  static func calls(_ function: String) -> Int { Int(fake_cuda_calls(function)) }

  /// What was made and not given back.
  static var live: [String: Int] {
    let kinds = [
      "contexts", "streams", "events", "pools", "allocations", "host", "modules", "linkers", "graphs", "executables",
    ]
    return Dictionary(uniqueKeysWithValues: kinds.map { ($0, Int(fake_cuda_live($0))) }).filter { $0.value != 0 }
  }

  /// The message of the error that `body` must throw.
  static func message(
    _ code: GPUError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) -> String {
    let error = #expect(throws: GPUError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, sourceLocation: sourceLocation)
    return error?.message ?? ""
  }
}

/// Floats to a device and back.
extension CUDAGPU {
  func make(_ values: [Float], name: String = "values") throws -> UInt64 {
    let address = try allocate(values.count * 4, name: name)
    do {
      try values.withUnsafeBytes { try write($0, to: address) }
    } catch {
      free(address)
      throw error
    }
    return address
  }

  func floats(_ address: UInt64, _ count: Int) throws -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    try values.withUnsafeMutableBytes { try read(address, into: $0) }
    return values
  }
}
