// The kernels that only move bytes: norms, softmax, activations, rotary embedding, casts, gathers, the optimizer.
//
// Invariant: names, shapes, variants and the counting of bytes are those of Scripts/peers/*.py; 1024 x 768 stays in the
// caches, 16384 x 768 comes from memory.

internal import CKernels

extension KernelBenchmark {
  static var rowKernels: [KernelBenchmark] {
    var list: [KernelBenchmark] = []
    for type in [CK_F32, CK_BF16] {
      for rows in [1024, 16384] {
        list += [norm(type, rows, rms: true, backward: false), norm(type, rows, rms: true, backward: true)]
        list += [norm(type, rows, rms: false, backward: false), norm(type, rows, rms: false, backward: true)]
        list += [softmax(type, rows, backward: false), softmax(type, rows, backward: true)]
        list += [gelu(type, rows, backward: false), gelu(type, rows, backward: true)]
        list += [rotary(type, rows), gather(type, rows)]
      }
    }
    return list + [1024, 16384].map(cast)
  }

  private static let width = 768

  /// A kernel over rows, with what `count` elements of `type` cost: `inputs` read, one written.
  private static func overRows(
    _ name: String, _ type: ck_type, _ rows: Int, _ variant: String, inputs: Int,
    prepare: @escaping (UnsafePointer<ck_context>, _ count: Int) -> () -> Void
  ) -> KernelBenchmark {
    let count = rows * width
    return KernelBenchmark(
      name: name, type: type, shape: "\(rows)x\(width)", variant: variant,
      bytes: Double(count * (inputs + 1)) * Double(ck_type_size(type)), traffic: inputs == 1 ? .copy : .triad
    ) { prepare($0, count) }
  }

  private static func norm(_ type: ck_type, _ rows: Int, rms: Bool, backward: Bool) -> KernelBenchmark {
    overRows(
      rms ? "rms_norm" : "layer_norm", type, rows, backward ? "backward" : "forward", inputs: backward ? 2 : 1
    ) { context, count in
      let (x, dy) = (Operand.normal(context, type, count), Operand.normal(context, type, count, stream: 1))
      let (weight, bias) = (Operand.normal(context, type, width, stream: 2), Operand.normal(context, type, width))
      let (y, dx) = (Operand(type, count), Operand(type, count))
      let (mean, scale) = (Operand(CK_F32, rows), Operand(CK_F32, rows))
      let (dWeight, dBias) = (Operand(type, width), Operand(type, width))
      let scratch = Operand(scratch: ck_norm_backward_scratch(context, Int64(rows), Int64(width)))
      func forward() {
        if rms {
          ck_rms_norm(
            context, type, type, Int64(rows), Int64(width), 1e-5, x.pointer, weight.pointer, y.pointer, scale.pointer)
        } else {
          ck_layer_norm(
            context, type, type, Int64(rows), Int64(width), 1e-5, x.pointer, weight.pointer, bias.pointer, y.pointer,
            mean.pointer, scale.pointer)
        }
      }
      guard backward else { return forward }
      forward()
      return {
        if rms {
          ck_rms_norm_backward(
            context, type, type, Int64(rows), Int64(width), x.pointer, weight.pointer, scale.pointer, dy.pointer,
            dx.pointer, dWeight.pointer, scratch.pointer)
        } else {
          ck_layer_norm_backward(
            context, type, type, Int64(rows), Int64(width), x.pointer, weight.pointer, mean.pointer, scale.pointer,
            dy.pointer, dx.pointer, dWeight.pointer, dBias.pointer, scratch.pointer)
        }
      }
    }
  }

  private static func softmax(_ type: ck_type, _ rows: Int, backward: Bool) -> KernelBenchmark {
    overRows("softmax", type, rows, backward ? "backward" : "forward", inputs: backward ? 2 : 1) { context, count in
      let x = Operand.normal(context, type, count)
      let (y, dx) = (Operand(type, count), Operand(type, count))
      if !backward { return { ck_softmax(context, type, Int64(rows), Int64(width), x.pointer, y.pointer) } }
      ck_softmax(context, type, Int64(rows), Int64(width), x.pointer, y.pointer)
      return { ck_softmax_backward(context, type, Int64(rows), Int64(width), y.pointer, x.pointer, dx.pointer) }
    }
  }

  /// By the fused elementwise kernel, as in a program.
  private static func gelu(_ type: ck_type, _ rows: Int, backward: Bool) -> KernelBenchmark {
    overRows("gelu", type, rows, backward ? "backward" : "forward", inputs: backward ? 2 : 1) { context, count in
      let (x, dy) = (Operand.normal(context, type, count), Operand.normal(context, type, count, stream: 1))
      let y = Operand(type, count)
      var program = FusedProgram()
      let argument = program.load()
      if backward {
        let gradient = program.load()
        program.store(program.binary(CK_GRAD_GELU_TANH, argument, gradient))
      } else {
        program.store(program.unary(CK_UNARY_GELU_TANH, argument))
      }
      let inputs = backward ? [(x, type), (dy, type)] : [(x, type)]
      return { [program] in program.run(context, count: count, inputs: inputs, outputs: [(y, type)]) }
    }
  }

