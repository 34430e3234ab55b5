// From the matrices in an adapter's file to the linear maps of a model, by the tables that tell where files hold the model's own
// weights.

internal import Core
internal import Networks
public import Tensors

extension LowRankAdapter {
  /// Reads an adapter and checks that it fits a model.
  ///
  /// - Parameters:
  ///   - path: a folder of PEFT, or a GGUF file.
  ///   - element: the type of its matrices in memory: float32 or bfloat16.
  /// - Throws: `ModelError` that lists all that does not fit.
  public init(path: String, for pretrained: PretrainedModel, element: ElementType = .float32) throws(ModelError) {
    let file = try AdapterFile(path: path)
    var problems = file.problems
    let model = pretrained.model
    let store = WeightStore()
    let adaptable = Set(store.recordingUses { model.declare(in: store) }.maps.map(\.weight))
    let parameters = store.parameters.filter { adaptable.contains($0.name) }
    let sources = pretrained.family.sources(model, parameters)
    let order = RowOrder(pretrained, file)
    if let architecture = file.architecture, !architecture.types.contains(where: { $0.type == pretrained.type }) {
      problems.append("It is for models of the architecture '\(architecture.name)', not for '\(pretrained.type)'.")
    }

    // Under the model's names, with or without what files of a bare model leave out.
    var modules: [String: AdapterFile.Module] = [:]
    for (name, module) in file.modules { modules[pretrained.family.name(name) ?? name] = module }
    var unused = Set(modules.keys)
    var (names, tensors): ([String], [Tensor]) = ([], [])
    for parameter in parameters {
      let (weight, rows, count) = Self.place(sources[parameter.name], parameter)
      let bare = weight.hasPrefix(pretrained.family.prefix) ? weight.dropFirst(pretrained.family.prefix.count) : ""
      guard let found = [weight, String(bare)].first(where: { modules[$0] != nil }) else { continue }
      unused.remove(found)
      let module = modules[found]!
      let (inputs, outputs) = (module.down.dimensions[1], module.up.dimensions[0])
      guard inputs == parameter.shape[1], outputs == count else {
        problems.append(
          "'\(found)' adapts a map of \(inputs) to \(outputs); it is one of \(parameter.shape[1]) to \(count).")
        continue
      }
      let up = (module.up.asFloats * module.scale).sliced(rows, axis: 0)
      names.append(parameter.name)
      tensors += [module.down.asFloats.cast(element), order.turned(up, parameter.name).transposed().cast(element)]
    }
    for name in unused.sorted() {
      problems.append("'\(name)' is no linear map of the model, or one that cannot be adapted.")
    }
    if !problems.isEmpty {
      let shown = problems.prefix(40).map { "\n  \($0)" }.joined()
      let more = problems.count > 40 ? "\n  and \(problems.count - 40) more." : ""
      throw ModelError(.badWeights, "The adapter '\(path)' cannot be used with this model:\(shown)\(more)")
    }
    do {
      let values = try evaluate(tensors)
      let maps = names.enumerated().map { ($1, Map(down: values[2 * $0], up: values[2 * $0 + 1])) }
      self.init(path: path, maps: Dictionary(uniqueKeysWithValues: maps))
    } catch {
      throw ModelError(.cannotRead, "The matrices of the adapter '\(path)' could not be converted.", cause: error)
    }
  }

  /// The tensor of a checkpoint that holds a parameter, and which of how many rows.
  private static func place(
    _ source: ParameterSource?, _ parameter: Parameter
  ) -> (name: String, rows: Range<Int>, count: Int) {
    let all = parameter.shape[0]
    switch source {
    case .tensor(let name): return (name, 0..<all, all)
    case .rows(let rows, let name, let count, _): return (name, rows, count)
    // What else there is are the matrices of experts, which are no linear maps.
    case nil, .stacked, .slices, .mxfp4, .either: return (parameter.name, 0..<all, all)
    }
  }
}

/// Rows of queries and keys stand in the order of the model's rotation: in halves in folders, neighbours side by side in GGUF
/// files of some architectures.
struct RowOrder {
  private let sizes: HeadSizes
  private let model: GGUFArchitecture?
  private let adapter: GGUFArchitecture?

  init(_ pretrained: PretrainedModel, _ file: AdapterFile) {
    sizes = HeadSizes(pretrained.settings)
    (model, adapter) = (pretrained.architecture, file.architecture)
  }

  /// The heads of a parameter whose rows an architecture has side by side.
  private func heads(_ architecture: GGUFArchitecture?, _ parameter: String) -> Int? {
    for match in architecture?.matches(huggingFace: parameter) ?? [] {
      switch match.rule.form {
      case .queryRows: return sizes.heads
      case .keyRows: return sizes.kvHeads
      default: continue
      }
    }
    return nil
  }

  /// Rows [outputs, rank] as the model has them.
  func turned(_ x: Tensor, _ parameter: String) -> Tensor {
    let (own, given) = (heads(model, parameter), heads(adapter, parameter))
    guard (own == nil) != (given == nil), let heads = own ?? given else { return x }
    let half = x.shape[0] / heads / 2
    let (first, second) = own == nil ? (half, 2) : (2, half)
    return x.reshaped(heads, first, second, x.shape[1]).permuted([0, 2, 1, 3]).reshaped(x.shape.dimensions)
  }
}

extension MappedTensor {
  /// As float32.
  var asFloats: Tensor {
    form!.value(of: Tensor(data(form!.type(Shape(dimensions))))).cast(.float32)
  }
}
