// EAGLE heads against the formulas of the papers, one position and one number after another, and how they are found on disk.

import CPUBackend
import Core
import Formats
import Models
import Networks
import Support
import Tensors
import Testing

@Suite struct EagleHeadTests {
  private let model: PretrainedModel
  private let tiny: TinyModel

  init() throws {
    tiny = try TinyModel()
    model = try PretrainedModel(path: tiny.path)
  }

  private var vocabulary: Int { model.model.vocabulary }

  @Test(arguments: [nil, 20] as [Int?], [false, true]) func computesWhatThePapersSay(known: Int?, normed: Bool) throws {
    let settings =
      known == nil ? "" : ", \"norm_before_residual\": \(normed), \"eagle_aux_hidden_state_layer_ids\": [0, 1, 2]"
    let folder = try TinyHead(vocabulary: vocabulary, known: known, settings: settings)
    #expect(PretrainedHead.isHead(path: folder.path) && !PretrainedHead.isHead(path: tiny.path))
    let pretrained = try PretrainedHead(path: folder.path, for: model)
    let head = pretrained.head
    #expect(head.watched == (known == nil ? [] : [0, 1, 2]))
    let tokens: [Int32] = [3, 90, 14, 15, 92, 6, 53]
    var random = RandomCase("features")
    let features = random.data(.float32, [tokens.count, head.features], .within(-1...1))

    let sequence = SlowEagle(
      try tensors(folder.path), try tensors(tiny.path), known: known, normed: normed, vocabulary: vocabulary)
    let expected = sequence.logits(tokens, features.doubles)
    let found = try pretrained.pagedLogits(tokens, features)
    #expect(found.shape == [tokens.count, known ?? vocabulary])
    let difference = zip(found.doubles, expected).map { abs($0 - $1) }.max()!
    #expect(difference < 1e-4 * expected.map(abs).max()!, "\(difference)")
    if let known {
      #expect(head.tokens == (0..<known).map { Int32(vocabulary - 2 * (known - $0) + 1) })
    }
  }

  private func tensors(_ folder: String) throws -> [String: [Double]] {
    let files = try WeightFiles(path: folder)
    return Dictionary(
      uniqueKeysWithValues: files.names.filter { $0 != "d2t" }.map { name in
        (name, files.withBytes(of: name) { $0.bindMemory(to: Float.self).map { Double($0) } }!)
      })
  }

  @Test func whatDoesNotFitIsNamed() throws {
    let missing = try TinyHead(vocabulary: vocabulary, known: 20) { $0["midlayer.self_attn.k_proj.weight"] = nil }
    let error = try #require(throws: ModelError.self) {
      _ = try PretrainedHead(path: missing.path, for: model).weights()
    }
    #expect(error.message.contains("'model.layers.0.self_attn.k_proj.weight' is missing"))
    let other = try TinyHead(vocabulary: vocabulary + 1)
    let refusal = try #require(throws: ModelError.self) { _ = try PretrainedHead(path: other.path, for: model) }
    #expect(refusal.message.contains("'vocab_size' is \(vocabulary + 1)"))
  }

  @Test func layersAreCountedAsTheFilesCount() throws {
    for (settings, layers) in [
      ("", [2, 1, 0]), (", \"eagle_aux_hidden_state_layer_ids\": [0, 1, 2]", [0, 1, 2]),
      (", \"eagle_config\": {\"eagle_aux_hidden_state_layer_ids\": [0, 1, 1]}", [1, 2, 2]),
    ] {
      let folder = try TinyHead(vocabulary: vocabulary, known: 20, settings: settings)
      #expect(try PretrainedHead(path: folder.path, for: model).head.watched == layers)
    }
  }
}

/// A head in loops.
private struct SlowEagle {
  let own: [String: [Double]]
  let model: [String: [Double]]
  let known: Int?
  let normed: Bool
  let vocabulary: Int
  let layer: String
  static let (width, heads, kvHeads, size) = (32, 4, 2, 8)

