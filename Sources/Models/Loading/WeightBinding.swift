// From the tensors of a checkpoint to the inputs of a model's programs.
//
// Invariant: nothing is guessed. Every missing, unexpected and misshaped tensor is found before any is read, and all are
// reported at once. What can be used in place is: a weight is copied only where it must be converted, transposed or joined.

internal import Core
package import Networks
package import Tensors

/// In which type weights are held.
package enum WeightPrecision: String, CaseIterable, Sendable {
  /// As in the file.
  case stored
  case float32
  case bfloat16
}

/// A model's weights, bound to the tensors of a checkpoint.
package struct WeightBinding {
  /// The parameters as placeholders of the forms in which they are held.
  package let store: WeightStore
  /// A value for each of the store's parameters, in their order.
  package let values: [TensorData]
  /// What a person should know of how the weights are held.
  package let notices: [String]

  /// - Throws: `ModelError` that lists all that does not fit.
  init(
    _ family: ModelFamily, _ model: any LanguageModel, to stored: StoredTensors, precision: WeightPrecision
  ) throws(ModelError) {
    let sources = family.sources(model, model.parameters)
    let names = (prefix: family.prefix, ignored: family.ignored, type: family.types[0])
    var tensors: [String: MappedTensor] = [:]
    for (name, tensor) in stored.tensors {
      if let name = family.name(name), !family.isExtra(model, name) { tensors[name] = tensor }
    }
    try self.init(names, sources, to: tensors, notices: stored.notices, precision: precision) { model.declare(in: $0) }
  }

  /// - Parameters:
  ///   - names: what files of a bare model leave out in front of names, the endings of tensors that are not read, and what
  ///     the model is called in messages.
  ///   - sources: where a file holds those parameters that it does not hold as tensors of their own names.
  ///   - notices: what there is to say of the tensors.
  ///   - activations: the type of hidden states.
  ///   - declare: mentions all parameters in a store.
  init(
    _ names: (prefix: String, ignored: [String], type: String), _ sources: [String: ParameterSource],
    to tensors: [String: MappedTensor], notices: [String] = [], precision: WeightPrecision,
    activations: ElementType = .float32, declare: (WeightStore) -> Void
  ) throws(ModelError) {
    let described = WeightStore()
    declare(described)
    let parameters = described.parameters
    var matcher = Matcher(tensors, prefix: names.prefix)
    let found = parameters.map { matcher.find($0, sources[$0.name] ?? .tensor($0.name)) }
    try matcher.finish(ignored: names.ignored, type: names.type)

    var forms: [String: StoredForm] = [:]
    for (parameter, part) in zip(parameters, found) where parameter.role != .vector {
      forms[parameter.name] = precision.form(part!.form)
    }
    store = WeightStore(stored: forms, activations: activations)
    declare(store)
    var values: [TensorData] = []
    for (parameter, part) in zip(parameters, found) {
      values.append(try part!.value(parameter.shape, as: forms[parameter.name] ?? .dense(.float32)))
    }
    self.values = values
    self.notices = notices + matcher.notices
  }
}

extension WeightBinding {
  /// The same weights with some in other forms.
  ///
  /// - Parameter replacements: by the parameters' names; values of the forms' types.
  package func replacing(
    _ replacements: [String: (form: StoredForm, value: TensorData)], in model: any LanguageModel
  ) -> WeightBinding {
    var forms = replacements.mapValues(\.form)
    for parameter in store.parameters where forms[parameter.name] == nil && parameter.role != .vector {
      forms[parameter.name] = .dense(store.given(parameter.name).element)
    }
    let new = WeightStore(stored: forms)
    model.declare(in: new)
    let own = Dictionary(uniqueKeysWithValues: zip(store.parameters.map(\.name), values))
    return WeightBinding(store: new, values: new.parameters.map { replacements[$0.name]?.value ?? own[$0.name]! })
  }

  private init(store: WeightStore, values: [TensorData]) {
    self.store = store
    self.values = values
    notices = []
  }
}

extension WeightPrecision {
  func form(_ stored: StoredForm) -> StoredForm {
    switch (self, stored) {
    case (.float32, .dense): .dense(.float32)
    case (.bfloat16, .dense): .dense(.bfloat16)
    case (.stored, .dense(.float64)): .dense(.float32)
    case (.stored, _), (_, .blocks), (_, .orderedBlocks): stored
    }
  }
}

