// From one instruction to the launches that compute it.

internal import KernelLanguage
internal import Tensors

/// Shapes become kernels and grids once; addresses are filled in at each run.
///
/// The exhaustive switch is the backend's list of operations; families of them are lowered beside their kernels.
struct Lowering {
  let op: Op
  let inputs: [Program.Value]
  let results: [Program.Value]
  let inputTypes: [TensorType]
  let resultTypes: [TensorType]
  let kernels: KernelCache
  private(set) var steps: [Step] = []
  private(set) var scratchBytes = 0

  init(
    op: Op, inputs: [Program.Value], results: [Program.Value], inputTypes: [TensorType], resultTypes: [TensorType],
    kernels: KernelCache
  ) {
    (self.op, self.inputs, self.results) = (op, inputs, results)
    (self.inputTypes, self.resultTypes, self.kernels) = (inputTypes, resultTypes, kernels)
  }

  mutating func lower() throws {
    switch op {
    case .input, .constant(.data): preconditionFailure("\(op.name) is not computed")
    case .constant(.fill), .unary, .binary, .compare, .select, .cast, .activationGradient:
      try elementwise(Fusion(single: op, inputs: inputTypes, result: resultTypes[0]))
    case .fused(let fusion): try elementwise(fusion)
    case .iota(_, let axis): try iota(axis)
    case .random(let distribution, _, let stream): try random(distribution, stream)
    case .reduce(let reduction, let axes, _): try reduce(reduction, axes)
    case .argMax(let axis): try argMax(axis)
    case .cumulativeSum(let axis, let reverse, let exclusive): try cumulativeSum(axis, reverse, exclusive)
    case .topK(let k): try ordered(keeping: k, descending: true)
    case .sort(let descending): try ordered(keeping: inputTypes[0].shape[-1], descending: descending)
    case .reshape: copyStep(from: .value(inputs[0]), to: .value(results[0]), bytes: resultTypes[0].bytes)
    case .broadcast: try copy(strides: inputTypes[0].shape.strides(broadcastTo: resultTypes[0].shape))
    case .permute(let axes): try permute(axes)
    case .slice(let slices): try slice(slices)
    case .pad(let paddings): try pad(paddings)
    case .concatenate(let axis): try concatenate(axis)
    case .split(let axis, _): try split(axis)
    case .gather(let axis): try gather(axis)
    case .scatterAdd(let axis, let entries, _): try scatterAdd(axis, entries)
    case .update(let axis): try update(axis)
    case .take: try take()
    case .takeAdd(let entries): try takeAdd(entries)
    case .matmul(let matmul): try product(matmul)
    case .dequantize(let format, _): try dequantize(format)
    case .blockMatmul(let matmul): try blockProducts([matmul])
    case .blockMatmuls(let products): try blockProducts(products)
    case .groupedMatmul(let grouped): try groupedMatmul(grouped)
    case .groupedOuter: try groupedOuter()
    case .softmax: try softmax()
    case .softmaxGradient: try softmaxGradient()
    case .rmsNorm(let norm): try rmsNorm(norm)
    case .rmsNormGradient(let norm): try rmsNormGradient(norm)
    case .layerNorm(let norm): try layerNorm(norm)
    case .layerNormGradient(let norm): try layerNormGradient(norm)
    case .rotary(let rotary): try self.rotary(rotary)
    case .attention(let attention): try self.attention(attention)
    case .pagedAttention(let paged): try pagedAttention(paged)
    case .attentionGradient(let attention): try attentionGradient(attention)
    case .linearCrossEntropy(let options): try crossEntropy(options)
    case .adamW(let adamW): try self.adamW(adamW)
    case .custom(let custom): append(.host(custom))
    }
  }

  // MARK: Steps

  mutating func append(_ step: Step) { steps.append(step) }

  mutating func copyStep(from source: Operand, to target: Operand, bytes: Int) {
    append(.copy(from: source, to: target, bytes: bytes))
  }

  mutating func launch(_ source: some KernelSource, grid: Extent, threads: Int, _ operands: [Operand]) throws {
    let kernel = try kernels.load(source)
    let configuration = LaunchConfiguration(
      grid: grid, block: Extent(threads), dynamicSharedBytes: kernel.sharedBytes)
    append(.launch(kernel, configuration, operands))
  }

  /// Room for intermediate results of this instruction, 256-byte aligned.
  mutating func scratch(_ bytes: Int) -> Operand {
    defer { scratchBytes += (bytes + 255) & ~255 }
    return .scratch(scratchBytes)
  }

  // MARK: Shapes

  /// Elements before, along and after `axis`.
  func sizes(_ shape: Shape, around axis: Int) -> (outer: Int, count: Int, inner: Int) {
    (shape.dimensions[..<axis].reduce(1, *), shape[axis], shape.dimensions[(axis + 1)...].reduce(1, *))
  }

  /// Rows along the last axis and their width.
  func rows(_ shape: Shape) -> (rows: Int, width: Int) { (shape.dimensions.dropLast().reduce(1, *), shape[-1]) }

  func unsupported(_ what: String) -> GPUError { GPUError(.unsupported, "\(op.name) does not run on a GPU: \(what)") }
}