  init(_ own: [String: [Double]], _ model: [String: [Double]], known: Int?, normed: Bool, vocabulary: Int) {
    (self.own, self.model, self.known, self.normed, self.vocabulary) = (own, model, known, normed, vocabulary)
    layer = known == nil ? "layers.0." : "midlayer."
  }

  func logits(_ tokens: [Int32], _ features: [Double]) -> [Double] {
    let width = Self.width
    let each = features.count / tokens.count
    var (keys, values, result): ([[Double]], [[Double]], [Double]) = ([], [], [])
    for (position, token) in tokens.enumerated() {
      let feature = Array(features[(position * each)..<((position + 1) * each)])
      let embedding = Array(model["model.embed_tokens.weight"]![(Int(token) * width)...].prefix(width))
      var (x, input): ([Double], [Double])
      if known == nil {
        x = zip(map("fc.weight", embedding + feature), own["fc.bias"]!).map { $0 + $1 }
        input = x
      } else {
        let state = map("fc.weight", feature)
        let normedState = norm(layer + "hidden_norm.weight", state)
        x = normed ? normedState : state
        input = norm(layer + "input_layernorm.weight", embedding) + normedState
      }
      let query = turned(map(layer + "self_attn.q_proj.weight", input), position)
      keys.append(turned(map(layer + "self_attn.k_proj.weight", input), position))
      values.append(map(layer + "self_attn.v_proj.weight", input))
      var mixed = [Double](repeating: 0, count: width)
      for head in 0..<Self.heads {
        let (first, other) = (head * Self.size, head / (Self.heads / Self.kvHeads) * Self.size)
        let scores = keys.map { key in
          exp((0..<Self.size).map { query[first + $0] * key[other + $0] }.reduce(0, +) / Double(Self.size).squareRoot())
        }
        for (score, value) in zip(scores, values) {
          for i in 0..<Self.size { mixed[first + i] += score / scores.reduce(0, +) * value[other + i] }
        }
      }
      x = zip(x, map(layer + "self_attn.o_proj.weight", mixed)).map { $0 + $1 }
      let inner = norm(layer + "post_attention_layernorm.weight", x)
      let gated = zip(map(layer + "mlp.gate_proj.weight", inner), map(layer + "mlp.up_proj.weight", inner))
        .map { $0 / (1 + exp(-$0)) * $1 }
      x = zip(x, map(layer + "mlp.down_proj.weight", gated)).map { $0 + $1 }
      if known == nil {
        result += product(model["lm_head.weight"] ?? model["model.embed_tokens.weight"]!, x)
      } else {
        result += map("lm_head.weight", norm("norm.weight", x))
      }
    }
    return result
  }

  private func product(_ matrix: [Double], _ x: [Double]) -> [Double] {
    stride(from: 0, to: matrix.count, by: x.count).map { row in
      x.indices.map { matrix[row + $0] * x[$0] }.reduce(0, +)
    }
  }

  private func map(_ name: String, _ x: [Double]) -> [Double] { product(own[name]!, x) }

  private func norm(_ name: String, _ x: [Double]) -> [Double] {
    let root = (x.map { $0 * $0 }.reduce(0, +) / Double(x.count) + 1e-6).squareRoot()
    return zip(x, own[name]!).map { $0 / root * $1 }
  }

  /// Rotary embedding: element i of a head's first half turns with that of the second.
  private func turned(_ x: [Double], _ position: Int) -> [Double] {
    var result = x
    for head in stride(from: 0, to: x.count, by: Self.size) {
      for i in 0..<(Self.size / 2) {
        let angle = Double(position) * exp(-Double(2 * i) / Double(Self.size) * log(10000))
        let (a, b) = (x[head + i], x[head + i + Self.size / 2])
        result[head + i] = a * cos(angle) - b * sin(angle)
        result[head + i + Self.size / 2] = b * cos(angle) + a * sin(angle)
      }
    }
    return result
  }
}
