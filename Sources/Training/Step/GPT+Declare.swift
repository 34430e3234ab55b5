package import Models
package import Networks
import Tensors

extension GPT {
  /// Mentions all parameters in `store`, in the order in which the model uses them.
  package func declare(in store: WeightStore) {
    _ = logits(.input("tokens", TensorType(.int32, [1, 1])), store.root, .training())
  }
}

extension WeightStore {
  /// What the model computes with, in the order of its parameters, from float32 values by name. Those that are computed with
  /// as they are are not copied.
  func given(_ masters: [String: TensorData]) throws -> [TensorData] {
    try parameters.map { parameter in
      let master = masters[parameter.name]!
      return working(parameter.name) == nil ? master : try evaluate([Tensor(master).cast(.bfloat16)])[0]
    }
  }
}
