// The products of writing one token: those of enough layers for their weights not to stay in a cache, one after another, as a
// model runs them. Next to a plain pass over memory, which is the roof.
//
// Invariant: a layer is that of Llama's architecture: queries, keys and values; output; gate and up; down.

internal import CKernels
internal import CPUBackend
internal import Tensors

extension KernelBenchmark {
  /// By width of the model, in the forms that models are mostly kept in; the shape is width x hidden x layers.
  static var decoding: [KernelBenchmark] {
    [(768, 256, 2048, 24), (2048, 256, 5632, 6)].flatMap { width, keys, hidden, layers in
      let layer = [
        Siblings(k: width, outputs: [width, keys, keys]), Siblings(k: width, outputs: [width]),
        Siblings(k: width, outputs: [hidden, hidden]), Siblings(k: hidden, outputs: [width]),
      ]
      let all = Array(repeating: layer, count: layers).flatMap(\.self)
      let shape = "\(width)x\(hidden)x\(layers)"
      return [decode(all, shape, nil)] + [BlockFormat.q80, .q40, .q4K, .q6K].map { decode(all, shape, $0) }
    }
  }

  /// Products of one x.
  private struct Siblings {
    var k: Int
    var outputs: [Int]
  }

  /// - Parameter format: of the weights; bfloat16 if nil.
  private static func decode(_ products: [Siblings], _ shape: String, _ format: BlockFormat?) -> KernelBenchmark {
    func rowBytes(_ k: Int) -> Int { format?.rowBytes(columns: k) ?? 2 * k }
    let total = products.reduce(0) { $0 + $1.outputs.reduce(0, +) * rowBytes($1.k) }
    let elements = products.reduce(0.0) { $0 + Double($1.outputs.reduce(0, +) * $1.k) }
    return KernelBenchmark(
      name: "decode", type: format == nil ? CK_BF16 : CK_I8, shape: shape, variant: format?.name ?? "bf16",
      operations: 2 * elements, bytes: Double(total), traffic: .read
    ) { context in
      let weights = Operand(CK_U8, total)
      // Numbers of ordinary size in every format.
      weights.pointer.initializeMemory(as: UInt8.self, repeating: 0x11, count: total)
      let (x, y) = (Operand(CK_F32, 8192), Operand(CK_F32, 8192))
      var calls: [(UnsafeMutableRawPointer) -> Void] = []
      var (offset, scratchBytes) = (0, 0)
      for siblings in products {
        let k = siblings.k
        if let format {
          let prepared = siblings.outputs.map { n in
            var a = ck_block_matmul_arguments()
            a.format = format.kernels(columns: k)
            (a.type_x, a.type_y) = (CK_F32, CK_F32)
            (a.m, a.n, a.k) = (1, Int64(n), Int64(k))
            (a.ldx, a.ldy) = (a.k, a.n)
            (a.x, a.y) = (UnsafeRawPointer(x.pointer), y.pointer)
            a.blocks = UnsafeRawPointer(weights.pointer + offset)
            offset += n * rowBytes(k)
            return a
          }
          let count = Int64(prepared.count)
          scratchBytes = max(scratchBytes, ck_block_matmuls_scratch(context, count, prepared))
          calls.append { ck_block_matmuls(context, count, prepared, $0) }
          continue
        }
        for n in siblings.outputs {
          var a = ck_matmul_arguments()
          (a.type_a, a.type_b, a.type_c) = (CK_BF16, CK_BF16, CK_BF16)
          (a.batch, a.m, a.n, a.k) = (1, 1, Int64(n), Int64(k))
          (a.lda, a.ldb, a.ldc) = (a.k, a.k, a.n)
          a.transpose_b = true
          (a.a, a.c) = (UnsafeRawPointer(x.pointer), y.pointer)
          a.b = UnsafeRawPointer(weights.pointer + offset)
          offset += n * rowBytes(k)
          scratchBytes = max(scratchBytes, ck_matmul_scratch(context, &a))
          let prepared = a
          calls.append { scratch in
            var a = prepared
            ck_matmul(context, &a, scratch)
          }
        }
      }
      let scratch = Operand(scratch: scratchBytes)
      return {
        withExtendedLifetime((weights, x, y)) {
          for call in calls { call(scratch.pointer) }
        }
      }
    }
  }
}
