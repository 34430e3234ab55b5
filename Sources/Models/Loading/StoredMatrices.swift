// Which tensors of a folder are matrices of the model's linear maps as they are, rows being outputs: what can be quantised
// without knowing how a family stores its weights.

package import Formats
package import Networks
internal import Tensors

extension PretrainedModel {
  /// Matrices by the names of tensors: [outputs, inputs], those of a mixture one for each expert.
  ///
  /// Tensors that hold several parameters, or a parameter's transpose, are not among them.
  package func matrices(in files: WeightFiles) -> [String: Parameter] {
    wholes(in: files).filter { $0.value.role == .matrix }
  }

  /// Parameters by the names of the tensors that hold them and nothing else, as floats in the shape that the model wants; those
  /// of a mixture one matrix for each expert.
  package func wholes(in files: WeightFiles) -> [String: Parameter] {
    let parameters = model.parameters
    let sources = family.sources(model, parameters)
    var owners: [String: Parameter] = [:]
    func claim(_ source: ParameterSource, _ parameter: Parameter) {
      switch source {
      case .tensor(let name) where parameter.shape.rank <= 2: owners[name] = parameter
      case .stacked(let names): for name in names { owners[name] = parameter }
      case .either(let candidates): for candidate in candidates { claim(candidate, parameter) }
      default: break
      }
    }
    for parameter in parameters { claim(sources[parameter.name] ?? .tensor(parameter.name), parameter) }
    var result: [String: Parameter] = [:]
    for name in files.names {
      guard let modelName = family.name(name), !family.isExtra(model, modelName),
        let parameter = owners[modelName] ?? owners[family.prefix + modelName],
        let tensor = files.tensor(name), tensor.type.element?.isFloat == true,
        tensor.shape == Array(parameter.shape.dimensions.suffix(2))
      else { continue }
      result[name] = parameter
    }
    return result
  }
}
