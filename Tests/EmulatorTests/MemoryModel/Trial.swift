// Trials of a kernel over many seeds: it has a fault that is found, or it has none and runs clean.

internal import Emulator
internal import KernelLanguage
internal import Testing

/// A kernel in PTX with what it is launched with.
///
/// Registers `%r0` to `%r31`, `%d0` to `%d15`, `%h0` to `%h7`, `%f0` to `%f7`, `%p0` to `%p7` and `%q0` are declared;
/// `%t` is the thread in the block, `%rank` the block in its cluster, `%c` the block in the grid. `%P0`, … are the
/// addresses of the buffers, `%M0`, … those of the tensor maps. `tile` has 8 KiB of shared memory at a multiple of
/// 1024, `bar` eight mbarriers.
struct Trial: Sendable {
  var text: String
  var blocks = 1
  var threads = 32
  var cluster = 1
  var target = "sm_90a"
  var directives = ""
  /// In words of 32 bits.
  var buffers: [[UInt32]] = []
  /// Made of the addresses of the buffers.
  var maps: [@Sendable ([UInt64]) -> TensorMap] = []
  /// Blocks that run at the same time at most.
  var residentBlocks: Int?

  init(
    _ text: String, blocks: Int = 1, threads: Int = 32, cluster: Int = 1, target: String = "sm_90a",
    directives: String = "", buffers: [[UInt32]] = [], maps: [@Sendable ([UInt64]) -> TensorMap] = []
  ) {
    (self.text, self.blocks, self.threads, self.cluster, self.target) = (text, blocks, threads, cluster, target)
    (self.directives, self.buffers, self.maps) = (directives, buffers, maps)
  }

  var module: String {
    let parameters =
      buffers.indices.map { ".param .u64 p\($0)" } + maps.indices.map { ".param .align 64 .b8 m\($0)[128]" }
    let loads =
      buffers.indices.map { "ld.param.u64 %P\($0), [p\($0)];" }
      + maps.indices.map { "mov.b64 %M\($0), m\($0); cvta.param.u64 %M\($0), %M\($0);" }
    return """
      .version 8.6
      .target \(target)
      .address_size 64
      .visible .entry k(\(parameters.joined(separator: ", "))) \(directives)
      {
        .reg .b32 %t, %c, %rank; .reg .b32 %r<32>;
        .reg .b64 %P<4>; .reg .b64 %M<4>; .reg .b64 %d<16>;
        .reg .b16 %h<8>;
        .reg .f32 %f<8>;
        .reg .pred %p<8>;
        \(target == "sm_100a" ? ".reg .b128 %q<2>;" : "")
        .shared .align 1024 .b8 tile[8192];
        .shared .align 8 .b64 bar[8];
        \(loads.joined(separator: "\n"))
        mov.u32 %t, %tid.x; mov.u32 %c, %ctaid.x;
        \(target == "sm_80" ? "mov.u32 %rank, 0;" : "mov.u32 %rank, %cluster_ctarank;")
        \(text)
        ret;
      }
      """
  }

  /// Runs it once. What the buffers hold then.
  func run(seed: UInt64, detectsRaces: Bool = true) throws -> [[UInt32]] {
    let chip: Chip = target == "sm_80" ? .a100 : target == "sm_100a" ? .b200 : .h200
    let gpu = EmulatedGPU(
      chip,
      options: EmulatedGPU.Options(
        seed: seed, detectsRaces: detectsRaces, residentBlocks: residentBlocks, patience: 2_000_000))
    let loaded = try gpu.load(PTXModule(parsing: module))
    var addresses: [UInt64] = []
    for (index, buffer) in buffers.enumerated() {
      addresses.append(try gpu.allocate(buffer.count * 4, name: "buffer \(index)"))
      try buffer.withUnsafeBytes { try gpu.write($0, to: addresses[index]) }
    }
    let configuration = LaunchConfiguration(
      grid: Extent(blocks), block: Extent(threads), cluster: Extent(cluster))
    _ = try gpu.launch(
      loaded, "k", configuration,
      addresses.map { .pointer($0) } + maps.map { .tensorMap($0(addresses)) })
    var results = buffers
    for index in results.indices {
      try results[index].withUnsafeMutableBytes { try gpu.read(addresses[index], into: $0) }
    }
    return results
  }

  /// Every seed finds a fault with one of the codes, whose message has all of the words.
  func finds(
    _ codes: EmulatorError.Code..., saying words: [String] = [], seeds: Range<UInt64> = 0..<12,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for seed in seeds {
      do {
        _ = try run(seed: seed)
        Issue.record("seed \(seed): nothing was found", sourceLocation: sourceLocation)
        return
      } catch let error as EmulatorError {
        let isExpected = codes.contains(error.code) && words.allSatisfy(error.message.contains)
        guard isExpected else {
          Issue.record("seed \(seed): \(error.code): \(error.message)", sourceLocation: sourceLocation)
          return
        }
      } catch {
        Issue.record("seed \(seed): \(error)", sourceLocation: sourceLocation)
        return
      }
    }
  }

  /// At least one of the seeds finds it, and no seed finds another fault.
  func sometimesFinds(
    _ codes: EmulatorError.Code..., saying words: [String] = [], seeds: Range<UInt64> = 0..<32,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var found = 0
    for seed in seeds {
      do { _ = try run(seed: seed) } catch let error as EmulatorError {
        guard codes.contains(error.code), words.allSatisfy(error.message.contains) else {
          Issue.record("seed \(seed): \(error.code): \(error.message)", sourceLocation: sourceLocation)
          return
        }
        found += 1
      } catch {
        Issue.record("seed \(seed): \(error)", sourceLocation: sourceLocation)
        return
      }
    }
    if found == 0 { Issue.record("no seed found it", sourceLocation: sourceLocation) }
  }

  /// No seed finds anything, and all give the same, which `check` looks at.
  func isClean(
    seeds: Range<UInt64> = 0..<24, sourceLocation: SourceLocation = #_sourceLocation,
    _ check: ([[UInt32]]) -> Bool = { _ in true }
  ) {
    for seed in seeds {
      do {
        let result = try run(seed: seed)
        guard check(result) else {
          Issue.record("seed \(seed): \(result)", sourceLocation: sourceLocation)
          return
        }
      } catch {
        Issue.record("seed \(seed): \(error)", sourceLocation: sourceLocation)
        return
      }
    }
  }

  /// The same kernel with a piece of its text changed: the fault, or its cure.
  func replacing(_ old: String, _ new: String) -> Trial {
    precondition(text.contains(old), "the kernel has no \"\(old)\"")
    var trial = self
    var parts: [Substring] = []
    var rest = text[...]
    while let range = Trial.range(of: old, in: rest) {
      parts += [rest[..<range.lowerBound], new[...]]
      rest = rest[range.upperBound...]
    }
    trial.text = (parts + [rest]).joined()
    return trial
  }

  private static func range(of needle: String, in text: Substring) -> Range<String.Index>? {
    var start = text.startIndex
    while start < text.endIndex {
      if text[start...].hasPrefix(needle) { return start..<text.index(start, offsetBy: needle.count) }
      start = text.index(after: start)
    }
    return nil
  }

  /// 0, 1, 2, …
  static func numbers(_ count: Int) -> [UInt32] { (0..<UInt32(count)).map { $0 } }
  static func zeros(_ count: Int) -> [UInt32] { [UInt32](repeating: 0, count: count) }
}
