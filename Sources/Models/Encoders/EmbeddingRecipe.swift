// How hidden states become the vector of a text, as the files of sentence-transformers say: modules.json and the folders that
// it names, sentence_bert_config.json, config_sentence_transformers.json.
//
// Invariant: a module or setting that is not known is an error: a vector of another kind would fit nothing that is stored.

internal import Core
internal import Formats
internal import Networks
internal import Tensors

/// What is done with a text's hidden states.
struct EmbeddingRecipe: Sendable {
  enum Step: Sendable {
    /// activation(x · weightᵀ + bias)
    case dense(weight: Tensor, bias: Tensor?, DenseActivation)
    /// To the Euclidean length 1.
    case normalize
  }

  enum DenseActivation: Sendable {
    case none, tanh, sigmoid
    case activation(Activation)
  }

  /// One behind the other.
  var poolings: [Pooling] = [.mean]
  /// Whether a prompt's tokens are pooled, too.
  var includesPrompt = true
  var steps: [Step] = []
  /// What is put in front of texts, by its name.
  var prompts: [String: String] = [:]
  var usualPrompt = ""

  /// The mean of a model's states where it has no modules.json.
  init(_ model: PretrainedEncoder) throws(ModelError) {
    if let gguf = model.gguf {
      self = try EmbeddingRecipe(gguf, GGUFArchitecture.of(gguf))
      return
    }
    if let settings = try model.part("config_sentence_transformers.json") {
      for (name, value) in settings["prompts"]?.object ?? JSONObject() { prompts[name] = value.string }
      if let name = settings["default_prompt_name"]?.string { usualPrompt = prompts[name] ?? "" }
    }
    for (type, folder) in try EmbeddingRecipe.modules(model) {
      let settings = try model.part("\(folder)/config.json") ?? JSONObject()
      switch type {
      case "Transformer":
        if !folder.isEmpty { throw EmbeddingRecipe.unknown("the folder '\(folder)' for the encoder", model) }
      case "Pooling": try pool(settings, model)
      case "Normalize": steps.append(.normalize)
      case "Dense": steps.append(try EmbeddingRecipe.dense(settings, folder: "\(model.path)/\(folder)", model))
      case "Dropout": break
      default: throw EmbeddingRecipe.unknown("the module '\(type)'", model)
      }
    }
  }

  /// The modules' types, without what stands before the last dot, and their folders.
  private static func modules(_ model: PretrainedEncoder) throws(ModelError) -> [(type: String, folder: String)] {
    let file = "\(model.path)/modules.json"
    guard model.has("modules.json") else { return [] }
    let list: [JSONValue]
    do {
      list = try MappedFile(path: file).withBytes { try JSONValue(parsing: $0) }.array ?? []
    } catch {
      throw ModelError(.badConfiguration, "Cannot read \(file).", cause: error)
    }
    return list.map { module in
      let type = module["type"]?.string ?? ""
      return (type.split(separator: ".").last.map(String.init) ?? "", module["path"]?.string ?? "")
    }
  }

  private mutating func pool(_ settings: JSONObject, _ model: PretrainedEncoder) throws(ModelError) {
    let names: [(old: String, new: String, pooling: Pooling)] = [
      ("pooling_mode_cls_token", "cls", .cls), ("pooling_mode_max_tokens", "max", .max),
      ("pooling_mode_mean_tokens", "mean", .mean),
      ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", .meanRoot),
      ("pooling_mode_weightedmean_tokens", "weightedmean", .weightedMean),
      ("pooling_mode_lasttoken", "lasttoken", .last),
    ]
    if let given = settings["pooling_mode"] {
      poolings = []
      for name in given.array ?? [given] {
        guard let known = names.first(where: { $0.new == name.string }) else {
          throw EmbeddingRecipe.unknown("the pooling \(name.json)", model)
        }
        poolings.append(known.pooling)
      }
    } else {
      poolings = names.filter { settings[$0.old]?.bool == true }.map(\.pooling)
    }
    if poolings.isEmpty { poolings = [.mean] }
    includesPrompt = settings["include_prompt"]?.bool ?? true
    if !includesPrompt, poolings.contains(.weightedMean) {
      throw EmbeddingRecipe.unknown("a weighted mean without the prompt", model)
    }
  }

  private static func dense(
    _ settings: JSONObject, folder: String, _ model: PretrainedEncoder
  ) throws(ModelError) -> Step {
    if settings["use_residual"]?.bool == true { throw unknown("a Dense module with 'use_residual'", model) }
    let name = settings["activation_function"]?.string ?? "Tanh"
    let known: [String: DenseActivation] = [
      "Identity": .none, "Tanh": .tanh, "Sigmoid": .sigmoid, "ReLU": .activation(.relu),
      "GELU": .activation(.geluErf), "SiLU": .activation(.silu),
    ]
    guard let activation = known[name.split(separator: ".").last.map(String.init) ?? ""] else {
      throw unknown("the activation function '\(name)'", model)
    }
    let tensors: [String: MappedTensor]
    do {
      tensors = StoredTensors(try WeightFiles(path: folder)).tensors
    } catch {
      throw ModelError(.cannotRead, "Cannot read the weights of the Dense module in \(folder).", cause: error)
    }
    func value(_ name: String, _ shape: [Int]) throws(ModelError) -> Tensor {
      guard let tensor = tensors[name], tensor.dimensions == shape, case .dense(let element)? = tensor.form,
        element.isFloat
      else { throw ModelError(.badWeights, "The weights in \(folder) have no tensor '\(name)' of the shape \(shape).") }
      return Tensor(tensor.data(TensorType(element, Shape(shape)))).cast(.float32)
    }
    let (inputs, outputs) = (settings["in_features"]?.integer ?? 0, settings["out_features"]?.integer ?? 0)
    let bias = settings["bias"]?.bool ?? true ? try value("linear.bias", [outputs]) : nil
    return .dense(weight: try value("linear.weight", [outputs, inputs]), bias: bias, activation)
  }

  private static func unknown(_ what: String, _ model: PretrainedEncoder) -> ModelError {
    ModelError(.unsupported, "\(model.path)/modules.json asks for \(what), which this program does not have.")
  }

  /// The vectors of pooled rows [n, width].
  ///
  /// - Throws: `ModelError` where the rows do not fit a Dense module.
  func finished(_ rows: Tensor) throws(ModelError) -> Tensor {
    var x = rows
    for step in steps {
      switch step {
      case .normalize: x = x / x.sumOfSquares([-1]).expanded(at: -1).squareRoot().maximum(1e-12)
      case .dense(let weight, let bias, let activation):
        guard x.shape[-1] == weight.shape[1] else {
          throw ModelError(
            .badWeights, "A Dense module takes vectors of \(weight.shape[1]) elements, but gets \(x.shape[-1]).")
        }
        x = activation(x.linear(weight, bias: bias))
      }
    }
    return x
  }
}

extension EmbeddingRecipe.DenseActivation {
  fileprivate func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .none: x
    case .tanh: x.tanh()
    case .sigmoid: x.sigmoid()
    case .activation(let activation): x.activation(activation)
    }
  }
}
