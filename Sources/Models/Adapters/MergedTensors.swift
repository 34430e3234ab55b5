// A checkpoint with an adapter in its weights: each tensor is added to as it is read, so that never more than one is held.

internal import Core
internal import Networks
internal import Tensors

/// What an adapter adds to the tensors of a folder of Hugging Face.
struct MergedTensors {
  private let modules: [String: AdapterFile.Module]
  /// Tensors that hold the transpose of a map.
  private let transposed: Set<String>
  private let prefix: String
  private let order: RowOrder

  /// - Throws: `ModelError` if the adapter does not fit the model.
  init(path: String, for pretrained: PretrainedModel) throws(ModelError) {
    _ = try LowRankAdapter(path: path, for: pretrained)
    let file = try AdapterFile(path: path)
    let family = pretrained.family
    modules = Dictionary(uniqueKeysWithValues: file.modules.map { (family.name($0.key) ?? $0.key, $0.value) })
    let sources = family.sources(pretrained.model, pretrained.model.parameters)
    transposed = Set(
      sources.values.compactMap { source in
        if case .rows(_, let name, _, transposed: true) = source { name } else { nil }
      })
    prefix = family.prefix
    order = RowOrder(pretrained, file)
  }

  /// A tensor with what is added to it, in float32; or as it is.
  func merged(_ name: String, _ tensor: MappedTensor) throws -> MappedTensor {
    let bare = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    let names = [prefix + bare, bare]
    guard let found = names.first(where: { modules[$0] != nil }) else { return tensor }
    let module = modules[found]!
    let up = order.turned(module.up.asFloats * module.scale, prefix + bare)
    let added = up.matmul(module.down.asFloats)
    let isTransposed = names.contains(where: transposed.contains)
    let value = try evaluate([tensor.asFloats + (isTransposed ? added.transposed() : added)])[0]
    return MappedTensor(
      form: .dense(.float32), typeName: "F32", dimensions: tensor.dimensions,
      bytes: UnsafeRawBufferPointer(value.bytes),
      owner: value)
  }
}
