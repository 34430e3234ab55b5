// A ladder of matrix products, from one thread an element to warp roles: what each step changes in the work of the chip, counted by
// the emulator, and which part of an H200 would then be the slowest.
//
//     swift run -c release ProductLadder            # all steps, 256 x 256 x 128
//     swift run -c release ProductLadder 512 512 256

import Emulator
import KernelLanguage

@main struct ProductLadder {
  static func main() throws {
    let given = CommandLine.arguments.dropFirst().compactMap { Int($0) }
    let shape = given.count == 3 ? Shape(m: given[0], n: given[1], k: given[2]) : Shape(m: 256, n: 256, k: 128)
    let operands = Operands(shape)
    let megaflops = 2 * Double(shape.m * shape.n * shape.k) / 1e6
    print("\(shape.m) x \(shape.n) x \(shape.k): y = a · bᵀ, bfloat16, sums in float32; per million operations\n")
    print(row(["step", "instructions", "L2 bytes", "shared passes", "binds", "error"]))
    for step in ladder {
      guard shape.m % step.tile.m == 0, shape.n % step.tile.n == 0, shape.k % step.tile.k == 0 else {
        print(row([step.name, "tiles of \(step.tile.m) x \(step.tile.n) x \(step.tile.k) do not fit the shape"]))
        continue
      }
      let (y, report) = try step.run(operands)
      let bytes = (report.globalLoadSectors + report.globalStoreSectors) * 32 + report.asynchronousBytes
      print(
        row([
          step.name, perMillion(report.warpInstructions, megaflops), perMillion(bytes, megaflops),
          perMillion(report.sharedPasses, megaflops), report.roofline(on: .h200).binding.rawValue,
          "\(operands.error(of: y))",
        ]))
    }
  }

  private static func perMillion(_ count: Int, _ megaflops: Double) -> String { "\(Int(Double(count) / megaflops))" }

  private static func row(_ cells: [String]) -> String {
    zip(cells, [28, 14, 12, 15, 16, 12]).map { $0 + String(repeating: " ", count: max(1, $1 - $0.count)) }.joined()
  }
}

extension Step {
  /// The product on an emulated GPU of the kernel's generation.
  func run(_ operands: Operands) throws -> (y: [Float], report: LaunchReport) {
    let gpu = EmulatedGPU(kernel.target == .sm90a ? .h200 : .a100)
    let shape = operands.shape
    let a = try gpu.allocate(operands.a.count * 2, name: "a")
    let b = try gpu.allocate(operands.b.count * 2, name: "b")
    let y = try gpu.allocate(shape.m * shape.n * 4, name: "y")
    try operands.a.withUnsafeBytes { try gpu.write($0, to: a) }
    try operands.b.withUnsafeBytes { try gpu.write($0, to: b) }
    let report = try gpu.launch(
      gpu.load(kernel.module), kernel.name, configuration(shape), arguments(shape, a: a, b: b, y: y))
    var result = [Float](repeating: 0, count: shape.m * shape.n)
    try result.withUnsafeMutableBytes { try gpu.read(y, into: $0) }
    return (result, report)
  }
}

/// Small whole numbers, whose products and sums are exact.
struct Operands {
  let shape: Shape
  /// Bits of bfloat16, row by row.
  let a: [UInt16]
  let b: [UInt16]

  init(_ shape: Shape) {
    self.shape = shape
    func values(_ count: Int, _ factor: Int) -> [UInt16] {
      (0..<count).map { UInt16(Float(($0 * factor + $0 / 7) % 9 - 4).bitPattern >> 16) }
    }
    (a, b) = (values(shape.m * shape.k, 5), values(shape.n * shape.k, 11))
  }

  /// The largest difference from the obvious sums, which is 0 where all is right.
  func error(of y: [Float]) -> Float {
    func number(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }
    var error: Float = 0
    for row in 0..<shape.m {
      for column in 0..<shape.n {
        var sum: Float = 0
        for i in 0..<shape.k { sum += number(a[row * shape.k + i]) * number(b[column * shape.k + i]) }
        error = max(error, abs(sum - y[row * shape.n + column]))
      }
    }
    return error
  }
}
