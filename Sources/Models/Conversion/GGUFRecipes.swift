// What each tensor of a GGUF file is made of in a folder of Hugging Face, and the other way round.
//
// Invariant: every tensor has a place on the other side, or the conversion is refused with all that have none.

internal import Core
internal import Formats
internal import Networks
internal import Tensors

/// Heads and their sizes, where tensors are cut by them.
struct HeadSizes {
  var heads: Int
  var kvHeads: Int
  /// Of DeepSeek's: elements of a key that are not rotated, and of a value.
  var plain: Int
  var value: Int

  init(_ config: JSONObject) {
    func size(_ key: String) -> Int { max(1, config[key]?.integer ?? 1) }
    heads = size("num_attention_heads")
    kvHeads = config["num_key_value_heads"]?.integer == nil ? heads : size("num_key_value_heads")
    (plain, value) = (size("qk_nope_head_dim"), size("v_head_dim"))
  }
}

extension GGUFArchitecture {
  /// The tensors of a GGUF file in the order of layers.
  ///
  /// - Parameters:
  ///   - tensors: of a folder, under the names of the model.
  ///   - type: of matrices; nil: as they are.
  func recipes(
    of tensors: [String: MappedTensor], _ config: JSONObject, prefix: String, type: ElementType?
  ) throws(ModelError) -> [TensorRecipe] {
    let sizes = HeadSizes(config)
    var problems = Problems()
    var recipes: [String: TensorRecipe] = [:]
    var experts: [String: [Int: String]] = [:]
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      if name.hasSuffix("_scales"), tensors[name.dropLast(7) + "_blocks"] != nil { continue }
      var matches = matches(huggingFace: name)
      if matches.isEmpty { matches = self.matches(huggingFace: prefix + name) }
      if matches.count > 1 { matches.removeAll { if case .older = $0.rule.form { true } else { false } } }
      if matches.isEmpty { problems.add("'\(name)' is not known.") }
      for match in matches {
        let own: TensorRecipe?
        if match.ending.huggingFace == "_blocks" {
          own = Self.blocks(match, name, tensors)
        } else if let written = Self.written(match.gguf, tensor, type, &problems, name) {
          own = Self.recipe(match, name, tensor.dimensions, written, sizes)
        } else {
          continue
        }
        guard let own else {
          problems.add("'\(name)' of the shape \(tensor.dimensions) does not fit the sizes in config.json.")
          continue
        }
        recipes[own.name] = own
        if case .experts = match.rule.form { experts[own.name, default: [:]][match.numbers[1]] = name }
      }
    }
    let count = ["num_experts", "num_local_experts", "n_routed_experts"].lazy.compactMap { config[$0]?.integer }.first
    for (name, sources) in experts {
      let each = recipes[name]!.shape
      guard sources.count == count, (0..<sources.count).allSatisfy({ sources[$0] != nil }),
        sources.values.allSatisfy({ tensors[$0]!.dimensions == each })
      else {
        problems.add("the experts of '\(name)' are not as many as config.json says or not of one shape.")
        continue
      }
      recipes[name]!.content = .parts((0..<sources.count).flatMap { TensorRecipe.whole(sources[$0]!, each) })
      recipes[name]!.shape.insert(sources.count, at: 0)
    }
    try problems.report()
    return recipes.values.sorted { Self.order($0.name) < Self.order($1.name) }
  }

  /// ggml wants float32 for vectors, and for some matrices whatever the model is in.
  private static func written(
    _ gguf: String, _ tensor: MappedTensor, _ type: ElementType?, _ problems: inout Problems, _ name: String
  ) -> ElementType? {
    let small = ["ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", ".bias"]
    let isSmall = tensor.dimensions.count < 2 || small.contains(where: gguf.hasSuffix)
    switch tensor.form {
    case .dense(let element)? where element.isFloat:
      return isSmall ? .float32 : type ?? (element == .float64 ? .float32 : element)
    case .blocks?:
      if type == nil { problems.add("'\(name)' is quantised; give the type to expand it to (--type).") }
      return type
    default:
      problems.add("'\(name)' is of the type \(tensor.typeName), which is not converted.")
      return nil
    }
  }

  /// nil: the tensor's shape cannot be.
  private static func recipe(
    _ match: Match, _ name: String, _ shape: [Int], _ type: ElementType, _ sizes: HeadSizes
  ) -> TensorRecipe? {
    var result = TensorRecipe(
      name: match.gguf, shape: shape, type: type,
      content: .parts(TensorRecipe.whole(name, shape)))
    func reorder(_ shape: [Int], _ view: TensorView) {
      result.shape = shape
      result.content = .parts([TensorRecipe.Part(sources: [name], view: view)])
    }
    switch match.rule.form {
    case .same, .older, .experts: break
    case .plusOne: result.content = .parts(TensorRecipe.whole(name, shape), plus: 1)
    case .queryRows, .keyRows:
      let heads = if case .keyRows = match.rule.form { sizes.kvHeads } else { sizes.heads }
      guard let rows = shape.first, rows % (2 * heads) == 0 else { return nil }
      reorder(shape, .heads(heads, 2, rows / heads / 2, columns: shape.dropFirst().reduce(1, *)))
    case .transposed:
      if shape.count == 2 { reorder(shape.reversed(), TensorView(shape: shape.reversed(), strides: [1, shape[1]])) }
    case .fused(_, let first, let step):
      guard (2...3).contains(shape.count), let columns = shape.last, columns % step == 0 else { return nil }
      let strides = TensorView.strides(of: shape)
      let axes = shape.count == 2 ? [0, 1] : [0, 2, 1]
      let target = axes.map { $0 == shape.count - 1 ? columns / step : shape[$0] }
      reorder(
        target,
        TensorView(
          offset: first, shape: target, strides: axes.map { $0 == shape.count - 1 ? step : strides[$0] }))
    case .latentKeys, .latentValues:
      let (plain, value) = (sizes.plain, sizes.value)
      guard shape.count == 2, shape[0] == sizes.heads * (plain + value) else { return nil }
      let (latent, head) = (shape[1], (plain + value) * shape[1])
      if case .latentKeys = match.rule.form {
        let target = [sizes.heads, latent, plain]
        reorder(target, TensorView(shape: target, strides: [head, 1, latent]))
      } else {
        let target = [sizes.heads, value, latent]
        reorder(target, TensorView(offset: plain * latent, shape: target, strides: [head, latent, 1]))
      }
    }
    return result
  }

  /// Experts in MXFP4, as they are.
  private static func blocks(_ match: Match, _ name: String, _ tensors: [String: MappedTensor]) -> TensorRecipe? {
    let blocks = tensors[name]!
    guard case .fused(_, let first, let step) = match.rule.form, let scales = tensors[name.dropLast(7) + "_scales"],
      blocks.form == .dense(.uint8), scales.form == .dense(.uint8), blocks.dimensions.count == 4,
      blocks.dimensions == scales.dimensions + [16], blocks.dimensions[1] % step == 0
    else { return nil }
    let (experts, rows, columns) = (blocks.dimensions[0], blocks.dimensions[1], 32 * blocks.dimensions[2])
    let slices = TensorSlices(name: name, shape: [experts, rows, columns], axis: 1, range: first..<rows, step: step)
    return TensorRecipe(
      name: match.gguf, shape: [experts, rows / step, columns], type: .uint8,
      content: .blocks(of: name, scales: name.dropLast(7) + "_scales", slices))
  }

  /// The embedding first, then the layers, then the rest.
  private static func order(_ name: String) -> (Int, Int, String) {
    let parts = name.split(separator: ".")
    if parts.count > 2, parts[0] == "blk", let layer = Int(parts[1]) { return (1, layer, name) }
    return (name.contains("embd") ? 0 : 2, 0, name)
  }
}

