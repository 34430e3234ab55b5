import CKernels
import Tensors

/// Softmax, norms, rotary embedding, attention, cross-entropy and the optimizer.
extension Lowering {
  func softmax() -> Kernel {
    let (inputs, result, type) = (inputs, results[0], inputTypes[0].element.kernels)
    let (rows, width) = rows(inputTypes[0].shape)
    if case .softmax = op {
      return Kernel { frame in ck_softmax(frame.context, type, rows, width, frame[inputs[0]], frame[result]) }
    }
    return Kernel { frame in
      ck_softmax_backward(frame.context, type, rows, width, frame[inputs[0]], frame[inputs[1]], frame[result])
    }
  }

  /// The element type of a norm's weight and bias.
  private func weightType(_ norm: Norm) -> ck_type { (norm.weight ? inputTypes[1].element : .float32).kernels }

  func rmsNorm(_ norm: Norm) -> Kernel {
    let (inputs, results, type, weightType) = (inputs, results, inputTypes[0].element.kernels, weightType(norm))
    let (rows, width) = rows(inputTypes[0].shape)
    return Kernel { frame in
      ck_rms_norm(
        frame.context, type, weightType, rows, width, norm.epsilon, frame[inputs[0]],
        norm.weight ? frame[inputs[1]] : nil,
        frame[results[0]], frame[results[1]])
    }
  }

  func rmsNormGradient(_ norm: Norm) -> Kernel {
    let (inputs, results, type, weightType) = (inputs, results, inputTypes[0].element.kernels, weightType(norm))
    let (rows, width) = rows(inputTypes[0].shape)
    let next = norm.weight ? 2 : 1
    return Kernel(scratchBytes: ck_norm_backward_scratch(context, rows, width)) { frame in
      ck_rms_norm_backward(
        frame.context, type, weightType, rows, width, frame[inputs[0]], norm.weight ? frame[inputs[1]] : nil,
        frame[inputs[next]], frame[inputs[next + 1]], frame[results[0]], norm.weight ? frame[results[1]] : nil,
        frame.scratch)
    }
  }

  func layerNorm(_ norm: Norm) -> Kernel {
    let (inputs, results, type, weightType) = (inputs, results, inputTypes[0].element.kernels, weightType(norm))
    let (rows, width) = rows(inputTypes[0].shape)
    return Kernel { frame in
      ck_layer_norm(
        frame.context, type, weightType, rows, width, norm.epsilon, frame[inputs[0]],
        norm.weight ? frame[inputs[1]] : nil,
        norm.bias ? frame[inputs[2]] : nil, frame[results[0]], frame[results[1]], frame[results[2]])
    }
  }

  func layerNormGradient(_ norm: Norm) -> Kernel {
    let (inputs, results, type, weightType) = (inputs, results, inputTypes[0].element.kernels, weightType(norm))
    let (rows, width) = rows(inputTypes[0].shape)
    let next = norm.weight ? 2 : 1
    return Kernel(scratchBytes: ck_norm_backward_scratch(context, rows, width)) { frame in
      ck_layer_norm_backward(
        frame.context, type, weightType, rows, width, frame[inputs[0]], norm.weight ? frame[inputs[1]] : nil,
        frame[inputs[next]], frame[inputs[next + 1]], frame[inputs[next + 2]], frame[results[0]],
        norm.weight ? frame[results[1]] : nil, norm.bias ? frame[results[norm.weight ? 2 : 1]] : nil, frame.scratch)
    }
  }

  func rotary(_ rotary: Rotary) -> Kernel {
    let (inputs, result, x) = (inputs, results[0], inputTypes[0].shape)
    var arguments = ck_rotary_arguments()
    arguments.type = inputTypes[0].element.kernels
    arguments.batch = Int64(x[0])
    arguments.positions = Int64(x[1])
    arguments.heads = Int64(x[2])
    arguments.head_size = Int64(x[3])
    arguments.table_batch = inputTypes[1].shape.rank == 3 ? Int64(x[1] * x[3] / 2) : 0
    arguments.interleaved = rotary.interleaved
    arguments.inverse = rotary.inverse
    let prepared = arguments
    return Kernel { frame in
      var arguments = prepared
      arguments.x = UnsafeRawPointer(frame[inputs[0]])
      arguments.y = frame[result]
      arguments.cosines = UnsafePointer(frame[inputs[1]].assumingMemoryBound(to: Float.self))
      arguments.sines = UnsafePointer(frame[inputs[2]].assumingMemoryBound(to: Float.self))
      ck_rotary(frame.context, &arguments)
    }
  }

  // MARK: Attention

  func attention(_ attention: Attention) -> Kernel {
    var prepared = attentionArguments(attention)
    let scratch = ck_attention_scratch(context, &prepared)
    let (inputs, results, template) = (inputs, results, prepared)
    return Kernel(scratchBytes: scratch) { frame in
      var arguments = template
      Lowering.fill(&arguments, attention, inputs, frame)
      arguments.o = frame[results[0]]
      arguments.logsumexp = frame[results[1]].assumingMemoryBound(to: Float.self)
      ck_attention(frame.context, &arguments, frame.scratch)
    }
  }

