// What training changes: parameters, their working copies and the optimizer's memory.

internal import Models
package import Networks
package import Tensors

/// The values that a training step updates in place.
package final class TrainingState {
  /// Descriptions, in the order of all arrays here.
  package let parameters: [Parameter]
  /// float32.
  package let masters: [TensorData]
  /// bfloat16, for parameters that are computed with in bfloat16.
  package let working: [TensorData?]
  /// By parameter: by the optimizer's name for it, float32.
  package let optimizer: [[String: TensorData]]

  /// Initial values.
  package init(_ store: WeightStore, optimizer rule: any Optimizer, seed: UInt64) throws {
    parameters = store.parameters
    let values = try store.initialValues(seed: seed)
    masters = store.parameters.map { values[$0.name]! }
    working = try TrainingState.workingCopies(store, masters)
    optimizer = store.parameters.map { parameter in
      Dictionary(
        uniqueKeysWithValues: rule.stateNames(for: parameter).map {
          ($0, TensorData(TensorType(.float32, parameter.shape)))
        })
    }
  }

  /// Values that were saved.
  ///
  /// - Parameters:
  ///   - masters: by name.
  ///   - optimizer: by the parameter's name, then by the optimizer's.
  /// - Throws: `TrainingError` that names what is missing or has another shape.
  package init(
    _ store: WeightStore, optimizer rule: any Optimizer, masters: [String: TensorData],
    optimizer states: [String: [String: TensorData]]
  ) throws {
    parameters = store.parameters
    func checked(_ data: TensorData?, _ parameter: Parameter, _ what: String) throws -> TensorData {
      guard let data else { throw TrainingError(.badCheckpoint, "the checkpoint lacks \(what)") }
      guard data.type.element == .float32, data.shape.dimensions == parameter.shape.dimensions else {
        throw TrainingError(
          .badCheckpoint,
          "\(what) is \(data.type) in the checkpoint, but the configuration asks for "
            + "\(TensorType(.float32, parameter.shape)): resume with the configuration that the run was started with")
      }
      return data
    }
    self.masters = try parameters.map { try checked(masters[$0.name], $0, $0.name) }
    working = try TrainingState.workingCopies(store, self.masters)
    optimizer = try parameters.map { parameter in
      var result: [String: TensorData] = [:]
      for name in rule.stateNames(for: parameter) {
        result[name] = try checked(
          states[parameter.name]?[name], parameter, "\(name) of \(parameter.name) (the optimizer's)")
      }
      return result
    }
  }

  private static func workingCopies(_ store: WeightStore, _ masters: [TensorData]) throws -> [TensorData?] {
    let rounded = zip(store.parameters, masters).map { parameter, master in
      store.working(parameter.name) == nil ? nil : Tensor(master).cast(.bfloat16)
    }
    var values = try evaluate(rounded.compactMap(\.self)).makeIterator()
    return rounded.map { $0 == nil ? nil : values.next()! }
  }
}
