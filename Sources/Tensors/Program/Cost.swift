/// What an operation does and moves at the least: the numbers behind every claim of speed, and the planner's input.
public struct Cost: Hashable, Sendable {
  /// Floating-point operations; a fused multiply-add counts as two, an exponential or the like as one.
  public var flops: Double
  /// Bytes read and written if every operand passes through memory once.
  public var bytes: Double

  public init(flops: Double = 0, bytes: Double = 0) {
    self.flops = flops
    self.bytes = bytes
  }

  public static func + (a: Cost, b: Cost) -> Cost { Cost(flops: a.flops + b.flops, bytes: a.bytes + b.bytes) }
}

extension Program {
  /// The cost of one instruction at the largest extent.
  public func cost(of instruction: Instruction) -> Cost {
    instruction.op.cost(inputs: instruction.inputs.map { types[$0] }, results: instruction.results.map { types[$0] })
  }

  /// The cost of a run at the largest extent, constants left out.
  public var cost: Cost { instructions[constantCount...].reduce(Cost()) { $0 + cost(of: $1) } }
}

extension Op {
  public func cost(inputs: [TensorType], results: [TensorType]) -> Cost {
    let bytes = Double((inputs + results).reduce(0) { $0 + $1.bytes })
    let elements = Double(results.first?.shape.count ?? 0)
    let read = Double(inputs.first?.shape.count ?? 0)
    switch self {
    case .input, .constant, .reshape: return Cost()
    case .iota, .broadcast, .permute, .slice, .pad, .concatenate, .split, .take: return Cost(bytes: bytes)
    case .random: return Cost(flops: 10 * elements, bytes: bytes)
    case .unary, .binary, .compare, .select, .cast: return Cost(flops: elements, bytes: bytes)
    case .activationGradient: return Cost(flops: 8 * elements, bytes: bytes)
    case .reduce, .argMax, .cumulativeSum, .takeAdd, .scatterAdd: return Cost(flops: read, bytes: bytes)
    case .topK(let k):
      return Cost(flops: read * Double(max(1, k).bitWidth - max(1, k).leadingZeroBitCount), bytes: bytes)
    case .sort:
      let width = max(2, inputs[0].shape[-1])
      return Cost(flops: read * Double(width.bitWidth - width.leadingZeroBitCount), bytes: bytes)
    case .update: return Cost(bytes: 2 * Double(inputs[1].bytes))
    case .gather:
      // Only the rows that are asked for are read.
      return Cost(bytes: 2 * Double(results[0].bytes) + Double(inputs[1].bytes))
    case .matmul(let matmul):
      return Cost(flops: 2 * elements * Double(inputs[0].shape[matmul.transposeA ? -2 : -1]), bytes: bytes)
    case .dequantize: return Cost(flops: 2 * elements, bytes: bytes)
    case .blockMatmul: return Cost(flops: 2 * elements * Double(inputs[0].shape[-1]), bytes: bytes)
    case .blockMatmuls:
      let products = results.reduce(0) { $0 + Double($1.shape.count) }
      return Cost(flops: 2 * products * Double(inputs[0].shape[-1]), bytes: bytes)
    case .groupedMatmul: return Cost(flops: 2 * elements * Double(inputs[0].shape[1]), bytes: bytes)
    case .groupedOuter: return Cost(flops: 2 * read * Double(inputs[1].shape[1]), bytes: bytes)
    case .softmax: return Cost(flops: 5 * elements, bytes: bytes)
    case .softmaxGradient: return Cost(flops: 4 * elements, bytes: bytes)
    case .rmsNorm: return Cost(flops: 4 * elements, bytes: bytes)
    case .layerNorm: return Cost(flops: 7 * elements, bytes: bytes)
    case .rmsNormGradient, .layerNormGradient: return Cost(flops: 12 * elements, bytes: bytes)
    case .rotary: return Cost(flops: 3 * elements, bytes: bytes)
    case .attention(let attention):
      return Cost(flops: 4 * attention.pairs(inputs) * Double(inputs[0].shape[3]), bytes: bytes)
    case .pagedAttention(let paged):
      // As if every row stood at the end of its table, and every sequence were read once.
      let keys = inputs[5].shape[1] * paged.blockSize
      let seen = Double(paged.visible(from: keys - 1, of: keys).count)
      let rows = Double(inputs[0].shape[0])
      let read = min(rows, Double(inputs[5].shape[0])) * seen * Double(inputs[1].bytes + inputs[2].bytes)
      return Cost(
        flops: 4 * elements * seen, bytes: 2 * Double(inputs[0].bytes) + read / Double(max(1, inputs[1].shape[0])))
    case .attentionGradient(let attention):
      return Cost(flops: 10 * attention.pairs(inputs) * Double(inputs[0].shape[3]), bytes: bytes)
    case .linearCrossEntropy(let options):
      let product = 2 * Double(inputs[0].shape.count) * Double(inputs[1].shape[0])
      return Cost(flops: product * (options.gradient ? 3 : 1), bytes: bytes)
    case .adamW:
      return Cost(flops: 12 * Double(inputs.dropFirst(4).reduce(0) { $0 + $1.shape.count }) / 4, bytes: bytes)
    case .fused(let fusion): return Cost(flops: elements * Double(fusion.steps.count), bytes: bytes)
    case .custom(let custom): return Cost(flops: custom.flops(inputs), bytes: bytes)
    }
  }
}

extension Attention {
  /// How many pairs of a query and a key that it sees there are over all heads and batches (segments not counted, caches full).
  fileprivate func pairs(_ inputs: [TensorType]) -> Double {
    let (batch, queries, heads) = (inputs[0].shape[0], inputs[0].shape[1], inputs[0].shape[2])
    let keys = inputs[1].shape[1]
    let seen = (0..<queries).reduce(0) { $0 + visible(from: $1 + keys - queries, of: keys).count }
    return Double(batch) * Double(heads) * Double(seen)
  }
}
