// The products that a transformer spends its time in: matrix products, attention, the last layer with its loss.
//
// Invariant: names, shapes, variants and the counting of operations are those of Scripts/peers/*.py.

internal import CKernels

extension KernelBenchmark {
  /// Squares, and the linear layers of GPT-2 124M over 1024 tokens: m, n, k.
  static var products: [KernelBenchmark] {
    let squares = [1024, 2048, 4096].map { ($0, $0, $0) }
    let layers = [
      (1024, 2304, 768), (1024, 768, 768), (1024, 3072, 768), (1024, 768, 3072), (1024, 50257, 768),
    ]
    var list: [KernelBenchmark] = []
    for type in [CK_F32, CK_BF16] {
      for (m, n, k) in squares { list.append(product(type, m, n, k, "forward")) }
      for (m, n, k) in layers {
        for variant in ["forward", "backward_input", "backward_weight"] { list.append(product(type, m, n, k, variant)) }
      }
    }
    for (m, n, k) in squares { list.append(product(CK_I8, m, n, k, "forward")) }
    return list
  }

  /// One of the three products of a linear layer with x: [m, k], w: [n, k], y: [m, n].
  private static func product(_ type: ck_type, _ m: Int, _ n: Int, _ k: Int, _ variant: String) -> KernelBenchmark {
    let size = Double(ck_type_size(type))
    let elements = Double(m) * Double(k) + Double(n) * Double(k) + Double(m) * Double(n)
    return KernelBenchmark(
      name: "matmul", type: type, shape: "\(m)x\(n)x\(k)", variant: variant,
      operations: 2 * Double(m) * Double(n) * Double(k), bytes: elements * size, traffic: .triad
    ) { context in
      var a = ck_matmul_arguments()
      a.type_a = type
      a.type_b = type
      a.type_c = type == CK_I8 ? CK_I32 : type
      a.batch = 1
      let first: (rows: Int, columns: Int)
      let second: (rows: Int, columns: Int)
      switch variant {
      case "forward":
        (a.m, a.n, a.k) = (Int64(m), Int64(n), Int64(k))
        (first, second) = ((m, k), (n, k))
        a.transpose_b = true
      case "backward_input":
        (a.m, a.n, a.k) = (Int64(m), Int64(k), Int64(n))
        (first, second) = ((m, n), (n, k))
      default:
        (a.m, a.n, a.k) = (Int64(n), Int64(k), Int64(m))
        (first, second) = ((m, n), (m, k))
        a.transpose_a = true
      }
      let left = Operand.normal(context, type, first.rows * first.columns, stream: 1)
      let right = Operand.normal(context, type, second.rows * second.columns, stream: 2)
      let result = Operand(a.type_c, Int(a.m * a.n))
      a.a = UnsafeRawPointer(left.pointer)
      a.b = UnsafeRawPointer(right.pointer)
      a.c = result.pointer
      (a.lda, a.ldb, a.ldc) = (Int64(first.columns), Int64(second.columns), a.n)
      let scratch = Operand(scratch: ck_matmul_scratch(context, &a))
      return {
        withExtendedLifetime((left, right, result)) { ck_matmul(context, &a, scratch.pointer) }
      }
    }
  }

  /// Causal attention of one sequence, heads of 64 and 128, as a model holds them.
  static var attentions: [KernelBenchmark] {
    var list: [KernelBenchmark] = []
    for type in [CK_F32, CK_BF16] {
      for length in [1024, 4096] {
        for (heads, size) in [(12, 64), (6, 128)] {
          list.append(attention(type, length, heads, size, backward: false))
          list.append(attention(type, length, heads, size, backward: true))
        }
      }
    }
    return list
  }

