import Emulator
import KernelLanguage
import Testing

/// A kernel around a few instructions: PTX text with a buffer to read and one to write.
///
/// The body finds: %in and %out, the buffers; %mine and %yours, the same plus 4 bytes for each thread of the grid; %thread, %lane,
/// %warp, %rank; %sb, the first byte of shared memory, at a multiple of 1024; registers %r<256>, %f<256>, %d<32>, %p<8>, %x<16>
/// of 64 bits, %h<8> of 16, %b<8> of 8.
struct MatrixKernel {
  var chip: Chip = .h200
  var warps = 1
  /// Blocks, all in one cluster.
  var blocks = 1
  var sharedBytes = 0
  var body: String

  var text: String {
    let version = chip.generation == .ampere ? "7.0" : chip.generation == .hopper ? "8.4" : "8.8"
    return """
      .version \(version)
      .target \(chip.target.name)
      .address_size 64
      .extern .shared .align 1024 .b8 smem[];
      .visible .entry test(.param .u64 input, .param .u64 output)
      {
      .reg .b64 %in, %out, %mine, %yours, %at, %from;
      .reg .b64 %x<16>;
      .reg .b32 %thread, %lane, %warp, %rank, %sb, %to, %count;
      .reg .b32 %r<256>;
      .reg .f32 %f<256>;
      .reg .f64 %d<32>;
      .reg .b16 %h<8>;
      .reg .b8 %b<8>;
      .reg .pred %p<8>;
      .reg .pred %leader, %more;
      mov.u32 %thread, %tid.x;
      and.b32 %lane, %thread, 31;
      shr.u32 %warp, %thread, 5;
      mov.u32 %rank, %ctaid.x;
      mov.u32 %sb, smem;
      ld.param.u64 %in, [input];
      ld.param.u64 %out, [output];
      cvta.to.global.u64 %in, %in;
      cvta.to.global.u64 %out, %out;
      mad.lo.u32 %to, %rank, \(32 * warps), %thread;
      mad.wide.u32 %mine, %to, 4, %in;
      mad.wide.u32 %yours, %to, 4, %out;
      \(body)
      ret;
      }
      """
  }

  /// Copies `words` words of each block's part of the input into its shared memory, and lets everybody see them.
  static func fill(words: Int, warps: Int) -> String {
    """
    mad.wide.u32 %from, %rank, \(words * 4), %in;
    mov.u32 %count, %thread;
    FILL:
    setp.lt.u32 %more, %count, \(words);
    @!%more bra FILLED;
    mad.wide.u32 %at, %count, 4, %from;
    ld.global.b32 %r255, [%at];
    mad.lo.u32 %to, %count, 4, %sb;
    st.shared.b32 [%to], %r255;
    add.u32 %count, %count, \(32 * warps);
    bra FILL;
    FILLED:
    fence.proxy.async.shared::cta;
    bar.sync 0;
    """
  }

  /// Loads `count` registers, one word of each thread of the grid after the other, from word `first` of the input on.
  func load(_ registers: [String], _ type: String = "b32", from first: Int = 0) -> String {
    MatrixKernel.load(registers, type, from: first, threads: 32 * warps * blocks)
  }

  static func load(_ registers: [String], _ type: String = "b32", from first: Int = 0, threads: Int) -> String {
    registers.enumerated().map { "ld.global.\(type) \($1), [%mine+\(4 * (first + $0 * threads))];" }.joined(
      separator: "\n")
  }

  static func store(_ registers: [String], _ type: String = "b32", from first: Int = 0, threads: Int) -> String {
    registers.enumerated().map { "st.global.\(type) [%yours+\(4 * (first + $0 * threads))], \($1);" }.joined(
      separator: "\n")
  }

  func run(_ input: [UInt32], outputs: Int, seed: UInt64 = 0) throws -> [UInt32] {
    try runWithReport(input, outputs: outputs, seed: seed).output
  }

