// Rounding to nearest: the bits of llama.cpp where there is one rule, and small errors everywhere.

import CPUBackend
import Core
import Quantization
import Tensors
import Testing

@Suite struct BlockEncoderTests {
  private func hexadecimal(_ name: String) throws -> [UInt8] {
    let path = Checkpoint.fixtures + "/blocks.json"
    let file = try MappedFile(path: path)
    let text = Array(try withExtendedLifetime(file) { try JSONValue(parsing: file.bytes) }[name]!.string!.utf8)
    return stride(from: 0, to: text.count, by: 2).map {
      UInt8(String(decoding: text[$0..<($0 + 2)], as: UTF8.self), radix: 16)!
    }
  }

  @Test(arguments: [
    ("Q4_0", BlockFormat.q40), ("Q4_1", .q41), ("Q5_0", .q50), ("Q5_1", .q51), ("Q8_0", .q80), ("MXFP4", .mxfp4),
  ])
  func bitsAreThoseOfLlama(name: String, format: BlockFormat) throws {
    let values = try hexadecimal("values").withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    let expected = try hexadecimal(name)
    let blocks = values.withUnsafeBufferPointer { BlockEncoder.blocks(of: $0, rows: 1, columns: 512, format) }
    #expect(blocks.integers.map { UInt8($0) } == expected)
  }

  /// Mean squared errors of normal numbers, relative to their variance.
  @Test(arguments: [
    (BlockFormat.q40, 0.0085), (.q41, 0.0075), (.q50, 0.0022), (.q51, 0.0018), (.q80, 4e-5), (.q2K, 0.1), (.q3K, 0.03),
    (.q4K, 0.0062),
    (.q5K, 0.0016), (.q6K, 5e-4), (.iq4NL, 0.0065), (.mxfp4, 0.02), (.int4(group: 32), 0.0085),
    (.int4(group: nil), 0.018), (.int8(group: 128), 6e-5), (.nf4, 0.0095), (.fp8E4M3(group: nil), 0.001),
  ])
  func errorsAreSmall(format: BlockFormat, bound: Double) throws {
    var random = RandomSequence(seed: 7)
    // Nearly normal: sums of twelve.
    let values: [Float] = (0..<2048).map { _ in
      var sum: Float = -6
      for _ in 0..<12 { sum += Float.random(in: 0..<1, using: &random) }
      return sum
    }
    let blocks = values.withUnsafeBufferPointer { BlockEncoder.blocks(of: $0, rows: 4, columns: 512, format) }
    let back = try CPUBackend(threads: 1).compile(
      Program(inputs: [], outputs: [Tensor(blocks).dequantized(format)])
    ).run([])[0].floats
    var (error, variance) = (0.0, 0.0)
    for (value, found) in zip(values, back) {
      error += Double((value - found) * (value - found))
      variance += Double(value * value)
    }
    #expect(error / variance < bound, "\(format.name): \(error / variance)")
    #expect(error > 0)
  }

  @Test func zerosStayZeros() throws {
    for format: BlockFormat in [.q40, .q41, .q80, .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .mxfp4, .int4(group: 32), .nf4]
    {
      let zeros = [Float](repeating: 0, count: 256)
      let blocks = zeros.withUnsafeBufferPointer { BlockEncoder.blocks(of: $0, rows: 1, columns: 256, format) }
      let back = try CPUBackend(threads: 1).compile(
        Program(inputs: [], outputs: [Tensor(blocks).dequantized(format)])
      ).run([])[0].floats
      #expect(back.allSatisfy { $0 == 0 }, "\(format.name)")
    }
  }
}
