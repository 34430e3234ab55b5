// Products with weights in blocks: one token, where reading the weights is all, and a prompt, where multiplying is.
//
// Invariant: the weights of one token are several times larger than a last-level cache.

internal import CKernels
internal import CPUBackend
internal import Tensors

extension KernelBenchmark {
  /// Every format; rows of x, rows of weights, columns.
  static var blocks: [KernelBenchmark] {
    let formats: [BlockFormat] = [
      .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS, .mxfp4, .int4(group: 32),
      .int4(group: 128), .int8(group: 128), .int8(group: nil), .nf4, .fp8E4M3(group: 128),
    ]
    return formats.flatMap { format in
      [(1, 65536, 2048), (4, 65536, 2048), (128, 5632, 2048), (512, 5632, 2048)].map { block($0.0, $0.1, $0.2, format) }
    }
  }

  private static func block(_ m: Int, _ n: Int, _ k: Int, _ format: BlockFormat) -> KernelBenchmark {
    let rowBytes = format.rowBytes(columns: k)!
    return KernelBenchmark(
      name: "blocks", type: format.isInteger ? CK_I8 : CK_F32, shape: "\(m)x\(n)x\(k)", variant: format.name,
      operations: 2 * Double(m) * Double(n) * Double(k), bytes: Double(n * rowBytes + 4 * m * (n + k)), traffic: .read
    ) { context in
      let x = Operand.normal(context, CK_F32, m * k)
      let blocks = Operand(CK_U8, n * rowBytes)
      // Scales of ordinary size in every format.
      blocks.pointer.initializeMemory(as: UInt8.self, repeating: 0x11, count: n * rowBytes)
      let y = Operand(CK_F32, m * n)
      var a = ck_block_matmul_arguments()
      a.format = format.kernels(columns: k)
      (a.type_x, a.type_y) = (CK_F32, CK_F32)
      (a.m, a.n, a.k) = (Int64(m), Int64(n), Int64(k))
      (a.ldx, a.ldy) = (a.k, a.n)
      a.x = UnsafeRawPointer(x.pointer)
      a.blocks = UnsafeRawPointer(blocks.pointer)
      a.y = y.pointer
      let scratch = Operand(scratch: ck_block_matmul_scratch(context, &a))
      return { withExtendedLifetime((x, blocks, y)) { ck_block_matmul(context, &a, scratch.pointer) } }
    }
  }
}
