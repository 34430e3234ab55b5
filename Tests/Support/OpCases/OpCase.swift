public import Tensors

/// One operation with inputs to run it on.
public struct OpCase: Sendable, CustomStringConvertible {
  package let op: Op
  public let inputs: [TensorData]
  /// How exact the results can be in the arithmetic of the types that meet.
  public let tolerance: Double

  package init(_ op: Op, _ inputs: [TensorData], tolerance: Double? = nil) {
    self.op = op
    self.inputs = inputs
    let results = op.resultTypes(inputs.map(\.type))
    self.tolerance =
      tolerance ?? Agreement.tolerance(inputs.map(\.type.element) + results.map(\.element))
  }

  public var description: String { "\(op) of \(inputs.map(\.type))" }

  /// A program of just this operation, whose inputs are its inputs; no pass touches it.
  public var program: Program {
    let placeholders = inputs.enumerated().map { Tensor.input("x\($0.offset)", $0.element.type) }
    let results = Tensor.recordAll(op, placeholders)
    let options = Program.Options(simplifies: false, rematerialises: false, fuses: false)
    return Program(inputs: placeholders, outputs: results, options: options)
  }

  /// Compiles and runs the operation.
  public func results(on backend: any Backend) throws -> [TensorData] {
    try backend.compile(program).run(inputs).map { $0.copy() }
  }
}

/// The families of operations that random cases are made of: the cases of `Op` by name.
///
/// Two exhaustive switches tie them to `Op`: `init(_:)`, so that a new operation needs a family, and `cases(_:_:)`, so that
/// a new family needs cases.
public enum OpFamily: String, CaseIterable, Sendable {
  case constant, iota, random
  case unary, binary, compare, select, cast, activationGradient
  case reduce, argMax, cumulativeSum, topK, sort
  case reshape, broadcast, permute, slice, pad, concatenate, split, gather, scatterAdd, update, take, takeAdd
  case matmul, dequantize, blockMatmul, blockMatmuls, groupedMatmul, groupedOuter
  case softmax, softmaxGradient, rmsNorm, rmsNormGradient, layerNorm, layerNormGradient, rotary
  case attention, pagedAttention, attentionGradient, linearCrossEntropy, adamW
  case fused, custom

  /// The family that an operation's random cases are in; nil for `input`, which computes nothing.
  package init?(_ op: Op) {
    switch op {
    case .input: return nil
    case .constant: self = .constant
    case .iota: self = .iota
    case .random: self = .random
    case .unary: self = .unary
    case .binary: self = .binary
    case .compare: self = .compare
    case .select: self = .select
    case .cast: self = .cast
    case .activationGradient: self = .activationGradient
    case .reduce: self = .reduce
    case .argMax: self = .argMax
    case .cumulativeSum: self = .cumulativeSum
    case .topK: self = .topK
    case .sort: self = .sort
    case .reshape: self = .reshape
    case .broadcast: self = .broadcast
    case .permute: self = .permute
    case .slice: self = .slice
    case .pad: self = .pad
    case .concatenate: self = .concatenate
    case .split: self = .split
    case .gather: self = .gather
    case .scatterAdd: self = .scatterAdd
    case .update: self = .update
    case .take: self = .take
    case .takeAdd: self = .takeAdd
    case .matmul: self = .matmul
    case .dequantize: self = .dequantize
    case .blockMatmul: self = .blockMatmul
    case .blockMatmuls: self = .blockMatmuls
    case .groupedMatmul: self = .groupedMatmul
    case .groupedOuter: self = .groupedOuter
    case .softmax: self = .softmax
    case .softmaxGradient: self = .softmaxGradient
    case .rmsNorm: self = .rmsNorm
    case .rmsNormGradient: self = .rmsNormGradient
    case .layerNorm: self = .layerNorm
    case .layerNormGradient: self = .layerNormGradient
    case .rotary: self = .rotary
    case .attention: self = .attention
    case .pagedAttention: self = .pagedAttention
    case .attentionGradient: self = .attentionGradient
    case .linearCrossEntropy: self = .linearCrossEntropy
    case .adamW: self = .adamW
    case .fused: self = .fused
    case .custom: self = .custom
    }
  }

  /// Random cases of every variant of the family for one element type (that of its main input, or of a source's result);
  /// none if the family is not defined for it.
  public func cases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    switch self {
    case .constant, .iota, .random, .unary, .binary, .compare, .select, .cast, .activationGradient, .fused, .custom:
      elementwiseCases(element, &random)
    case .reduce, .argMax, .cumulativeSum, .topK, .sort: reductionCases(element, &random)
    case .reshape, .broadcast, .permute, .slice, .pad, .concatenate, .split, .gather, .scatterAdd, .update, .take,
      .takeAdd:
      movementCases(element, &random)
    case .matmul: matmulCases(element, &random)
    case .dequantize, .blockMatmul, .blockMatmuls: blockCases(element, &random)
    case .groupedMatmul, .groupedOuter: element.isFloat ? groupedCases(element, &random) : []
    case .softmax, .softmaxGradient, .rmsNorm, .rmsNormGradient, .layerNorm, .layerNormGradient, .rotary, .adamW:
      element.isFloat ? rowCases(element, &random) : []
    case .attention, .pagedAttention, .attentionGradient, .linearCrossEntropy:
      element.isFloat ? attentionCases(element, &random) : []
    }
  }
}
