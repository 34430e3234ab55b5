// Latent attention through a cache of latents is latent attention with keys and values of all heads.

import Networks
import Support
import Tensors
import Testing

struct LatentAttentionTests {
  /// Values smaller and larger than keys; with a map of queries in one step and in two.
  @Test(arguments: [(5, nil), (13, 7)] as [(Int, Int?)]) func absorbedIsExpanded(value: Int, queryLatent: Int?) throws {
    var random = RandomCase("latent attention", value)
    let attention = LatentAttention(heads: 3, queryLatent: queryLatent, latent: 8, plain: 6, rotated: 4, value: value)
    let store = WeightStore(compute: .float64)
    let x = Tensor.input("x", TensorType(.float64, [2, 5, 10]))
    let start = Tensor([0, 0] as [Int32])

    func mixed(_ context: ModelContext) -> Tensor {
      let rotation = Rotation(positions: context.positions([2, 5]), size: 4, base: 100, interleaved: true)
      return attention(
        x, store.root, rotation: rotation, layer: 0, context, initial: InitialWeights(deviation: 0, layers: 1))
    }
    let whole = mixed(.training())
    let context = ModelContext.cached(start: start, capacity: 7, storage: .float(.float64))
    let cached = mixed(context)
    #expect(context.caches.map(\.past.shape.dimensions) == [[2, 7, 1, 12]])

    let parameters = store.parameters.map { store.given($0.name) }
    let values = parameters.map { random.data($0.element, $0.shape, .within(-1...1)) }
    let pasts = context.caches.map { ($0.past, TensorData($0.past.type)) }
    let results = try run(
      [whole, cached], [(x, random.data(.float64, x.shape))] + Array(zip(parameters, values)) + pasts)
    #expect(distance(results[0].doubles, results[1].doubles) < 1e-6, "\(random)")
  }
}
