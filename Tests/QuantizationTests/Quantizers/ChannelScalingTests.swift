// A model whose channels are scaled is the same function.

import CPUBackend
import Core
import Models
import Networks
import Quantization
import Tensors
import Testing

@Suite struct ChannelScalingTests {
  /// Norms stored less one, norms behind blocks, joined maps, shared values, mixtures, latent attention, biases.
  @Test(arguments: [
    "qwen3", "gpt2", "families/llama", "families/qwen2", "families/gemma2", "families/gemma3", "families/phi3",
    "families/mixtral", "families/deepseek-v3",
  ])
  func logitsStayAsTheyWere(family: String) throws {
    let pretrained = try PretrainedModel(path: Checkpoint.models + "/" + family)
    let binding = try pretrained.weights(.float32)
    let parameters = binding.store.parameters
    var random = RandomSequence(seed: 3)
    var values = Dictionary(uniqueKeysWithValues: zip(parameters, binding.values).map { ($0.name, $1.floats) })
    let places = ChannelScaling.all(of: pretrained.model, binding.store)
    #expect(places.count > 1)
    for place in places {
      let channels = parameters.first { $0.name == place.maps[0] }!.shape[-1]
      place.apply((0..<channels).map { _ in Float.random(in: 0.25..<4, using: &random) }, to: &values)
    }
    let changed = Dictionary(
      uniqueKeysWithValues: parameters.map { parameter in
        let value = TensorData(values[parameter.name]!, shape: parameter.shape)
        return (parameter.name, (form: StoredForm.dense(.float32), value: value))
      })
    let scaled = binding.replacing(changed, in: pretrained.model)
    let tokens = (0..<12).map { Int32($0 * 5 % 60) }
    let backend = CPUBackend(threads: 1)
    let expected = try binding.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    let logits = try scaled.logits(of: tokens, pretrained.model, exact: true, backend: backend)
    #expect(relativeError(logits, expected) < 1e-4)
    #expect(zip(parameters, binding.values).contains { $1.floats != values[$0.name]! })
  }
}
