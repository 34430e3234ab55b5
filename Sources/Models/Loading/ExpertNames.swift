// Where files hold the experts of a mixture: one tensor an expert, as most published checkpoints, or one for all.

internal import Networks
internal import Tensors

/// The names of experts' tensors in files.
struct ExpertNames: Sendable {
  enum Layout: Sendable {
    /// One tensor an expert; or, as `transformers` computes, `gate_up_proj` [experts, gates and then ups, width] and
    /// `down_proj` [experts, width, inner].
    case separate
    /// `gate_up_proj` [experts, width, gates and ups in turns] and `down_proj` [experts, inner, width], or both in MXFP4, and
    /// then with their last two axes exchanged: gpt-oss.
    case interleaved
  }

  var layout = Layout.separate
  /// The maps of one expert.
  var gate = "gate_proj"
  var up = "up_proj"
  var down = "down_proj"
  /// The block that the experts are in; it is `mlp` in files with one tensor for all experts.
  var block = "mlp"

  /// Where the values of a mixture's parameters are: `gate_proj`, `up_proj`, `down_proj` of `experts`, and its router.
  func sources(_ parameters: [Parameter]) -> [String: ParameterSource] {
    var result: [String: ParameterSource] = [:]
    for parameter in parameters {
      let parts = parameter.name.split(separator: ".").map(String.init)
      if let place = parts.lastIndex(of: "experts"), place == parts.count - 3 {
        let path = parts[..<place].joined(separator: ".")
        let map = parts[place + 1]
        let candidates =
          layout == .separate
          ? separate(parameter.shape.dimensions, path, map)
          : interleaved(parameter.shape.dimensions, path + ".experts.", map, isBias: parts.last == "bias")
        result[parameter.name] = .either(candidates)
      } else if block != "mlp", parameter.name.hasSuffix(".\(block).gate.weight") {
        result[parameter.name] = .either([.tensor(parameter.name), .tensor(fused(parameter.name))])
      }
    }
    return result
  }

  /// A name in files with one tensor for all experts.
  private func fused(_ name: String) -> String {
    name.split(separator: ".").map { $0 == block ? "mlp" : String($0) }.joined(separator: ".")
  }

  private func separate(_ shape: [Int], _ path: String, _ map: String) -> [ParameterSource] {
    let file = ["gate_proj": gate, "up_proj": up, "down_proj": down][map]!
    let each = ParameterSource.stacked((0..<shape[0]).map { "\(path).experts.\($0).\(file).weight" })
    let whole = fused(path) + ".experts."
    if map == "down_proj" { return [each, .tensor(whole + "down_proj")] }
    let first = map == "gate_proj" ? 0 : shape[1]
    return [
      each,
      .slices(
        TensorSlices(
          name: whole + "gate_up_proj", shape: [shape[0], 2 * shape[1], shape[2]], axis: 1,
          range: first..<(first + shape[1]))),
    ]
  }

  private func interleaved(_ shape: [Int], _ path: String, _ map: String, isBias: Bool) -> [ParameterSource] {
    let isDown = map == "down_proj"
    let name = path + (isDown ? "down_proj" : "gate_up_proj")
    let (first, step, rows) = isDown ? (0, 1, shape[1]) : (map == "gate_proj" ? 0 : 1, 2, 2 * shape[1])
    func slices(_ name: String, _ shape: [Int], axis: Int) -> TensorSlices {
      TensorSlices(name: name, shape: shape, axis: axis, range: first..<rows, step: step, transposed: axis == 2)
    }
    if isBias { return [.slices(slices(name + "_bias", [shape[0], rows], axis: 1))] }
    return [
      .mxfp4(name, rows: slices(name, [shape[0], rows, shape[2]], axis: 1)),
      .slices(slices(name, [shape[0], shape[2], rows], axis: 2)),
    ]
  }
}

extension ModelFamily {
  /// A family whose layers have experts.
  init(
    types: [String], ignored: [String] = [], experts: ExpertNames,
    read: @escaping @Sendable (inout ModelSettings) -> any LanguageModel
  ) {
    self.init(types: types, ignored: ignored, read: read)
    sources = { _, parameters in experts.sources(parameters) }
  }
}