  private static func attention(
    _ type: ck_type, _ length: Int, _ heads: Int, _ size: Int, backward: Bool
  ) -> KernelBenchmark {
    let row = heads * size
    let count = length * row
    let forward = 2 * Double(heads) * Double(length) * Double(length) * Double(size)
    return KernelBenchmark(
      name: "attention", type: type, shape: "1x\(heads)x\(length)x\(size)",
      variant: backward ? "forward+backward" : "forward", operations: forward * (backward ? 3.5 : 1),
      bytes: Double(count) * Double(ck_type_size(type)) * (backward ? 12 : 4), traffic: .triad
    ) { context in
      let inputs = (0..<4).map { Operand.normal(context, type, count, stream: UInt64($0)) }
      let outputs = (0..<4).map { _ in Operand(type, count) }
      let sums = Operand(CK_F32, heads * length)
      var a = ck_attention_arguments()
      a.type = type
      (a.batch, a.queries, a.keys) = (1, Int64(length), Int64(length))
      (a.heads, a.kv_heads, a.head_size) = (Int64(heads), Int64(heads), Int64(size))
      a.scale = 1 / Float(size).squareRoot()
      a.causal = true
      (a.q, a.k, a.v) = (
        UnsafeRawPointer(inputs[0].pointer), UnsafeRawPointer(inputs[1].pointer), UnsafeRawPointer(inputs[2].pointer)
      )
      a.d_o = UnsafeRawPointer(inputs[3].pointer)
      (a.o, a.d_q, a.d_k, a.d_v) = (outputs[0].pointer, outputs[1].pointer, outputs[2].pointer, outputs[3].pointer)
      a.logsumexp = sums.floats()
      let step = Int64(row)
      (a.q_row, a.k_row, a.v_row, a.o_row, a.do_row) = (step, step, step, step, step)
      (a.dq_row, a.dk_row, a.dv_row) = (step, step, step)
      let all = Int64(count)
      (a.q_batch, a.k_batch, a.v_batch, a.o_batch, a.do_batch) = (all, all, all, all, all)
      (a.dq_batch, a.dk_batch, a.dv_batch) = (all, all, all)
      let bytes = max(ck_attention_scratch(context, &a), backward ? ck_attention_backward_scratch(context, &a) : 0)
      let scratch = Operand(scratch: bytes)
      return {
        withExtendedLifetime((inputs, outputs, sums)) {
          ck_attention(context, &a, scratch.pointer)
          if backward { ck_attention_backward(context, &a, scratch.pointer) }
        }
      }
    }
  }

  /// The last layer of GPT-2 124M with its loss and gradients, over 1024 tokens.
  static var crossEntropies: [KernelBenchmark] {
    let (rows, width, vocabulary) = (1024, 768, 50257)
    return [CK_F32, CK_BF16].map { type in
      let elements = 2 * Double(rows * width) + 2 * Double(vocabulary * width)
      return KernelBenchmark(
        name: "crossentropy", type: type, shape: "\(rows)x\(width)x\(vocabulary)", variant: "forward+backward",
        operations: 6 * Double(rows) * Double(width) * Double(vocabulary),
        bytes: elements * Double(ck_type_size(type)), traffic: .triad
      ) { context in
        let x = Operand.normal(context, type, rows * width)
        let w = Operand.normal(context, type, vocabulary * width, scale: 0.02, stream: 1)
        let (dx, dw) = (Operand(type, rows * width), Operand(type, vocabulary * width))
        let targets = Operand.indices(rows, below: vocabulary)
        let (loss, sums) = (Operand(CK_F32, rows), Operand(CK_F32, rows))
        let share = Operand(CK_F32, rows)
        for row in 0..<rows { share.floats()[row] = 1 / Float(rows) }
        var a = ck_cross_entropy_arguments()
        (a.type, a.type_dx, a.type_dw) = (type, type, type)
        (a.rows, a.width, a.vocabulary) = (Int64(rows), Int64(width), Int64(vocabulary))
        (a.x, a.w) = (UnsafeRawPointer(x.pointer), UnsafeRawPointer(w.pointer))
        a.targets = UnsafePointer(targets.pointer.assumingMemoryBound(to: Int32.self))
        (a.loss, a.logsumexp) = (loss.floats(), sums.floats())
        a.d_loss = UnsafePointer(share.floats())
        (a.dx, a.dw) = (dx.pointer, dw.pointer)
        let scratch = Operand(scratch: ck_cross_entropy_scratch(context, &a))
        return {
          withExtendedLifetime((x, w, dx, dw, targets, loss, sums, share)) {
            ck_cross_entropy(context, &a, scratch.pointer)
          }
        }
      }
    }
  }
}