  func attentionGradient(_ attention: Attention) -> Kernel {
    var prepared = attentionArguments(attention)
    // Sizes of scratch may depend on which gradients are wanted.
    if attention.sinks { prepared.d_sinks = UnsafeMutablePointer(bitPattern: 64) }
    let scratch = ck_attention_backward_scratch(context, &prepared)
    let (inputs, results, template) = (inputs, results, prepared)
    let next = 3 + (attention.segments ? 1 : 0) + (attention.sinks ? 1 : 0)
    return Kernel(scratchBytes: scratch) { frame in
      var arguments = template
      Lowering.fill(&arguments, attention, inputs, frame)
      arguments.o = frame[inputs[next]]
      arguments.logsumexp = frame[inputs[next + 1]].assumingMemoryBound(to: Float.self)
      arguments.d_o = UnsafeRawPointer(frame[inputs[next + 2]])
      arguments.d_q = frame[results[0]]
      arguments.d_k = frame[results[1]]
      arguments.d_v = frame[results[2]]
      if attention.sinks { arguments.d_sinks = frame[results[3]].assumingMemoryBound(to: Float.self) }
      ck_attention_backward(frame.context, &arguments, frame.scratch)
    }
  }

  private func attentionArguments(_ attention: Attention) -> ck_attention_arguments {
    let (q, k) = (inputTypes[0].shape, inputTypes[1].shape)
    var arguments = ck_attention_arguments()
    arguments.type = inputTypes[0].element.kernels
    arguments.batch = Int64(q[0])
    arguments.queries = Int64(q[1])
    arguments.heads = Int64(q[2])
    arguments.head_size = Int64(q[3])
    arguments.keys = Int64(k[1])
    arguments.kv_heads = Int64(k[2])
    arguments.scale = Float(attention.scale)
    arguments.causal = attention.causal
    arguments.window = Int64(attention.window ?? 0)
    arguments.softcap = Float(attention.softcap ?? 0)
    let (queryRow, keyRow) = (Int64(q[2] * q[3]), Int64(k[2] * k[3]))
    let (queryBatch, keyBatch) = (queryRow * Int64(q[1]), keyRow * Int64(k[1]))
    (arguments.q_row, arguments.q_batch) = (queryRow, queryBatch)
    (arguments.o_row, arguments.o_batch) = (queryRow, queryBatch)
    (arguments.do_row, arguments.do_batch) = (queryRow, queryBatch)
    (arguments.dq_row, arguments.dq_batch) = (queryRow, queryBatch)
    (arguments.k_row, arguments.k_batch) = (keyRow, keyBatch)
    (arguments.v_row, arguments.v_batch) = (keyRow, keyBatch)
    (arguments.dk_row, arguments.dk_batch) = (keyRow, keyBatch)
    (arguments.dv_row, arguments.dv_batch) = (keyRow, keyBatch)
    // How much scratch is needed depends on whether they are there.
    if attention.segments { arguments.segments = UnsafePointer(bitPattern: 64) }
    if attention.sinks { arguments.sinks = UnsafePointer(bitPattern: 64) }
    if attention.lengths { arguments.lengths = UnsafePointer(bitPattern: 64) }
    if attention.scales {
      (arguments.k_scales, arguments.v_scales) = (UnsafePointer(bitPattern: 64), UnsafePointer(bitPattern: 64))
    }
    return arguments
  }

  private static func fill(
    _ arguments: inout ck_attention_arguments, _ attention: Attention, _ inputs: [Program.Value], _ frame: Frame
  ) {
    arguments.q = UnsafeRawPointer(frame[inputs[0]])
    arguments.k = UnsafeRawPointer(frame[inputs[1]])
    arguments.v = UnsafeRawPointer(frame[inputs[2]])
    func pointer<T>(_ place: Int, _ type: T.Type) -> UnsafePointer<T> {
      UnsafePointer(frame[inputs[place]].assumingMemoryBound(to: type))
    }
    if let place = attention.segmentsIndex { arguments.segments = pointer(place, Int32.self) }
    if let place = attention.sinksIndex { arguments.sinks = pointer(place, Float.self) }
    if let place = attention.lengthsIndex { arguments.lengths = pointer(place, Int32.self) }
    if let place = attention.scalesIndex {
      arguments.k_scales = pointer(place, Float.self)
      arguments.v_scales = pointer(place + 1, Float.self)
    }
  }

  // MARK: Loss and optimizer