// MARK: To Hugging Face

extension GGUFArchitecture {
  /// Tensors that hold settings rather than weights.
  private static let settingTensors: Set = [
    "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
  ]

  /// A file's tensors that hold weights, under their own names.
  static func tensors(of file: GGUFFile) -> [String: MappedTensor] {
    var result: [String: MappedTensor] = [:]
    for tensor in file.tensors where !settingTensors.contains(tensor.name) {
      let mapped = file.mapped(tensor.name)!
      result[tensor.name] = MappedTensor(
        form: tensor.type.form, typeName: tensor.type.name, dimensions: tensor.shape, bytes: mapped.bytes,
        owner: mapped.owner)
    }
    return result
  }

  /// The tensors of safetensors files.
  ///
  /// - Parameters:
  ///   - tensors: of a GGUF file.
  ///   - type: of the floats that are written.
  func recipes(
    of tensors: [String: MappedTensor], _ config: JSONObject, type: ElementType
  ) throws(ModelError) -> [TensorRecipe] {
    let sizes = HeadSizes(config)
    var problems = Problems()
    var recipes: [TensorRecipe] = []
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      guard let match = match(gguf: name) else {
        problems.add("'\(name)' is not known.")
        continue
      }
      guard tensor.form != nil else {
        problems.add("'\(name)' is of the type \(tensor.typeName), which is not converted.")
        continue
      }
      if let own = self.recipes(match, name, tensors, type, sizes) {
        recipes += own
      } else {
        problems.add("'\(name)' of the shape \(tensor.dimensions) does not fit the file's settings or other tensors.")
      }
    }
    try problems.report()
    return recipes
  }

  /// What begins with a tensor of a GGUF file; nil: shapes cannot be.
  func recipes(
    _ match: Match, _ name: String, _ tensors: [String: MappedTensor], _ type: ElementType, _ sizes: HeadSizes
  ) -> [TensorRecipe]? {
    let shape = tensors[name]!.dimensions
    var result = TensorRecipe(
      name: match.file() + match.ending.huggingFace, shape: shape, type: type,
      content: .parts(TensorRecipe.whole(name, shape)))
    switch match.rule.form {
    case .same, .older: break
    case .plusOne: result.content = .parts(TensorRecipe.whole(name, shape), plus: -1)
    case .queryRows, .keyRows:
      let heads = if case .keyRows = match.rule.form { sizes.kvHeads } else { sizes.heads }
      guard let rows = shape.first, rows % (2 * heads) == 0 else { return nil }
      let view = TensorView.heads(heads, rows / heads / 2, 2, columns: shape.dropFirst().reduce(1, *))
      result.content = .parts([TensorRecipe.Part(sources: [name], view: view)])
    case .transposed where shape.count == 2:
      result.shape = shape.reversed()
      let view = TensorView(shape: result.shape, strides: [1, shape[1]])
      result.content = .parts([TensorRecipe.Part(sources: [name], view: view)])
    case .transposed: break
    case .experts:
      guard let count = shape.first, shape.count == 3 else { return nil }
      result.shape = Array(shape.dropFirst())
      return (0..<count).map { expert in
        var own = result
        own.name = match.file(expert: expert) + match.ending.huggingFace
        own.content = .parts([
          TensorRecipe.Part(sources: [name], slice: expert, view: TensorView(shape: result.shape))
        ])
        return own
      }
    case .fused(_, let first, _): return first == 0 ? fused(result, match, tensors, shape) : []
    case .latentKeys: return latent(result, match, name, tensors).map { [$0] }
    case .latentValues: return tensors[match.gguf.replacing(".attn_v_b.", with: ".attn_k_b.")] == nil ? nil : []
    }
    return [result]
  }

  /// One tensor of gate and up.
  private func fused(
    _ recipe: TensorRecipe, _ match: Match, _ tensors: [String: MappedTensor], _ shape: [Int]
  ) -> [TensorRecipe]? {
    // In the order of their columns.
    let names = self.tensors.filter { $0.file == match.rule.file }.map {
      Match(rule: $0, ending: match.ending, numbers: match.numbers).gguf
    }
    guard (2...3).contains(shape.count), names.allSatisfy({ tensors[$0]?.dimensions == shape }) else { return nil }
    if tensors[names[0]]!.form == .blocks(.mxfp4) {
      guard names.allSatisfy({ tensors[$0]!.form == .blocks(.mxfp4) }), shape.count == 3 else { return nil }
      return [("_blocks", false), ("_scales", true)].map { ending, scales in
        var result = recipe
        result.name = match.file() + ending
        result.shape = [shape[0], shape[1] * names.count, shape[2] / 32] + (scales ? [] : [16])
        (result.type, result.content) = (.uint8, .unpacked(names, scales: scales))
        return result
      }
    }
    var result = recipe
    let strides = TensorView.strides(of: shape)
    let axes = shape.count == 2 ? [0, 1] : [0, 2, 1]
    let view = TensorView(shape: axes.map { shape[$0] }, strides: axes.map { strides[$0] })
    result.content = .parts([TensorRecipe.Part(sources: names, view: view)])
    result.shape = view.shape
    result.shape[view.shape.count - 1] *= names.count
    return [result]
  }

  /// One map to keys and values: for each head the rows of the one and then those of the other.
  private func latent(
    _ recipe: TensorRecipe, _ match: Match, _ keys: String, _ tensors: [String: MappedTensor]
  ) -> TensorRecipe? {
    let values = keys.replacing(".attn_k_b.", with: ".attn_v_b.")
    guard let other = tensors[values]?.dimensions, recipe.shape.count == 3, other.count == 3 else { return nil }
    let (heads, latent, plain, value) = (recipe.shape[0], recipe.shape[1], recipe.shape[2], other[1])
    guard other == [heads, value, latent] else { return nil }
    var result = recipe
    result.shape = [heads * (plain + value), latent]
    result.content = .parts(
      (0..<heads).flatMap { head in
        [
          TensorRecipe.Part(
            sources: [keys], slice: head, view: TensorView(shape: [plain, latent], strides: [1, plain])),
          TensorRecipe.Part(sources: [values], slice: head, view: TensorView(shape: [value, latent])),
        ]
      })
    return result
  }
}

/// What cannot be converted.
private struct Problems {
  private var all: [String] = []

  mutating func add(_ problem: String) { all.append(problem) }

  func report() throws(ModelError) {
    if all.isEmpty { return }
    let shown = all.sorted().prefix(40).map { "\n  \($0)" }.joined()
    let more = all.count > 40 ? "\n  and \(all.count - 40) more." : ""
    throw ModelError(.badWeights, "The tensors cannot be converted:\(shown)\(more)")
  }
}
