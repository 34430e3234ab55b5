// From PTX to a module of the driver, in the way that gives the fastest code and, where that is possible, a cubin to keep.
//
// Only the driver's linker hands out a cubin. But it assembles each input as one part of several, and then ignores `setmaxnreg`
// (note C7504), without which a kernel with warp roles is slow. So modules with that instruction, and others of which the linker
// makes slow code, are loaded as PTX: the driver assembles them whole, and keeps what comes out in a cache of its own
// (~/.nv/ComputeCache); our cache then only remembers that there was nothing to complain about.
//
// Invariant: no module is handed out whose log was not read once without complaints, unless the caller accepts slow code. A log
// of code that the driver had in its own cache has no notes: such a module is assembled again under another text.
//
// CUDA driver API 13.0, "Module Management", CUjit_option.

internal import CDrivers
internal import KernelLanguage

/// Assembles modules for a device.
struct PTXAssembler {
  let device: CUDADevice
  let cache: CubinCache?
  let acceptsSlowCode: Bool

  /// The module's code on the device.
  func load(_ module: PTXModule) throws -> CUDACode {
    let text = module.text
    let properties = device.properties
    let key = CubinCache.Key([text, device.driver.release, CUDADriver.build(), "\(properties.capability)"])
    if let entry = cache?.read(key) {
      if entry.isEmpty { return try loadWhole(text, module).code }
      if let loaded = try? load(cubin: entry) { return loaded }
      cache?.remove(key)
    }
    if !module.usesRegisterBudgets, let cubin = link(text, module), let loaded = try? load(cubin: cubin) {
      keep(cubin, key)
      return loaded
    }
    // What the linker refuses or makes slow, the loader may take: its error is the one that is thrown.
    let (loaded, log) = try loadWhole(text, module)
    if acceptsSlowCode { return loaded }
    let complaints = try (log.isOfCompilation ? log : loadWhole(fresh(text), module).log).complaints
    guard complaints.isEmpty else {
      throw GPUError(
        .assembly,
        "The driver's assembler makes slow code of \(module.title):\n"
          + complaints.map { "  \($0)\n" }.joined()
          + "Touch no accumulator between the start of a matrix instruction and the wait for it, and give the kernel's "
          + "threads the registers that they need.")
    }
    keep([], key)
    return loaded
  }

  /// The same text to an assembler, and one that no cache has.
  private func fresh(_ text: String) -> String { "\(text)// \(UInt64.random(in: 0 ... .max))\n" }

  /// A folder that cannot be written costs time at the next start and nothing else.
  private func keep(_ cubin: [UInt8], _ key: CubinCache.Key) { try? cache?.write(cubin, key) }

  private func load(cubin: [UInt8]) throws(GPUError) -> CUDACode {
    var module: cuda_module?
    try device.call("load an assembled kernel") { driver in
      cubin.withUnsafeBytes { driver.cuModuleLoadDataEx(&module, $0.baseAddress, 0, nil, nil) }
    }
    return CUDACode(module!, on: device)
  }

  /// Assembles a module in one piece.
  private func loadWhole(_ text: String, _ module: PTXModule) throws(GPUError) -> (code: CUDACode, log: CompilerLog) {
    var loaded: cuda_module?
    let logs = try JITLogs.collect(device, "assemble \(module.title)", target: nil) { driver, count, options, values in
      var text = text
      return text.withUTF8 { utf8 in
        (Array(utf8) + [0]).withUnsafeBytes {
          driver.cuModuleLoadDataEx(&loaded, $0.baseAddress, count, options, values)
        }
      }
    }
    return (CUDACode(loaded!, on: device), logs)
  }

  /// Links a module of one part; nil if the linker refuses it or makes slow code of it.
  private func link(_ text: String, _ module: PTXModule) -> [UInt8]? {
    guard let (cubin, log) = attemptLink(text, module) else { return nil }
    let notes = log.isOfCompilation ? log : attemptLink(fresh(text), module)?.log
    return notes?.complaints.isEmpty == true ? cubin : nil
  }

