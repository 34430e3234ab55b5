// Parameters as models declare them.

import Networks
import Tensors
import Testing

@Suite struct WeightsTests {
  @Test func mentioningAParameterAgainGivesTheSameTensor() {
    let store = WeightStore()
    let weights = store.root["model"]
    let first = weights["embed"].embedding(7, 3)
    let second = weights["embed"].embedding(7, 3)
    #expect(first.reference == second.reference)
    _ = weights["layers"]["0"]["up"].linear(3, 5, axes: [.mlp, .width])
    _ = weights["layers"]["0"]["up"].bias(5, axis: .mlp)
    _ = weights["norm"].norm(3)
    #expect(
      store.parameters.map(\.name) == [
        "model.embed.weight", "model.layers.0.up.weight", "model.layers.0.up.bias", "model.norm.weight",
      ])
    #expect(store.parameters.map(\.shape) == [[7, 3], [5, 3], [5], [3]])
    #expect(store.parameters.map(\.role) == [.embedding, .matrix, .vector, .vector])
    #expect(store.parameters[1].axes == [.mlp, .width])
  }

  @Test func matricesHaveWorkingCopiesAndVectorsDoNot() {
    let store = WeightStore(compute: .bfloat16)
    let matrix = store.root["a"].linear(2, 3)
    let vector = store.root["a"].bias(3)
    #expect(matrix.type == TensorType(.bfloat16, [3, 2]) && vector.type == float32([3]))
    #expect(store.master("a.weight").type == float32([3, 2]))
    #expect(store.working("a.weight")?.reference == matrix.reference)
    #expect(store.working("a.bias") == nil && store.given("a.bias").reference == vector.reference)
  }

  @Test func initialValuesDependOnTheSeedAndTheNameAlone() throws {
    let initializer = Initializer.normal(deviation: 0.5)
    let values = try initializer.values([50, 40], seed: 3, name: "a").doubles
    #expect(try initializer.values([50, 40], seed: 3, name: "a").doubles == values)
    #expect(try initializer.values([50, 40], seed: 3, name: "b").doubles != values)
    #expect(try initializer.values([50, 40], seed: 4, name: "a").doubles != values)
    // 2000 numbers: the mean's deviation is 0.011, that of the variance 0.008.
    let mean = values.reduce(0, +) / 2000
    let variance = values.map { $0 * $0 }.reduce(0, +) / 2000
    #expect(abs(mean) < 0.05 && abs(variance - 0.25) < 0.04)

    let uniform = try Initializer.uniform(bound: 0.1).values([1000], seed: 3, name: "a").doubles
    #expect(uniform.allSatisfy { $0 >= -0.1 && $0 < 0.1 } && uniform.contains { $0 < -0.09 } && uniform.max()! > 0.09)
    #expect(try Initializer.ones.values([2], seed: 3, name: "a").doubles == [1, 1])
    #expect(try Initializer.zeros.values([2], seed: 3, name: "a").doubles == [0, 0])

    let store = WeightStore()
    _ = store.root["b"].norm(2)
    _ = store.root["a"].linear(40, 50, initializer: initializer)
    let all = try store.initialValues(seed: 3)
    #expect(all["b.weight"]?.doubles == [1, 1] && all.count == 2)
    #expect(try all["a.weight"]?.doubles == initializer.values([50, 40], seed: 3, name: "a.weight").doubles)
  }
}
