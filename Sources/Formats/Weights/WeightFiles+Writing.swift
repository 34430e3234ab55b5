// Writing the weights of a model into a folder, in one file or, where they are large, in several with an index.
//
// Invariant: the index is written last, so a folder with an index has all its files.

internal import Core

extension WeightFiles {
  /// What hubs accept as one file at the least.
  package static let defaultShardLimit = 5_000_000_000

  /// Writes tensors into `folder`, which must exist: `model.safetensors`, or `model-00001-of-0000N.safetensors` and so on
  /// with an index where they have more bytes than `limit` (only a single tensor may be larger than a file should be).
  ///
  /// - Parameter produce: called once for each tensor, in the order of the files; see `SafetensorsWriter.write`.
  package static func write(
    _ tensors: [SafetensorsTensor], metadata: [String: String] = [:], to folder: String,
    limit: Int = defaultShardLimit,
    produce: (_ tensor: SafetensorsTensor, _ emit: (UnsafeRawBufferPointer) throws -> Void) throws -> Void
  ) throws {
    let shards = shards(of: tensors, limit: limit)
    guard shards.count > 1 else {
      return try SafetensorsWriter.write(tensors, metadata: metadata, to: "\(folder)/\(singleName)", produce: produce)
    }
    func digits(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - "\(value)".count)) + "\(value)" }
    var map: [(key: String, value: JSONValue)] = []
    for (index, shard) in shards.enumerated() {
      let name = "model-\(digits(index + 1))-of-\(digits(shards.count)).safetensors"
      try SafetensorsWriter.write(shard, metadata: metadata, to: "\(folder)/\(name)", produce: produce)
      map += shard.map { ($0.name, .string(name)) }
    }
    let size = tensors.map { $0.byteCount }.reduce(0, +)
    let index: JSONValue = [
      "metadata": ["total_size": .number(JSONNumber(size))],
      "weight_map": .object(JSONObject(map.sorted { $0.key < $1.key })),
    ]
    try FormatsError.wrappingFile { () throws(FileError) in
      try AtomicFile.write(index.json + "\n", to: "\(folder)/\(indexName)")
    }
  }

  /// The tensors in their order, cut where the next one would exceed the limit.
  private static func shards(of tensors: [SafetensorsTensor], limit: Int) -> [[SafetensorsTensor]] {
    var shards: [[SafetensorsTensor]] = [[]]
    var size = 0
    for tensor in tensors {
      if size + tensor.byteCount > limit, !shards[shards.count - 1].isEmpty {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += tensor.byteCount
    }
    return shards
  }
}
