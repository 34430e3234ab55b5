extension Op {
  /// The name in printed programs and messages.
  public var name: String {
    switch self {
    case .input(let input): "input \(input.name)"
    case .constant: "constant"
    case .iota: "iota"
    case .random(let distribution, _, _): "random.\(distribution)"
    case .unary(let unary): "\(unary)"
    case .binary(let binary): "\(binary)"
    case .compare(let comparison): "\(comparison)"
    case .select: "select"
    case .cast: "cast"
    case .activationGradient(let activation): "\(activation)Gradient"
    case .reduce(let reduction, _, _): "reduce.\(reduction)"
    case .argMax: "argMax"
    case .cumulativeSum: "cumulativeSum"
    case .topK: "topK"
    case .sort: "sort"
    case .reshape: "reshape"
    case .broadcast: "broadcast"
    case .permute: "permute"
    case .slice: "slice"
    case .pad: "pad"
    case .concatenate: "concatenate"
    case .split: "split"
    case .gather: "gather"
    case .scatterAdd: "scatterAdd"
    case .update: "update"
    case .take: "take"
    case .takeAdd: "takeAdd"
    case .matmul: "matmul"
    case .dequantize: "dequantize"
    case .blockMatmul: "blockMatmul"
    case .blockMatmuls: "blockMatmuls"
    case .groupedMatmul: "groupedMatmul"
    case .groupedOuter: "groupedOuter"
    case .softmax: "softmax"
    case .softmaxGradient: "softmaxGradient"
    case .rmsNorm: "rmsNorm"
    case .rmsNormGradient: "rmsNormGradient"
    case .layerNorm: "layerNorm"
    case .layerNormGradient: "layerNormGradient"
    case .rotary: "rotary"
    case .attention: "attention"
    case .pagedAttention: "pagedAttention"
    case .attentionGradient: "attentionGradient"
    case .linearCrossEntropy(let options): options.gradient ? "linearCrossEntropyGradient" : "linearCrossEntropy"
    case .adamW: "adamW"
    case .fused: "fused"
    case .custom(let custom): custom.name
    }
  }

  /// Options, as printed after the name; empty where there are none.
  var details: String {
    switch self {
    case .constant(.fill(let scalar, _)): "\(scalar.double)"
    case .constant(.data): "data"
    case .iota(_, let axis): "axis \(axis)"
    case .random(_, _, let stream): "stream \(stream)"
    case .reduce(_, let axes, _): "axes \(axes)"
    case .argMax(let axis): "axis \(axis)"
    case .cumulativeSum(let axis, let reverse, let exclusive):
      "axis \(axis)" + (reverse ? " reverse" : "") + (exclusive ? " exclusive" : "")
    case .topK(let k): "k \(k)"
    case .sort(let descending): descending ? "falling" : "rising"
    case .permute(let axes): "\(axes)"
    case .slice(let slices):
      slices.map { "\($0.start)..<\($0.end)" + ($0.step == 1 ? "" : " by \($0.step)") }.joined(separator: ", ")
    case .pad(let paddings): paddings.map { "\($0.before),\($0.between),\($0.after)" }.joined(separator: " ")
    case .concatenate(let axis), .gather(let axis), .update(let axis): "axis \(axis)"
    case .split(let axis, let sizes): "axis \(axis) into \(sizes)"
    case .scatterAdd(let axis, let entries, _): "axis \(axis) of \(entries)"
    case .matmul(let matmul):
      [
        (matmul.transposeA ? "aᵀ" : "a") + "·" + (matmul.transposeB ? "bᵀ" : "b"), matmul.bias ? "+ bias" : nil,
        matmul.activation.map { "\($0)" }, matmul.keepsPreActivation ? "both" : nil,
        matmul.residual ? "+ residual" : nil,
      ].compactMap(\.self).joined(separator: " ")
    case .dequantize(let format, _): format.name
    case .blockMatmul(let matmul): matmul.format.name + (matmul.exact ? " exact" : "")
    case .blockMatmuls(let products): products.map(\.format.name).joined(separator: " ")
    case .groupedMatmul(let grouped): grouped.format?.name ?? (grouped.transposed ? "x·wᵀ" : "x·w")
    case .rotary(let rotary): (rotary.interleaved ? "interleaved" : "halves") + (rotary.inverse ? " inverse" : "")
    case .attention(let attention), .attentionGradient(let attention):
      (attention.causal ? "causal" : "full") + (attention.window.map { " window \($0)" } ?? "")
        + (attention.scales ? " int8" : "")
    case .pagedAttention(let paged):
      "blocks of \(paged.blockSize)" + (paged.window.map { " window \($0)" } ?? "") + (paged.scales ? " int8" : "")
    case .fused(let fusion): fusion.steps.map(\.op.name).joined(separator: " ")
    default: ""
    }
  }
}