/// Finds parameters among tensors and keeps what does not fit.
private struct Matcher {
  let tensors: [String: MappedTensor]
  let prefix: String
  var unused: Set<String>
  var problems: [String] = []
  /// Quantised weights that have to be held as floats: the first tensor, its bytes in the file and in memory.
  var expanded: [(name: String, stored: Int, held: Int)] = []

  init(_ tensors: [String: MappedTensor], prefix: String) {
    self.tensors = tensors
    self.prefix = prefix
    unused = Set(tensors.keys)
  }

  /// nil: a problem was noted.
  mutating func find(_ parameter: Parameter, _ source: ParameterSource) -> BoundParameter? {
    // A file may hold as one tensor what other files hold in parts.
    let name = parameter.name
    if source != .tensor(name), tensors[name] != nil { return find(parameter, .tensor(name)) }
    if case .either(let sources) = source { return find(parameter, sources.first(where: has) ?? sources[0]) }
    let arrays = source.names.compactMap { take($0) }
    guard arrays.count == source.names.count else { return nil }
    let shape = parameter.shape.dimensions
    switch source {
    case .tensor: return check(arrays, source, shape)
    case .stacked: return check(arrays, source, Array(shape.dropFirst()))
    case .slices(let slices): return check(arrays, source, slices.shape)
    case .mxfp4(_, let rows): return checkMXFP4(arrays, source, rows.shape)
    case .either: preconditionFailure("one was chosen before")
    case .rows(let rows, let name, let count, let transposed):
      let isTransposed = transposed != arrays[0].tensor.isTransposed && shape.count == 2
      let whole = [count] + shape.dropFirst()
      guard let bound = check(arrays, source, isTransposed ? whole.reversed() : whole) else { return nil }
      if isTransposed { return bound }
      return BoundParameter(source: .tensor(name), tensors: [bound.tensors[0].rows(rows)], form: bound.form)
    }
  }

  /// Whether a source's tensors are all there.
  private func has(_ source: ParameterSource) -> Bool {
    source.names.allSatisfy { name in
      tensors[name] != nil || name.hasPrefix(prefix) && tensors[String(name.dropFirst(prefix.count))] != nil
    }
  }

  private mutating func take(_ name: String) -> (name: String, tensor: MappedTensor)? {
    let bare = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    for candidate in [name, bare] {
      if let tensor = tensors[candidate] {
        unused.remove(candidate)
        return (candidate, tensor)
      }
    }
    problems.append("'\(name)' is missing.")
    return nil
  }

  private mutating func check(
    _ arrays: [(name: String, tensor: MappedTensor)], _ source: ParameterSource, _ expected: [Int]
  ) -> BoundParameter? {
    for (name, tensor) in arrays {
      if tensor.dimensions != expected {
        problems.append("'\(name)' has the shape \(tensor.dimensions), not \(expected).")
        return nil
      }
      guard let form = tensor.form else {
        problems.append("'\(name)' is of the type \(tensor.typeName), which this program does not compute with.")
        return nil
      }
      if case .dense(let element) = form, !element.isFloat {
        problems.append("'\(name)' does not hold floating-point numbers.")
        return nil
      }
      if form.isBlocks, case .slices = source {
        problems.append("'\(name)' is quantised as \(tensor.typeName) with parts that belong to two parameters.")
        return nil
      }
    }
    var form = arrays[0].tensor.form!
    if case .stacked(let names) = source {
      // Products by group want blocks of one kind, with columns as they are.
      let isOrdered = if case .orderedBlocks = form { true } else { false }
      let isMixed = arrays.contains { $0.tensor.form != form && ($0.tensor.form!.isBlocks || form.isBlocks) }
      if isOrdered || isMixed {
        let size = arrays.map(\.tensor.bytes.count).reduce(0, +)
        form = .dense(.float16)
        expanded.append((names[0], size, expected.reduce(2 * arrays.count, *)))
      }
    }
    return BoundParameter(source: source, tensors: arrays.map(\.tensor), form: form)
  }