  func runWithReport(
    _ input: [UInt32], outputs: Int, seed: UInt64 = 0
  ) throws -> (output: [UInt32], report: LaunchReport) {
    let gpu = EmulatedGPU(chip, options: EmulatedGPU.Options(seed: seed))
    let (from, to) = (
      try gpu.allocate(max(4, input.count * 4), name: "input"), try gpu.allocate(max(4, outputs * 4), name: "output")
    )
    try input.withUnsafeBytes { try gpu.write($0, to: from) }
    let module = try gpu.load(try PTXModule(parsing: text))
    let report = try gpu.launch(
      module, "test",
      LaunchConfiguration(
        grid: Extent(blocks), block: Extent(32 * warps), cluster: Extent(blocks), dynamicSharedBytes: sharedBytes),
      [.pointer(from), .pointer(to)])
    var output = [UInt32](repeating: 0, count: outputs)
    try output.withUnsafeMutableBytes { try gpu.read(to, into: $0) }
    return (output, report)
  }

  /// Records an issue if anything goes wrong.
  func expectNothing(input: [UInt32], outputs: Int = 4096, sourceLocation: SourceLocation = #_sourceLocation) {
    for seed in 0..<4 as Range<UInt64> {
      do { _ = try run(input, outputs: outputs, seed: seed) } catch {
        Issue.record("\(error)", sourceLocation: sourceLocation)
      }
    }
  }

  /// Records an issue unless one of these goes wrong.
  func expectAnyError(
    _ codes: [EmulatorError.Code], input: [UInt32], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    do {
      _ = try run(input, outputs: 4096)
      Issue.record("nothing went wrong", sourceLocation: sourceLocation)
    } catch {
      guard let error = error as? EmulatorError, codes.contains(error.code) else {
        Issue.record("\(error)", sourceLocation: sourceLocation)
        return
      }
    }
  }

  /// What goes wrong when it runs; records an issue if nothing does, or something else.
  func expectError(
    _ code: EmulatorError.Code, _ words: String..., input: [UInt32] = [], outputs: Int = 4096, seed: UInt64 = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    do {
      _ = try run(input, outputs: outputs, seed: seed)
      Issue.record("nothing went wrong where \(code) should have", sourceLocation: sourceLocation)
    } catch let error as EmulatorError {
      guard error.code == code, words.allSatisfy(error.message.contains) else {
        Issue.record("\(error.code): \(error.message)", sourceLocation: sourceLocation)
        return
      }
    } catch {
      Issue.record("\(error)", sourceLocation: sourceLocation)
    }
  }
}

/// Small whole numbers as elements, which every sum of them is exact for.
extension MatrixElement {
  /// The code of a number of -3 to 3, or 0 to 3 for unsigned types.
  func code(_ value: Int) -> UInt32 {
    switch self {
    case .f16: UInt32(Float16(value).bitPattern)
    case .bf16: Float(value).bitPattern >> 16
    case .tf32: Float(value).bitPattern
    case .s8, .u8: UInt32(UInt8(truncatingIfNeeded: value))
    case .s4, .u4: UInt32(UInt8(truncatingIfNeeded: value)) & 0xF
    // Sign, then magnitudes 0, 1, 2, 3 as each format writes them.
    case .e4m3: (value < 0 ? 0x80 : 0) | [0, 0x38, 0x40, 0x44][abs(value)]
    case .e5m2: (value < 0 ? 0x80 : 0) | [0, 0x3C, 0x40, 0x42][abs(value)]
    case .e3m2: (value < 0 ? 0x20 : 0) | [0, 0x0C, 0x10, 0x12][abs(value)]
    case .e2m3: (value < 0 ? 0x20 : 0) | [0, 0x08, 0x10, 0x14][abs(value)]
    case .e2m1: (value < 0 ? 0x8 : 0) | [0, 2, 4, 5][abs(value)]
    }
  }

  var smallNumbers: ClosedRange<Int> { self == .u8 || self == .u4 ? 0...3 : -3...3 }
}
