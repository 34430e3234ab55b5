// A model's values for computing with, from saved ones.

package import Networks
package import Tensors

extension WeightStore {
  /// What the model computes with, in the order of its parameters, from float32 values by name. Those that are computed with
  /// as they are are not copied.
  package func given(_ masters: [String: TensorData]) throws -> [TensorData] {
    try parameters.map { parameter in
      let master = masters[parameter.name]!
      return working(parameter.name) == nil ? master : try evaluate([Tensor(master).cast(.bfloat16)])[0]
    }
  }
}
