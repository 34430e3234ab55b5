import CKernels
import Tensors

/// From one instruction to a call of a C kernel: shapes become sizes and strides once, pointers are filled in at each run.
///
/// The exhaustive switch is the backend's list of operations; families of them are lowered in the files beside this one.
struct Lowering {
  let op: Op
  let inputs: [Program.Value]
  let results: [Program.Value]
  let inputTypes: [TensorType]
  let resultTypes: [TensorType]
  let places: [MemoryPlan.Place]
  let context: UnsafePointer<ck_context>

  func kernel() -> Kernel {
    switch op {
    case .input, .constant(.data): preconditionFailure("\(op.name) is not computed")
    case .constant(.fill(let scalar, _)): return fill(scalar)
    case .iota(_, let axis): return iota(axis)
    case .random(let distribution, let type, let stream): return random(distribution, type, stream)
    case .unary, .binary, .compare, .select, .cast, .activationGradient:
      return elementwise(Fusion(single: op, inputs: inputTypes, result: resultTypes[0]))
    case .fused(let fusion): return elementwise(fusion)
    case .reduce(let reduction, let axes, _): return reduce(reduction, axes)
    case .argMax(let axis): return argMax(axis)
    case .cumulativeSum(let axis, let reverse, let exclusive): return cumulativeSum(axis, reverse, exclusive)
    case .topK(let k): return topK(k)
    case .sort(let descending): return sort(descending)
    case .reshape: return reshape()
    case .broadcast: return copy(strides: inputTypes[0].shape.strides(broadcastTo: resultTypes[0].shape))
    case .permute(let axes):
      let strides = inputTypes[0].shape.strides
      return copy(strides: axes.map { strides[$0] })
    case .slice(let slices): return slice(slices)
    case .pad(let paddings): return pad(paddings)
    case .concatenate(let axis): return concatenate(axis)
    case .split(let axis, _): return split(axis)
    case .gather(let axis): return gather(axis)
    case .scatterAdd(let axis, let entries, _): return scatterAdd(axis, entries)
    case .update(let axis): return update(axis)
    case .take: return take()
    case .takeAdd(let entries): return takeAdd(entries)
    case .matmul(let matmul): return product(matmul)
    case .dequantize(let format, _): return dequantize(format)
    case .blockMatmul(let matmul): return blockProduct(matmul)
    case .blockMatmuls(let products): return blockProducts(products)
    case .groupedMatmul(let grouped): return groupedMatmul(grouped)
    case .groupedOuter: return groupedOuter()
    case .softmax, .softmaxGradient: return softmax()
    case .rmsNorm(let norm): return rmsNorm(norm)
    case .rmsNormGradient(let norm): return rmsNormGradient(norm)
    case .layerNorm(let norm): return layerNorm(norm)
    case .layerNormGradient(let norm): return layerNormGradient(norm)
    case .rotary(let rotary): return self.rotary(rotary)
    case .attention(let attention): return self.attention(attention)
    case .pagedAttention(let paged): return pagedAttention(paged)
    case .attentionGradient(let attention): return attentionGradient(attention)
    case .linearCrossEntropy(let options): return crossEntropy(options)
    case .adamW(let adamW): return self.adamW(adamW)
    case .custom(let custom): return self.custom(custom)
    }
  }

  /// Elements before, along and after `axis`.
  func sizes(_ shape: Shape, around axis: Int) -> (outer: Int, count: Int, inner: Int) {
    (shape.dimensions[..<axis].reduce(1, *), shape[axis], shape.dimensions[(axis + 1)...].reduce(1, *))
  }

  /// Rows along the last axis and their width.
  func rows(_ shape: Shape) -> (rows: Int64, width: Int64) {
    (Int64(shape.dimensions.dropLast().reduce(1, *)), Int64(shape[-1]))
  }

  private func custom(_ custom: CustomOp) -> Kernel {
    let (inputs, results, inputTypes, resultTypes) = (inputs, results, inputTypes, resultTypes)
    return Kernel { frame in
      let owner = FrameOwner()
      custom.kernel(
        zip(inputs, inputTypes).map { TensorData($1, pointer: frame[$0], owner: owner) },
        zip(results, resultTypes).map { TensorData($1, pointer: frame[$0], owner: owner) })
    }
  }

  private final class FrameOwner {}
}

extension ElementType {
  var kernels: ck_type { ck_type(UInt32(rawValue)) }
}

extension Fusion {
  /// One operation as an expression.
  init(single op: Op, inputs: [TensorType], result: TensorType) {
    let step = Step(op: op, operands: inputs.indices.map { .input($0) }, type: result.element)
    self.init(steps: [step], shape: result.shape)
  }
}
