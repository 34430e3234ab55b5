// Writing safetensors: the same tensors give the same bytes, whatever order they come in.
//
// Tensors are sorted by falling element width, then by name (as the reference implementation does, so every tensor is
// aligned to its element), and the header is padded so that the data begins at a multiple of 64. The file appears whole or
// not at all.

internal import Core

package enum SafetensorsWriter {
  private static let alignment = 64

  /// Writes tensors whose bytes are produced one after the other: `produce` is called once for each tensor, in the order
  /// of the file, and must pass all its bytes to `emit`, in any number of parts.
  package static func write(
    _ tensors: [SafetensorsTensor], metadata: [String: String] = [:], to path: String,
    produce: (_ tensor: SafetensorsTensor, _ emit: (UnsafeRawBufferPointer) throws -> Void) throws -> Void
  ) throws {
    let sorted = tensors.sorted { ($1.type.bitWidth, $0.name) < ($0.type.bitWidth, $1.name) }
    precondition(Set(sorted.map { $0.name }).count == sorted.count, "two tensors have the same name")
    do {
      let file = try AtomicFile(path: path)
      try file.write(header(sorted, metadata))
      for tensor in sorted {
        let start = file.count
        try produce(tensor) { try file.write($0) }
        let count = file.count - start
        precondition(count == tensor.byteCount, "\(tensor.name): \(count) bytes for \(tensor.shape) \(tensor.type)")
      }
      try file.commit()
    } catch let error as FileError {
      throw FormatsError(error)
    }
  }

  /// Writes tensors that are in memory; `bytes` may be in any order.
  package static func write(
    _ tensors: [(tensor: SafetensorsTensor, bytes: UnsafeRawBufferPointer)], metadata: [String: String] = [:],
    to path: String
  ) throws {
    let bytes = Dictionary(tensors.map { ($0.tensor.name, $0.bytes) }, uniquingKeysWith: { first, _ in first })
    try write(tensors.map { $0.tensor }, metadata: metadata, to: path) { tensor, emit in try emit(bytes[tensor.name]!) }
  }

  private static func header(_ tensors: [SafetensorsTensor], _ metadata: [String: String]) -> [UInt8] {
    var json: [UInt8] = [UInt8(ascii: "{")]
    func separate() { if json.count > 1 { json.append(UInt8(ascii: ",")) } }
    if !metadata.isEmpty {
      json.append(contentsOf: "\"__metadata__\":{".utf8)
      for (index, (key, value)) in metadata.sorted(by: { $0.key < $1.key }).enumerated() {
        if index > 0 { json.append(UInt8(ascii: ",")) }
        JSONText.append(key, to: &json)
        json.append(UInt8(ascii: ":"))
        JSONText.append(value, to: &json)
      }
      json.append(UInt8(ascii: "}"))
    }
    var offset = 0
    for tensor in tensors {
      separate()
      JSONText.append(tensor.name, to: &json)
      let shape = tensor.shape.map { String($0) }.joined(separator: ",")
      let end = offset + tensor.byteCount
      let entry = ":{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
      json.append(contentsOf: entry.utf8)
      offset = end
    }
    json.append(UInt8(ascii: "}"))
    while (json.count + 8) % alignment != 0 { json.append(UInt8(ascii: " ")) }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }
}
