// The layer for the token after the next against a model of that one layer, whose embeddings are what the layer is given.

import CPUBackend
import Core
import Models
import Networks
import Support
import Tensors
import Testing

@Suite struct NextTokenHeadTests {
  @Test func isALayerOnEmbeddingAndState() throws {
    var random = RandomCase("predictor")
    let width = TinyPredictor.width
    let mix = random.data(.float32, [width, 2 * width], .within(-0.5...0.5))
    let norms = ["enorm", "hnorm", "shared_head.norm"].map { ($0, random.data(.float32, [width], .within(0.5...1.5))) }
    var tensors: [String: TensorData] = [:]
    let tiny = try TinyPredictor {
      $0["model.layers.1.eh_proj.weight"] = mix
      for (name, values) in norms { $0["model.layers.1.\(name).weight"] = values }
      tensors = $0
    }
    let model = try PretrainedModel(path: tiny.path)
    let pretrained = try PretrainedHead(of: model)
    let tokens: [Int32] = [3, 1, 4, 15, 92, 6, 53, 58]
    let features = random.data(.float32, [tokens.count, width], .within(-1...1))

    // What the layer is given, as embeddings of the tokens 0, 1, 2, …
    func normed(_ x: ArraySlice<Double>, _ weight: TensorData) -> [Double] {
      let root = (x.map { $0 * $0 }.reduce(0, +) / Double(width) + 1e-6).squareRoot()
      return zip(x, weight.doubles).map { $0 / root * $1 }
    }
    let (matrix, embedding, read) = (mix.doubles, tensors["model.embed_tokens.weight"]!.doubles, features.doubles)
    var table = [Double](repeating: 0, count: embedding.count)
    for (position, token) in tokens.enumerated() {
      let both =
        normed(embedding[(Int(token) * width)...].prefix(width), norms[0].1)
        + normed(read[(position * width)...].prefix(width), norms[1].1)
      for row in 0..<width {
        table[position * width + row] = both.indices.map { matrix[row * 2 * width + $0] * both[$0] }.reduce(0, +)
      }
    }
    let plain = try TinyPredictor {
      $0["model.embed_tokens.weight"] = TensorData(table, shape: $0["model.embed_tokens.weight"]!.shape)
      $0["model.norm.weight"] = norms[2].1
    }
    let reference = try PretrainedModel(path: plain.path)
    let backend = CPUBackend(threads: 2)
    let binding = try reference.weights()
    let numbers = Tensor((0..<Int32(tokens.count)).map { $0 }, shape: [1, tokens.count])
    let expected = try backend.compile(
      Program(
        inputs: binding.store.parameters.map { binding.store.given($0.name) },
        outputs: [reference.model.logits(numbers, binding.store.root, .training())])
    ).run(binding.values)[0].copy()

    let found = try pretrained.pagedLogits(tokens, features)
    #expect(relativeError(found.doubles, expected.doubles) < 1e-4)
  }

  @Test func modelsWithoutOneSaySo() throws {
    let tiny = try TinyPredictor(extra: 0)
    let model = try PretrainedModel(path: tiny.path)
    let error = try #require(throws: ModelError.self) { _ = try PretrainedHead(of: model) }
    #expect(error.message.contains("brings no layer for the token after the next"))
    _ = try model.weights()
  }
}
