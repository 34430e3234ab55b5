// Quantising a model: which of its matrices, into what, by which method.
//
// Invariant: a matrix that cannot be quantised (its rows are not whole groups, nothing is known of its inputs) stays as it is,
// and is said to.

package import Models
package import Networks
package import Tensors

/// Quantises the matrices of models.
package struct ModelQuantizer {
  /// How numbers are rounded.
  package enum Method {
    case nearest
    /// With what calibration has found out about inputs.
    case gptq(GPTQ, Calibration)
  }

  package var format: BlockFormat
  /// The type in which files keep scales of integers.
  package var scales = ElementType.float32
  package var method = Method.nearest
  /// Matrices whose names contain one of these stay as they are. Embeddings, heads and norms do in any case.
  package var dense = ModelQuantizer.routers

  /// The maps that choose experts: small, and a wrong choice costs much.
  package static let routers = ["mlp.gate.weight", "router.weight", "block_sparse_moe.gate.weight"]

  package init(_ format: BlockFormat) { self.format = format }

  /// How numbers become codes, if the format is one of integers in groups.
  package var scheme: IntegerMatrix.Scheme? {
    switch format {
    case .int4(let group): .init(bits: 4, group: group, isSymmetric: false, scales: scales)
    case .int8(let group): .init(bits: 8, group: group, isSymmetric: true, scales: scales)
    default: nil
    }
  }

  /// Whether a parameter is quantised.
  package func applies(to parameter: Parameter) -> Bool {
    parameter.role == .matrix && parameter.shape.rank == 2 && format.rowBytes(columns: parameter.shape[-1]) != nil
      && !dense.contains(where: parameter.name.contains)
  }

  /// One matrix of float32.
  ///
  /// - Returns: nil: calibration knows nothing of it.
  package func integers(_ name: String, _ value: TensorData) -> IntegerMatrix? {
    precondition(value.type.element == .float32 && value.shape.rank == 2, "\(name) is \(value.type)")
    let (rows, columns) = (value.shape[0], value.shape[1])
    return withExtendedLifetime(value) {
      let floats = UnsafeBufferPointer(start: value.pointer.assumingMemoryBound(to: Float.self), count: value.count)
      switch method {
      case .nearest: return IntegerMatrix(rounding: floats, rows: rows, columns: columns, scheme!)
      case .gptq(let gptq, let calibration):
        return calibration.hessians[name].flatMap {
          gptq.quantized(floats, rows: rows, columns: columns, hessian: $0, scheme!)
        }
      }
    }
  }

  /// - Parameter binding: of float32 weights.
  package func quantized(_ model: any LanguageModel, _ binding: WeightBinding) -> QuantizedModel {
    var replacements: [String: (form: StoredForm, value: TensorData)] = [:]
    var found: [String: IntegerMatrix] = [:]
    for (parameter, value) in zip(binding.store.parameters, binding.values) where applies(to: parameter) {
      if scheme != nil {
        guard let matrix = integers(parameter.name, value) else { continue }
        found[parameter.name] = matrix
        replacements[parameter.name] = (.blocks(format), matrix.blocks)
      } else {
        let floats = UnsafeBufferPointer(start: value.pointer.assumingMemoryBound(to: Float.self), count: value.count)
        let blocks = withExtendedLifetime(value) {
          BlockEncoder.blocks(of: floats, rows: parameter.shape[0], columns: parameter.shape[1], format)
        }
        replacements[parameter.name] = (.blocks(format), blocks)
      }
    }
    return QuantizedModel(
      binding: binding.replacing(replacements, in: model), names: Set(replacements.keys), integers: found)
  }
}

/// A model with some of its matrices in blocks.
package struct QuantizedModel {
  package var binding: WeightBinding
  /// The parameters that are quantised.
  package var names: Set<String>
  /// Of formats of integers in groups, by the parameters' names.
  package var integers: [String: IntegerMatrix]
}