  func crossEntropy(_ options: LinearCrossEntropy) -> Kernel {
    let (x, weight) = (inputTypes[0].shape, inputTypes[1].shape)
    let placeholder = UnsafeMutableRawPointer(bitPattern: 64)!
    var arguments = ck_cross_entropy_arguments()
    arguments.type = inputTypes[0].element.kernels
    arguments.type_dx = arguments.type
    arguments.type_dw = options.weightGradientType.kernels
    arguments.rows = Int64(x[0])
    arguments.width = Int64(x[1])
    arguments.vocabulary = Int64(weight[0])
    arguments.softcap = Float(options.softcap ?? 0)
    var sized = arguments
    if options.loss { sized.loss = placeholder.assumingMemoryBound(to: Float.self) }
    if options.gradient {
      sized.d_loss = UnsafePointer(placeholder.assumingMemoryBound(to: Float.self))
      sized.dx = placeholder
      sized.dw = placeholder
    }
    let (inputs, results, template) = (inputs, results, arguments)
    return Kernel(scratchBytes: ck_cross_entropy_scratch(context, &sized)) { frame in
      var arguments = template
      arguments.x = UnsafeRawPointer(frame[inputs[0]])
      arguments.w = UnsafeRawPointer(frame[inputs[1]])
      arguments.targets = UnsafePointer(frame[inputs[2]].assumingMemoryBound(to: Int32.self))
      if options.loss { arguments.loss = frame[results[0]].assumingMemoryBound(to: Float.self) }
      if options.gradient {
        arguments.d_loss = UnsafePointer(frame[inputs[3]].assumingMemoryBound(to: Float.self))
        arguments.dx = frame[results[options.loss ? 1 : 0]]
        arguments.dw = frame[results[options.loss ? 2 : 1]]
      }
      ck_cross_entropy(frame.context, &arguments, frame.scratch)
    }
  }

  func adamW(_ options: AdamW) -> Kernel {
    let n = options.tensors
    let (inputs, results) = (inputs, results)
    let tensors = AdamWTensors(count: n)
    let bytes = (0..<n).map { inputTypes[4 + $0].bytes }
    var working: [Int: Program.Value] = [:]
    for i in 0..<n where options.working[i] { working[i] = results[3 * n + working.count] }
    for i in 0..<n {
      tensors[i].count = Int64(inputTypes[4 + i].shape.count)
      tensors[i].type_gradient = inputTypes[4 + n + i].element.kernels
      tensors[i].weight_decay = Float(options.weightDecay[i])
      tensors[i].rate_scale = Float(options.rateScale[i])
    }
    return Kernel { frame in
      for i in 0..<n {
        // Each state is updated where its result is to be; the plan makes that the input's own place where it can.
        for (result, input) in [(i, 4 + i), (n + i, 4 + 2 * n + i), (2 * n + i, 4 + 3 * n + i)]
        where frame[results[result]] != frame[inputs[input]] {
          frame[results[result]].copyMemory(from: frame[inputs[input]], byteCount: bytes[i])
        }
        tensors[i].parameter = frame[results[i]].assumingMemoryBound(to: Float.self)
        tensors[i].m = frame[results[n + i]].assumingMemoryBound(to: Float.self)
        tensors[i].v = frame[results[2 * n + i]].assumingMemoryBound(to: Float.self)
        tensors[i].gradient = UnsafeRawPointer(frame[inputs[4 + n + i]])
        tensors[i].working = working[i].map { frame[$0] }
      }
      let step = Double(frame[inputs[2]].load(as: Float.self))
      guard frame[inputs[3]].load(as: Bool.self) else {
        for (i, value) in working { round(frame, frame[results[i]], frame[value], Int(tensors[i].count)) }
        return
      }
      var arguments = ck_adamw_arguments()
      arguments.tensors = Int64(n)
      arguments.tensor = UnsafePointer(tensors.pointer)
      arguments.rate = frame[inputs[0]].load(as: Float.self)
      arguments.gradient_scale = frame[inputs[1]].load(as: Float.self)
      arguments.beta1 = Float(options.beta1)
      arguments.beta2 = Float(options.beta2)
      arguments.epsilon = Float(options.epsilon)
      arguments.correction1 = Float(1 - power(options.beta1, step))
      arguments.correction2 = Float(1 - power(options.beta2, step))
      ck_adamw(frame.context, &arguments)
    }
  }

  private func power(_ base: Double, _ exponent: Double) -> Double {
    var (result, factor, rest) = (1.0, base, Int(exponent))
    while rest > 0 {
      if rest & 1 == 1 { result *= factor }
      factor *= factor
      rest >>= 1
    }
    return result
  }

  /// float32 to bfloat16.
  private func round(_ frame: Frame, _ from: UnsafeMutableRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int) {
    var copy = ck_copy_arguments()
    copy.rank = 1
    copy.dimensions.0 = Int64(count)
    copy.input = UnsafeRawPointer(from)
    copy.input_type = CK_F32
    copy.input_strides.0 = 1
    copy.output = to
    copy.output_type = CK_BF16
    copy.output_strides.0 = 1
    ck_copy(frame.context, &copy)
  }
}

/// The kernel's table of tensors, kept for all runs.
private final class AdamWTensors {
  let pointer: UnsafeMutablePointer<ck_adamw_tensor>

  init(count: Int) {
    pointer = .allocate(capacity: count)
    pointer.initialize(repeating: ck_adamw_tensor(), count: count)
  }

  deinit { pointer.deallocate() }

  subscript(index: Int) -> ck_adamw_tensor {
    get { pointer[index] }
    _modify { yield &pointer[index] }
  }
}
