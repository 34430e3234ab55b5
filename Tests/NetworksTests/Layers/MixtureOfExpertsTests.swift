// A mixture gives each position what its experts give it one by one, and routers choose as their papers say.

import Networks
import Support
import Tensors
import Testing

struct MixtureOfExpertsTests {
  private static let (width, inner, experts) = (6, 5, 4)

  /// A mixture on 2 x 5 positions with all parameters random, and the values of `outputs` of x, weights and router's choice.
  private func check(_ mixture: MixtureOfExperts, _ name: String) throws {
    var random = RandomCase("mixture \(name)")
    let store = WeightStore(compute: .float64)
    let x = Tensor.input("x", TensorType(.float64, [2, 5, Self.width]))
    let y = mixture(x, store.root, initial: InitialWeights(deviation: 1, layers: 1))
    let rows = x.reshaped(10, Self.width)
    let chosen = mixture.router(rows, store.root[mixture.routerName], initializer: .zeros)
    let naive = oneByOne(mixture, rows, store.root, chosen.shares, chosen.experts)
    let parameters = store.parameters.map { store.given($0.name) }
    let values = parameters.map { random.data($0.element, $0.shape, .within(-1...1)) }
    let results = try run(
      [y, naive], [(x, random.data(.float64, x.shape))] + Array(zip(parameters, values)))
    #expect(distance(results[0].doubles, results[1].doubles) < 1e-12, "\(random)")
  }

  /// All experts on all positions, those that were not chosen with a share of 0.
  private func oneByOne(
    _ mixture: MixtureOfExperts, _ x: Tensor, _ weights: Weights, _ shares: Tensor, _ chosen: Tensor
  ) -> Tensor {
    func map(_ x: Tensor, _ name: String, _ outputs: Int, _ expert: Int) -> Tensor {
      let matrices = weights["experts"][name].parameter(
        "weight", [Self.experts, outputs, x.shape[-1]], role: .matrix, initializer: .zeros, axes: [.none, .none, .none])
      let product = x.matmul(matrices.sliced(expert..<(expert + 1), axis: 0).reshaped(outputs, -1), transposeB: true)
      guard mixture.bias else { return product }
      let biases = weights["experts"][name].parameter(
        "bias", [Self.experts, outputs], role: .vector, initializer: .zeros, axes: [.none, .none])
      return product + biases.sliced(expert..<(expert + 1), axis: 0)
    }
    var sum =
      mixture.shared.map { $0(x, weights["shared_experts"], initial: InitialWeights(deviation: 0, layers: 1)) } ?? x * 0
    for expert in 0..<Self.experts {
      let (g, u) = (map(x, "gate_proj", Self.inner, expert), map(x, "up_proj", Self.inner, expert))
      let inside: Tensor
      switch mixture.gate {
      case .activation(let activation): inside = g.activation(activation) * u
      case .clamped(let alpha, let limit):
        let bounded = g.minimum(limit)
        inside = (u.maximum(-limit).minimum(limit) + 1) * bounded * (bounded * alpha).sigmoid()
      }
      let isChosen = (chosen .== Double(expert)).cast(.float64)
      sum = sum + map(inside, "down_proj", Self.width, expert) * (isChosen * shares).sum([-1], keeps: true)
    }
    return sum.reshaped(2, 5, Self.width)
  }

  @Test func mixturesAreTheirExpertsOneByOne() throws {
    var router = Router(experts: Self.experts, chosen: 2, scores: .softmax)
    try check(MixtureOfExperts(router: router, inner: Self.inner), "plain")
    router.normalizes = true
    router.scale = 2.5
    var shared = MixtureOfExperts(router: router, inner: Self.inner)
    shared.shared = GatedFeedForward(inner: 3)
    try check(shared, "shared")
    router = Router(experts: Self.experts, chosen: 3, scores: .softmaxOfChosen)
    router.hasBias = true
    var clamped = MixtureOfExperts(router: router, inner: Self.inner, gate: .clamped(alpha: 1.7, limit: 0.5))
    clamped.bias = true
    try check(clamped, "clamped")
  }

  /// What a router makes of given logits: the map is the identity.
  private func route(_ router: Router, _ logits: [Float], correction: [Float] = []) throws -> ([Double], [Int]) {
    let store = WeightStore()
    let x = Tensor(logits, shape: [1, router.experts])
    let routed = router(x, store.root, initializer: .zeros)
    let values = store.parameters.map { parameter in
      if parameter.name == "e_score_correction_bias" { return TensorData(correction, shape: [correction.count]) }
      let identity = TensorData(TensorType(.float32, parameter.shape))
      for i in 0..<router.experts { identity[i * router.experts + i] = .float(1) }
      return identity
    }
    let results = try run(
      [routed.shares, routed.experts], Array(zip(store.parameters.map { store.given($0.name) }, values)))
    return (results[0].doubles, results[1].integers.map { Int($0) })
  }

  @Test func routersChooseByTheirRules() throws {
    // Logits whose exponentials are 1, 3, 4, 2: a tenth of each is its softmax.
    let logits: [Float] = [0, 1.0986123, 1.3862944, 0.6931472]
    var router = Router(experts: 4, chosen: 2, scores: .softmax)
    func expect(_ found: ([Double], [Int]), _ shares: [Double], _ experts: [Int]) {
      #expect(found.1 == experts)
      #expect(distance(found.0, shares) < 1e-6)
    }
    expect(try route(router, logits), [0.4, 0.3], [2, 1])
    router.normalizes = true
    router.scale = 7
    expect(try route(router, logits), [4, 3], [2, 1])
    expect(try route(Router(experts: 4, chosen: 2, scores: .softmaxOfChosen), logits), [4.0 / 7, 3.0 / 7], [2, 1])

    // Two groups: the best is in the second, the two best together are in the first.
    router = Router(experts: 4, chosen: 2, scores: .softmax)
    let grouped: [Float] = [1.0986123, 1.0986123, 1.3862944, -20]
    router.groups = Router.Groups(count: 2, chosen: 1, rank: .best)
    expect(try route(router, grouped), [0.4, 0], [2, 3])
    router.groups = Router.Groups(count: 2, chosen: 1, rank: .bestTwo)
    expect(try route(router, grouped), [0.3, 0.3], [0, 1])

    // Sigmoids 0.5, 0.75, 0.8, 2/3; the correction chooses, but does not count.
    router = Router(experts: 4, chosen: 2, scores: .sigmoid)
    router.hasCorrection = true
    expect(try route(router, logits, correction: [1, 0, 0, 0.5]), [0.5, 2.0 / 3], [0, 3])
  }
}