  /// - Parameter shape: of the matrices: [experts, rows, columns].
  private mutating func checkMXFP4(
    _ arrays: [(name: String, tensor: MappedTensor)], _ source: ParameterSource, _ shape: [Int]
  ) -> BoundParameter? {
    let blocks = [shape[0], shape[1], shape[2] / 32]
    for ((name, tensor), expected) in zip(arrays, [blocks + [16], blocks]) {
      if tensor.dimensions != expected || tensor.form != .dense(.uint8) || shape[2] % 32 != 0 {
        problems.append(
          "'\(name)' is \(tensor.typeName) \(tensor.dimensions), not bytes of MXFP4 \(expected) for \(shape) weights.")
        return nil
      }
    }
    return BoundParameter(source: source, tensors: arrays.map(\.tensor), form: .blocks(.mxfp4))
  }

  var notices: [String] {
    guard let first = expanded.first else { return [] }
    let (stored, held) = (expanded.map(\.stored).reduce(0, +), expanded.map(\.held).reduce(0, +))
    return [
      "The experts of \(expanded.count) maps ('\(first.name)' and so on) are quantised in ways that do not go together (each "
        + "with its columns in an order of its own, or some not at all): they are held as float16, in "
        + "\(Numerals.bytes(held)) instead of \(Numerals.bytes(stored))."
    ]
  }

  /// - Throws: if there was a problem, or if tensors are left over.
  mutating func finish(ignored: [String], type: String) throws(ModelError) {
    for name in unused.sorted() where !ignored.contains(where: name.hasSuffix) && name != "lm_head.weight" {
      problems.append("'\(name)' is not part of a \(type) model of this configuration.")
    }
    if problems.isEmpty { return }
    let shown = problems.prefix(40).map { "\n  \($0)" }.joined()
    let more = problems.count > 40 ? "\n  and \(problems.count - 40) more." : ""
    throw ModelError(
      .badWeights, "The tensors do not fit config.json; check that both are of the same model:\(shown)\(more)")
  }
}

/// A parameter and the tensors that hold it.
private struct BoundParameter {
  var source: ParameterSource
  var tensors: [MappedTensor]
  var form: StoredForm

  func value(_ shape: Shape, as wanted: StoredForm) throws(ModelError) -> TensorData {
    do {
      switch source {
      case .tensor where form == wanted: return tensors[0].data(form.type(shape))
      case .tensor: return try evaluate([converted(tensors[0], shape, to: wanted)])[0]
      case .rows(let rows, _, _, _):
        // Only transposed ones get here.
        let part = dense(tensors[0], Shape(tensors[0].dimensions)).transposed().sliced(rows, axis: 0)
        return try evaluate([part.cast(wanted.element)])[0]
      case .stacked: return try stacked(shape, as: wanted)
      case .slices(let slices):
        let part = dense(tensors[0], Shape(slices.shape)).sliced(slices.range, axis: slices.axis, step: slices.step)
        return try evaluate([(slices.transposed ? part.transposed() : part).cast(wanted.element)])[0]
      case .mxfp4(_, let rows):
        let blocks = packedMXFP4(blocks: tensors[0], scales: tensors[1], rows)
        return wanted == form ? blocks : try evaluate([Tensor(blocks).dequantized(.mxfp4, wanted.element)])[0]
      case .either: preconditionFailure("one was chosen before")
      }
    } catch {
      throw ModelError(.cannotRead, "A weight could not be converted.", cause: error)
    }
  }

  private func dense(_ tensor: MappedTensor, _ shape: Shape) -> Tensor {
    Tensor(tensor.data(tensor.form!.type(shape)))
  }

  private func converted(_ tensor: MappedTensor, _ shape: Shape, to wanted: StoredForm) -> Tensor {
    tensor.form!.value(of: dense(tensor, shape)).cast(wanted.element)
  }

  /// The tensors one after another; each is converted by itself, so that never more than one is held twice.
  private func stacked(_ shape: Shape, as wanted: StoredForm) throws -> TensorData {
    let type = wanted.type(shape)
    let result = TensorData(type)
    let part = Shape(Array(shape.dimensions.dropFirst()))
    let bytes = type.bytes / max(1, shape[0])
    for (index, tensor) in tensors.enumerated() {
      let target = UnsafeMutableRawBufferPointer(rebasing: result.bytes[(index * bytes)..<((index + 1) * bytes)])
      if tensor.form == wanted {
        target.copyMemory(from: tensor.bytes)
      } else {
        let value = try evaluate([converted(tensor, part, to: wanted)])[0]
        withExtendedLifetime(value) { target.copyMemory(from: UnsafeRawBufferPointer(value.bytes)) }
      }
    }
    return result
  }
}
