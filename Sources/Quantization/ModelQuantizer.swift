// Quantising the matrices of a folder to integers in groups: which of them, and by which method.
//
// Invariant: one matrix at a time, so that a model may be larger than memory if nothing is calibrated. A matrix that cannot be
// quantised (its rows are not whole groups) stays as it is; what calibration knows nothing of is rounded to nearest.

package import Formats
package import Models
package import Networks
package import Tensors

/// Quantises the matrices of models.
package struct ModelQuantizer: Sendable {
  /// How numbers are rounded.
  package enum Method: Sendable {
    case nearest
    /// With what calibration has found out about inputs.
    case gptq(GPTQ, Calibration)
    case awq(ScaledModel)
  }

  package var scheme: IntegerMatrix.Scheme
  package var method = Method.nearest
  /// Matrices whose names contain one of these stay as they are. Embeddings, heads and norms do in any case.
  package var dense = ModelQuantizer.routers

  /// Asked again and again while a matrix is worked on; what it throws ends the work.
  package var check: @Sendable () throws -> Void = {}

  /// The maps that choose experts: small, and a wrong choice costs much.
  package static let routers = ["mlp.gate.weight", "router.weight", "block_sparse_moe.gate.weight"]

  package init(_ scheme: IntegerMatrix.Scheme) { self.scheme = scheme }

  /// Whether a matrix is quantised.
  ///
  /// - Parameter name: of its tensor or parameter.
  package func applies(to name: String, _ parameter: Parameter) -> Bool {
    parameter.role == .matrix && scheme.format.rowBytes(columns: parameter.shape[-1]) != nil
      && !dense.contains(where: name.contains)
  }

  /// The tensors of a folder that are quantised, and their parameters.
  package func matrices(of model: PretrainedModel, _ files: WeightFiles) -> [String: Parameter] {
    model.matrices(in: files).filter { applies(to: $0.key, $0.value) }
  }

  /// Values that the method has changed, by the names of parameters, quantised or not.
  package var changed: [String: [Float]] {
    if case .awq(let model) = method { model.values } else { [:] }
  }

  /// Scales the channels of a model, of those parameters whose values the folder can hold, and quantises what comes out.
  ///
  /// - Parameter progress: is told the first map of each place before it is searched.
  /// - Throws: what running the model does, and what `check` and `progress` do.
  package mutating func scale(
    _ awq: AWQ, _ model: PretrainedModel, _ files: WeightFiles, _ binding: WeightBinding, _ calibration: Calibration,
    backend: any Backend, progress: (String) throws -> Void = { _ in }
  ) throws {
    let stored = model.wholes(in: files)
    method = .awq(
      try awq.scaled(
        model.model, binding, calibration, scheme,
        rounded: Set(stored.filter { applies(to: $0.key, $0.value) }.map(\.value.name)),
        writable: Set(stored.map(\.value.name)), backend: backend, check: check, progress: progress))
  }

  /// One matrix.
  ///
  /// - Parameters:
  ///   - parameter: whose matrix it is, or one of whose matrices.
  ///   - stored: the values of its tensor.
  /// - Precondition: all values are finite, see `checkFinite`.
  /// - Throws: what `check` does.
  package func integers(_ parameter: Parameter, _ stored: [Float]) throws -> IntegerMatrix {
    let (rows, columns) = (parameter.shape[-2], parameter.shape[-1])
    let name = parameter.name
    try check()
    return try (changed[name] ?? stored).withUnsafeBufferPointer { values in
      precondition(values.count == rows * columns, "\(values.count) values for \(name)")
      switch method {
      case .gptq(let gptq, let calibration):
        let found = try calibration[name].flatMap {
          try gptq.quantized(values, rows: rows, columns: columns, hessian: $0.hessian, scheme, check: check)
        }
        if let found { return found }
      case .awq(let model):
        return try model.quantized(name, values, rows: rows, columns: columns, scheme, check: check)
      case .nearest: break
      }
      return IntegerMatrix(rounding: values, rows: rows, columns: columns, scheme)
    }
  }
}

/// Refuses values that no scale can hold.
package func checkFinite(_ values: some Sequence<Float>, of name: String) throws(FormatsError) {
  if values.allSatisfy(\.isFinite) { return }
  throw FormatsError(
    .malformed,
    "'\(name)' holds values that are infinite or no numbers: it cannot be quantised. Check where the model is from.")
}