  private func attemptLink(_ text: String, _ module: PTXModule) -> (cubin: [UInt8], log: CompilerLog)? {
    var result: [UInt8] = []
    let logs = try? JITLogs.collect(device, "link \(module.title)", target: module.target.linkerTarget) {
      driver, count, options, values in
      var linker: cuda_linker?
      let created = driver.cuLinkCreate(count, options, values, &linker)
      guard created == CUDA_SUCCESS else { return created }
      defer { _ = driver.cuLinkDestroy(linker) }
      var bytes = Array(text.utf8) + [0]
      let added = bytes.withUnsafeMutableBytes {
        driver.cuLinkAddData(linker, CUDA_JIT_INPUT_PTX, $0.baseAddress, $0.count, "kernel.ptx", 0, nil, nil)
      }
      guard added == CUDA_SUCCESS else { return added }
      var (cubin, count): (UnsafeMutableRawPointer?, Int) = (nil, 0)
      let completed = driver.cuLinkComplete(linker, &cubin, &count)
      if completed == CUDA_SUCCESS { result = Array(UnsafeRawBufferPointer(start: cubin, count: count)) }
      return completed
    }
    return logs.flatMap { result.isEmpty ? nil : (result, $0) }
  }
}

extension PTXModule {
  /// What messages call it.
  var title: String {
    switch kernels.count {
    case 0: "a module without kernels"
    case 1: "kernel '\(kernels[0].name)'"
    default: "a module of \(kernels.count) kernels ('\(kernels[0].name)' is the first)"
    }
  }

  /// Whether warps give registers to each other.
  var usesRegisterBudgets: Bool {
    func uses(_ body: [PTXStatement]) -> Bool {
      body.contains { statement in
        switch statement {
        case .instruction(let instruction): instruction.opcode == "setmaxnreg"
        case .block(let body): uses(body)
        case .variable, .label, .pragma: false
        }
      }
    }
    return kernels.contains { uses($0.body) }
  }
}

extension PTXTarget {
  /// The number that the linker must be given for instructions of one chip or one family only; nil: it takes the device's.
  var linkerTarget: UInt32? {
    guard let suffix = name.last, let number = UInt32(name.dropFirst(3).dropLast()), name.hasPrefix("sm_") else {
      return nil
    }
    switch suffix {
    case "a": return number + UInt32(CUDA_JIT_TARGET_OF_CHIP)
    case "f": return number + UInt32(CUDA_JIT_TARGET_OF_FAMILY)
    default: return nil
    }
  }
}

/// The buffers that the driver writes its logs to.
private enum JITLogs {
  /// In bytes, of each log.
  private static let room = 1 << 20

  /// Runs a call that takes options, and reads its logs.
  ///
  /// - Parameters:
  ///   - operation: completes "Cannot …".
  ///   - body: gets the number of options, the options and their values, which live until it returns.
  /// - Returns: the log of a call that succeeds; otherwise its errors are the error's.
  static func collect(
    _ device: CUDADevice, _ operation: String, target: UInt32?,
    _ body: (
      cuda_driver, UInt32, UnsafeMutablePointer<cuda_jit_option>, UnsafeMutablePointer<UnsafeMutableRawPointer?>
    ) -> cuda_result
  ) throws(GPUError) -> CompilerLog {
    let info = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
    let errors = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
    defer {
      info.deallocate()
      errors.deallocate()
    }
    (info[0], errors[0]) = (0, 0)
    // Numbers are given as pointers with their bits.
    var options: [(cuda_jit_option, UnsafeMutableRawPointer?)] = [
      (CUDA_JIT_INFO_LOG_BUFFER, info.baseAddress),
      (CUDA_JIT_INFO_LOG_BUFFER_SIZE_BYTES, UnsafeMutableRawPointer(bitPattern: room)),
      (CUDA_JIT_ERROR_LOG_BUFFER, errors.baseAddress),
      (CUDA_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, UnsafeMutableRawPointer(bitPattern: room)),
      (CUDA_JIT_LOG_VERBOSE, UnsafeMutableRawPointer(bitPattern: 1)),
    ]
    if let target { options.append((CUDA_JIT_TARGET, UnsafeMutableRawPointer(bitPattern: UInt(target)))) }
    var (names, values) = (options.map(\.0), options.map(\.1))
    var result = CUDA_SUCCESS
    try device.call(operation) { driver in
      names.withUnsafeMutableBufferPointer { names in
        values.withUnsafeMutableBufferPointer { values in
          result = body(driver, UInt32(names.count), names.baseAddress!, values.baseAddress!)
        }
      }
      return CUDA_SUCCESS
    }
    func text(_ buffer: UnsafeMutableRawBufferPointer) -> String {
      String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard result == CUDA_SUCCESS else {
      let log = text(errors)
      throw GPUError(
        result: result, operation, details: log.isEmpty ? "" : "Its assembler says:\n\(log)\n",
        of: device.driver.functions)
    }
    return CompilerLog(text: text(info))
  }
}
