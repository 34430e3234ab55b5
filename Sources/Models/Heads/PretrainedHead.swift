// A head on disk, and what it shares with the model that it drafts for.
//
// Invariant: what the head's file does not hold of the embedding and the output head is the model's own, mapped a second time
// and not copied.

internal import Core
internal import Formats
internal import FoundationEssentials
internal import Networks
internal import Tensors

/// A head for a model, ready to draft.
public struct PretrainedHead {
  package let head: any DraftHead
  private let tensors: [String: MappedTensor]
  private let sources: [String: ParameterSource]
  private let type: String

  /// The weights as inputs of programs.
  package func weights() throws(ModelError) -> WeightBinding {
    try WeightBinding(
      ("", [".rotary_emb.inv_freq", ".layers.0.input_layernorm.weight"], type), sources, to: tensors, precision: .stored
    ) { head.declare(in: $0) }
  }
}

// MARK: EAGLE

extension PretrainedHead {
  /// Whether a folder holds an EAGLE head: by the map of joined states that all have and no model has.
  public static func isHead(path: String) -> Bool {
    guard let files = try? WeightFiles(path: path) else { return false }
    return files.tensor("fc.weight") != nil || files.tensor("model.fc.weight") != nil
  }

  /// Reads an EAGLE head.
  ///
  /// - Parameters:
  ///   - path: a folder with config.json and safetensors.
  ///   - model: the model that it drafts for.
  public init(path: String, for model: PretrainedModel) throws(ModelError) {
    let configuration = try PretrainedModel.object(path + "/config.json")
    var tensors: [String: MappedTensor] = [:]
    for (name, tensor) in try StoredTensors(folder: path, configuration).tensors {
      var name = name[...]
      if name.hasPrefix("model.") { name = name.dropFirst("model.".count) }
      if name.hasPrefix("midlayer.") { name = "layers.0." + name.dropFirst("midlayer.".count) }
      tensors[name.hasPrefix("lm_head.") ? String(name) : "model." + name] = tensor
    }
    var settings = ModelSettings(configuration)
    // The format of vLLM's speculators has the layer's settings in a part of their own.
    let isNested = configuration["transformer_layer_config"]?.object != nil
    if isNested {
      settings.descend(
        to: "transformer_layer_config", shared: ["norm_before_residual", "eagle_aux_hidden_state_layer_ids"])
    }
    let tokens = Self.tokens(tensors.removeValue(forKey: "model.d2t"))
    // The same as a mask.
    tensors["model.t2d"] = nil
    var modelSettings = ModelSettings(model.settings)
    var kind = EagleHead.Kind.first(bias: tensors["model.fc.bias"] != nil)
    if tensors["model.layers.0.hidden_norm.weight"] != nil {
      let layers = Self.layers(&settings, of: modelSettings.size("num_hidden_layers"))
      kind = .third(layers: layers, normedResidual: settings.flag("norm_before_residual", default: isNested))
    }
    let head = EagleHead(&settings, kind: kind, tokens: tokens, model: &modelSettings)
    let problems = settings.problems + modelSettings.problems
    if !problems.isEmpty {
      throw ModelError(
        .unsupported,
        "The drafting head in \(path) cannot be used with this model:" + problems.map { "\n  \($0)" }.joined())
    }
    let own = try model.stored().named(by: model.family)
    for (name, others) in Self.shared where tensors[name] == nil {
      tensors[name] = others.lazy.compactMap { own[$0] }.first
    }
    self.init(head: head, tensors: tensors, sources: [:], type: "EAGLE")
  }

  /// What a head may have from its model, and where that has it: an output head may be the embedding.
  private static let shared = [
    "model.embed_tokens.weight": ["model.embed_tokens.weight"],
    "lm_head.weight": ["lm_head.weight", "model.embed_tokens.weight"],
  ]

  /// The model's tokens that a head knows, from how far each is behind its own number.
  private static func tokens(_ distances: MappedTensor?) -> [Int32]? {
    guard let distances, let form = distances.form, case .dense(let element) = form, !element.isFloat else {
      return nil
    }
    let values = distances.data(form.type(Shape(distances.dimensions))).integers
    return values.enumerated().map { Int32(clamping: Int64($0) + $1) }
  }

  /// The layers whose inputs are read: those that the file names, or an early, a middle and a late one.
  private static func layers(_ settings: inout ModelSettings, of count: Int) -> [Int] {
    let key = "eagle_aux_hidden_state_layer_ids"
    // SGLang's files name the layers whose results are read, vLLM's those whose inputs.
    let results = settings.object["eagle_config"]?[key]
    guard let given = settings.object[key] ?? results, given != .null else {
      return [2, count / 2, count - 3].map { max(0, $0) }
    }
    let layers = (given.array?.compactMap(\.integer) ?? []).map { settings.object[key] == nil ? $0 + 1 : $0 }
    if layers.isEmpty || layers.contains(where: { !(0...count).contains($0) }) {
      settings.report("'\(key)' is \(given.json), but the model has \(count) layers.")
      return [0]
    }
    return layers
  }
}

// MARK: The model's own layer

extension PretrainedHead {
  /// The layer for the token after the next that a model brings in its files.
  ///
  /// - Throws: `ModelError` if it brings none.
  public init(of model: PretrainedModel) throws(ModelError) {
    var settings = model.settings
    let (layers, extra) = (
      settings["num_hidden_layers"]?.integer ?? 0, settings["num_nextn_predict_layers"]?.integer ?? 0
    )
    let own = try model.stored().named(by: model.family)
    let place = "model.layers.\(layers)."
    guard extra > 0, own[place + "eh_proj.weight"] != nil else {
      throw ModelError(
        .unsupported,
        "\(model.path) brings no layer for the token after the next ('num_nextn_predict_layers' and "
          + "'\(place)eh_proj.weight'). Take another way to draft.")
    }
    settings["num_hidden_layers"] = .integer(layers + 1)
    var reader = ModelSettings(settings)
    guard let decoder = model.family.read(&reader) as? Decoder else {
      throw ModelError(.unsupported, "Layers for the token after the next are not known of '\(model.type)'.")
    }
    let head = NextTokenHead(decoder)
    var sources = model.family.sources(decoder, head.parameters)
    sources[place + "embed_tokens.weight"] = .either(
      [place + "embed_tokens.weight", "model.embed_tokens.weight"].map { .tensor($0) })
    sources[place + "shared_head.head.weight"] = .either(
      [place + "shared_head.head.weight", "lm_head.weight", "model.embed_tokens.weight"].map { .tensor($0) })
    var tensors = own.filter { $0.key.hasPrefix(place) }
    for name in ["model.embed_tokens.weight", "lm_head.weight"] where Self.lacks(tensors, name, place) {
      tensors[name] = own[name]
    }
    self.init(head: head, tensors: tensors, sources: sources, type: model.family.types[0])
  }

  /// Whether a layer's own tensors leave out what the model has under `name`.
  private static func lacks(_ tensors: [String: MappedTensor], _ name: String, _ place: String) -> Bool {
    tensors[place + (name == "lm_head.weight" ? "shared_head.head.weight" : "embed_tokens.weight")] == nil
  }
}

extension StoredTensors {
  /// The tensors under the names of a family's parameters.
  fileprivate func named(by family: ModelFamily) -> [String: MappedTensor] {
    var result: [String: MappedTensor] = [:]
    for (name, tensor) in tensors {
      guard let name = family.name(name) else { continue }
      let isBare = !name.hasPrefix(family.prefix) && !name.hasPrefix("lm_head.")
      result[isBare ? family.prefix + name : name] = tensor
    }
    return result
  }
}