  private static func rotary(_ type: ck_type, _ rows: Int) -> KernelBenchmark {
    overRows("rotary", type, rows, "forward", inputs: 1) { context, count in
      let size = 64
      let (x, y) = (Operand.normal(context, type, count), Operand(type, count))
      let tables = (0..<2).map { Operand.normal(context, CK_F32, rows * size / 2, stream: UInt64($0)) }
      var a = ck_rotary_arguments()
      a.type = type
      (a.batch, a.positions, a.heads, a.head_size) = (1, Int64(rows), Int64(width / size), Int64(size))
      (a.x, a.y) = (UnsafeRawPointer(x.pointer), y.pointer)
      (a.cosines, a.sines) = (UnsafePointer(tables[0].floats()), UnsafePointer(tables[1].floats()))
      return { withExtendedLifetime((x, y, tables)) { ck_rotary(context, &a) } }
    }
  }

  /// Rows of an embedding table.
  private static func gather(_ type: ck_type, _ rows: Int) -> KernelBenchmark {
    overRows("gather", type, rows, "forward", inputs: 1) { context, count in
      let entries = 50257
      let (table, y) = (Operand.normal(context, type, entries * width), Operand(type, count))
      let indices = Operand.indices(rows, below: entries)
      return {
        ck_gather(
          context, type, CK_I32, 1, Int64(entries), Int64(rows), Int64(width), table.pointer, indices.pointer,
          y.pointer)
      }
    }
  }

  /// f32 to bf16.
  private static func cast(_ rows: Int) -> KernelBenchmark {
    let count = rows * width
    return KernelBenchmark(
      name: "cast", type: CK_F32, shape: "\(rows)x\(width)", variant: "to bf16", bytes: Double(6 * count)
    ) { context in
      let (x, y) = (Operand.normal(context, CK_F32, count), Operand(CK_BF16, count))
      var program = FusedProgram()
      program.store(program.load())
      return { [program] in program.run(context, count: count, inputs: [(x, CK_F32)], outputs: [(y, CK_BF16)]) }
    }
  }

  /// AdamW over the tensors of GPT-2 124M.
  static var optimizers: [KernelBenchmark] {
    let (width, layers) = (768, 12)
    let block = [
      width, width, 3 * width * width, 3 * width, width * width, width, width, width, 4 * width * width, 4 * width,
      4 * width * width, width,
    ]
    let counts = [50257 * width, 1024 * width, width, width] + Array(repeating: block, count: layers).flatMap { $0 }
    let total = counts.reduce(0, +)
    return [
      KernelBenchmark(
        name: "adamw", type: CK_F32, shape: "\(total)", variant: "step", bytes: 28 * Double(total), traffic: .update
      ) { context in
        var operands: [Operand] = []
        let tensors = UnsafeMutablePointer<ck_adamw_tensor>.allocate(capacity: counts.count)
        for (index, count) in counts.enumerated() {
          let parameter = Operand.normal(context, CK_F32, count, scale: 0.02, stream: UInt64(2 * index))
          let gradient = Operand.normal(context, CK_F32, count, stream: UInt64(2 * index + 1))
          let (m, v) = (Operand(CK_F32, count), Operand(CK_F32, count))
          operands += [parameter, gradient, m, v]
          tensors[index] = ck_adamw_tensor(
            count: Int64(count), parameter: parameter.floats(), m: m.floats(), v: v.floats(),
            gradient: gradient.pointer, type_gradient: CK_F32, working: nil, weight_decay: 0.1, rate_scale: 1)
        }
        let list = TensorList(tensors)
        var a = ck_adamw_arguments()
        a.tensors = Int64(counts.count)
        a.tensor = UnsafePointer(list.tensors)
        (a.rate, a.beta1, a.beta2, a.epsilon, a.gradient_scale) = (1e-4, 0.9, 0.95, 1e-8, 1)
        (a.correction1, a.correction2) = (0.1, 0.05)
        return { [operands] in withExtendedLifetime((operands, list)) { ck_adamw(context, &a) } }
      }
    ]
  }

  /// The argument of the optimizer, freed with the closure that uses it.
  private final class TensorList {
    let tensors: UnsafeMutablePointer<ck_adamw_tensor>
    init(_ tensors: UnsafeMutablePointer<ck_adamw_tensor>) { self.tensors = tensors }
    deinit { tensors.deallocate() }
  }
}
