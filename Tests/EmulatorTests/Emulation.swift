// What tests run programs with: a kernel around one instruction, and kernels whose buffers are arrays.

internal import Emulator
internal import KernelLanguage
internal import Support
internal import Testing

/// Values of the operands of an instruction in one thread, as bits.
struct Operands {
  var a: UInt64 = 0
  var b: UInt64 = 0
  var c: UInt64 = 0
}

enum Emulation {
  static func header(_ target: String) -> String {
    ".version \(target == "sm_80" ? "7.8" : "9.0")\n.target \(target)\n.address_size 64\n"
  }

  static func chip(_ target: String) -> Chip {
    switch target {
    case "sm_90a": .h200
    case "sm_100a": .b200
    default: .a100
    }
  }

  /// Runs a kernel `k` whose parameters are pointers to the buffers, in order; gives what the buffers hold then.
  static func run(
    _ text: String, target: String = "sm_80", grid: Extent = Extent(1), block: Extent = Extent(32),
    cluster: Extent = Extent(1), dynamicSharedBytes: Int = 0, buffers: [[UInt32]] = [],
    options: EmulatedGPU.Options = EmulatedGPU.Options()
  ) throws -> (buffers: [[UInt32]], report: LaunchReport) {
    let gpu = EmulatedGPU(chip(target), options: options)
    let module = try gpu.load(PTXModule(parsing: header(target) + text))
    var addresses: [UInt64] = []
    for (index, buffer) in buffers.enumerated() {
      let address = try gpu.allocate(buffer.count * 4, name: "buffer \(index)")
      try buffer.withUnsafeBytes { try gpu.write($0, to: address) }
      addresses.append(address)
    }
    let configuration = LaunchConfiguration(
      grid: grid, block: block, cluster: cluster, dynamicSharedBytes: dynamicSharedBytes)
    let report = try gpu.launch(module, "k", configuration, addresses.map { .pointer($0) })
    var results = buffers
    for index in results.indices {
      try results[index].withUnsafeMutableBytes { try gpu.read(addresses[index], into: $0) }
    }
    return (results, report)
  }

  /// A kernel of this body with parameters `p0`, `p1`, …; `%t` is the thread's number in the block, `%g` in the grid, and `%P0`,
  /// `%P1`, … are the buffers' addresses.
  static func kernel(_ buffers: Int, directives: String = "", module: String = "", _ body: String) -> String {
    let parameters = (0..<buffers).map { ".param .u64 p\($0)" }.joined(separator: ", ")
    let loads = (0..<buffers).map { "ld.param.u64 %P\($0), [p\($0)];" }.joined(separator: " ")
    return """
      \(module)
      .visible .entry k(\(parameters)) \(directives)
      {
        .reg .b32 %t, %g;
        .reg .b32 %r<32>;
        .reg .b64 %P<8>;
        .reg .b64 %d<16>;
        .reg .b16 %h<16>;
        .reg .f32 %f<16>;
        .reg .pred %p<8>;
        \(loads)
        { .reg .b32 %n, %i; mov.u32 %t, %tid.x; mov.u32 %n, %ntid.x; mov.u32 %i, %ctaid.x; mad.lo.u32 %g, %i, %n, %t; }
        \(body)
        ret;
      }
      """
  }

  /// Runs one instruction in a thread for each of the operands. `%a`, `%b`, `%c` and `%d` have the given bits; `%p`, `%q` are
  /// predicates; `text` may hold several instructions.
  static func instruction(
    _ text: String, a: Int = 32, b: Int = 32, c: Int = 32, d: Int = 32, target: String = "sm_80",
    _ operands: [Operands]
  ) throws -> [UInt64] {
    let count = (operands.count + 31) / 32 * 32
    var buffers = [[UInt32]](repeating: [UInt32](repeating: 0, count: 2 * count), count: 4)
    for (index, operand) in operands.enumerated() {
      for (place, bits) in [operand.a, operand.b, operand.c].enumerated() {
        buffers[place][2 * index] = UInt32(truncatingIfNeeded: bits)
        buffers[place][2 * index + 1] = UInt32(truncatingIfNeeded: bits >> 32)
      }
    }
    let zero = d == 64 ? "mov.b64 %d, 0;" : d == 16 ? "mov.b16 %d, 0;" : "mov.b32 %d, 0;"
    let text = kernel(
      4,
      """
        .reg .b\(a) %a; .reg .b\(b) %b; .reg .b\(c) %c; .reg .b\(d) %d; .reg .pred %p, %q;
        mul.wide.u32 %d0, %g, 8;
        add.u64 %d1, %P0, %d0; add.u64 %d2, %P1, %d0; add.u64 %d3, %P2, %d0; add.u64 %d4, %P3, %d0;
        ld.global.b\(a) %a, [%d1]; ld.global.b\(b) %b, [%d2]; ld.global.b\(c) %c, [%d3];
        \(zero)
        \(text)
        st.global.b\(d) [%d4], %d;
      """)
    let blocks = (count + 255) / 256
    let result = try run(
      text, target: target, grid: Extent(blocks), block: Extent(blocks == 1 ? count : 256),
      buffers: buffers.map { $0 + [UInt32](repeating: 0, count: max(0, blocks * 512 - $0.count)) })
    let words = result.buffers[3]
    let mask: UInt64 = d == 64 ? .max : (1 << UInt64(d)) - 1
    return operands.indices.map { (UInt64(words[2 * $0]) | UInt64(words[2 * $0 + 1]) << 32) & mask }
  }
}

/// Random bits with those that break things among them.
extension RandomCase {
  mutating func integer(bits: Int) -> UInt64 {
    let mask: UInt64 = bits == 64 ? .max : (1 << UInt64(bits)) - 1
    switch integer(0...9) {
    case 0: return choice([0, 1, 2, mask, mask - 1, mask >> 1, mask >> 1 + 1, 31, 32, 33, 63, 64, 255]) & mask
    case 1: return UInt64(integer(0...40))
    case 2: return (0 &- UInt64(integer(1...40))) & mask
    default: return UInt64(bitPattern: self.bits()) & mask
    }
  }

  /// The bits of a Float: any, or near 1, or special.
  mutating func float() -> UInt64 {
    switch integer(0...5) {
    case 0:
      return UInt64(
        choice([
          0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x0080_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x7F7F_FFFF,
          0xFF7F_FFFF, 0x3F80_0000, 0xBF80_0000, 0x4F00_0000, 0xCF00_0000, 0x4F80_0000,
        ]))
    case 1: return UInt64(UInt32(truncatingIfNeeded: bits()))
    case 2: return UInt64(Float(integer(-300...300)).bitPattern)
    default: return UInt64(Float(uniform(-4...4)).bitPattern)
    }
  }

  mutating func double() -> UInt64 {
    switch integer(0...4) {
    case 0:
      return choice([
        0, 1 << 63, 1, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF,
        0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000,
      ])
    case 1: return UInt64(bitPattern: bits())
    default: return uniform(-4...4).bitPattern
    }
  }

  mutating func operands(_ count: Int, _ make: (inout RandomCase) -> Operands) -> [Operands] {
    (0..<count).map { _ in make(&self) }
  }
}
