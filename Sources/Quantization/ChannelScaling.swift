// Where a model has room for a factor on each channel: what makes an input of linear maps can give it divided by some numbers,
// if the maps' columns are multiplied by them.
//
// Invariant: in exact arithmetic the model computes what it did before. A source is a norm whose result nothing else reads, or
// a linear map between which and the next one everything is linear in it: the values in front of the output of attention, and
// the ungated half of a gated feed-forward block.

package import Models
package import Networks
internal import Tensors

/// One place with room for factors.
package struct ChannelScaling: Sendable {
  /// What makes the channels.
  enum Source: Sendable {
    case norm(weight: String, bias: String?, plusOne: Bool)
    /// Some rows of a linear map, which may have a bias.
    case rows(Range<Int>, weight: String, bias: String)
  }

  let source: Source
  /// The weights whose columns are the channels.
  package let maps: [String]

  /// All places of a model.
  package static func all(of model: any LanguageModel, _ store: WeightStore) -> [ChannelScaling] {
    let uses = store.recordingUses {
      _ = model.hidden(.input("tokens", TensorType(.int32, [1, 2])), store.root, .training())
    }
    let shapes = Dictionary(uniqueKeysWithValues: store.parameters.map { ($0.name, $0.shape) })
    let norms = uses.norms.compactMap { norm -> ChannelScaling? in
      let maps = uses.maps.filter { $0.input.reference == norm.result.reference }.map(\.weight)
      let source = Source.norm(weight: norm.weight, bias: norm.bias, plusOne: norm.plusOne)
      return maps.isEmpty ? nil : ChannelScaling(source: source, maps: maps)
    }
    return norms + uses.maps.compactMap { behindMap($0.weight, shapes) }
  }

  private static func behindMap(_ name: String, _ shapes: [String: Shape]) -> ChannelScaling? {
    guard let columns = shapes[name]?[-1] else { return nil }
    func from(_ map: String, in path: String, last: Bool = false) -> ChannelScaling? {
      guard let shape = shapes[path + map + ".weight"], shape.rank == 2 else { return nil }
      // Of queries, keys and values, or of gates and the others, the last are meant.
      let rows = last ? (shape[0] - columns)..<shape[0] : 0..<shape[0]
      guard rows.lowerBound >= 0, rows.count == columns else { return nil }
      let source = Source.rows(rows, weight: path + map + ".weight", bias: path + map + ".bias")
      return ChannelScaling(source: source, maps: [name])
    }
    if let path = name.removingSuffix("down_proj.weight") {
      let isGated = shapes[path + "gate_proj.weight"] != nil
      return (isGated ? from("up_proj", in: path) : nil) ?? from("gate_up_proj", in: path, last: true)
    }
    if let path = name.removingSuffix("o_proj.weight") {
      // Where several heads share values, channels of the one are not those of the other.
      let fused = shapes[path + "qkv_proj.weight"].map { $0[0] == 3 * columns } ?? false
      return from("v_proj", in: path) ?? (fused ? from("qkv_proj", in: path, last: true) : nil)
    }
    return nil
  }

  /// The parameters that change.
  package var changed: [String] {
    switch source {
    case .norm(let weight, let bias, _): maps + [weight] + (bias.map { [$0] } ?? [])
    case .rows(_, let weight, let bias): maps + [weight, bias]
    }
  }

  /// Divides what the source gives by `factors` and multiplies the maps' columns by them.
  ///
  /// - Parameter values: by the names of parameters; those of biases that are not there are left out.
  package func apply(_ factors: [Float], to values: inout [String: [Float]]) {
    let count = factors.count
    for map in maps {
      values[map]!.withUnsafeMutableBufferPointer { map in
        for i in map.indices { map[i] *= factors[i % count] }
      }
    }
    switch source {
    case .norm(let weight, let bias, let plusOne):
      let one: Float = plusOne ? 1 : 0
      for i in 0..<count {
        values[weight]![i] = (values[weight]![i] + one) / factors[i] - one
        if let bias { values[bias]![i] /= factors[i] }
      }
    case .rows(let rows, let weight, let bias):
      // The rows are the last ones.
      let columns = values[weight]!.count / rows.upperBound
      for (factor, row) in zip(factors, rows) {
        for i in (row * columns)..<((row + 1) * columns) { values[weight]![i] /= factor }
        if values[bias] != nil { values[bias]![row] /= factor }
      }
    }
  }
}

extension String {
  /// The text in front of an ending, if there is that ending.
  fileprivate func removingSuffix(_ suffix: String) -> String? {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil
  }
}
