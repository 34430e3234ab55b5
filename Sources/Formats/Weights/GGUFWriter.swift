// Writing GGUF version 3: the same metadata and tensors in the same order give the same bytes.
//
// Tensors stand in the order given, each at a multiple of the alignment and padded to it. The file appears whole or not at
// all, and no tensor need be in memory as a whole.

internal import Core

package enum GGUFWriter {
  /// Writes tensors whose bytes are produced one after the other: `produce` is called once for each tensor, in their
  /// order, and must pass all its bytes to `emit`, in any number of parts.
  ///
  /// - Parameters:
  ///   - metadata: in the order of the file; no key twice.
  ///   - alignment: a power of two; any but 32 is noted in the metadata.
  package static func write(
    _ tensors: [GGUFTensor], metadata: [(key: String, value: GGUFValue)], alignment: Int = GGUFHeader.defaultAlignment,
    to path: String,
    produce: (_ tensor: GGUFTensor, _ emit: (UnsafeRawBufferPointer) throws -> Void) throws -> Void
  ) throws {
    precondition(alignment > 0 && alignment & (alignment - 1) == 0, "GGUFWriter: alignment of \(alignment)")
    precondition(Set(tensors.map { $0.name }).count == tensors.count, "two tensors have the same name")
    var metadata = metadata.filter { $0.key != GGUFHeader.alignmentKey }
    precondition(Set(metadata.map { $0.key }).count == metadata.count, "two metadata values have the same key")
    if alignment != GGUFHeader.defaultAlignment {
      metadata.insert((GGUFHeader.alignmentKey, .uint32(UInt32(alignment))), at: 0)
    }
    do {
      let file = try AtomicFile(path: path)
      func pad() throws { try file.write([UInt8](repeating: 0, count: -file.count & (alignment - 1))) }
      try file.write(header(tensors, metadata, alignment))
      try pad()
      for tensor in tensors {
        let start = file.count
        try produce(tensor) { try file.write($0) }
        let count = file.count - start
        precondition(count == tensor.byteCount, "\(tensor.name): \(count) bytes for \(tensor.shape) \(tensor.type)")
        try pad()
      }
      try file.commit()
    } catch let error as FileError {
      throw FormatsError(error)
    }
  }

  private static func header(
    _ tensors: [GGUFTensor], _ metadata: [(key: String, value: GGUFValue)], _ alignment: Int
  ) -> [UInt8] {
    var bytes = Array("GGUF".utf8)
    GGUFEncoder.append(UInt32(3), to: &bytes)
    GGUFEncoder.append(UInt64(tensors.count), to: &bytes)
    GGUFEncoder.append(UInt64(metadata.count), to: &bytes)
    for (key, value) in metadata {
      GGUFEncoder.append(key, to: &bytes)
      GGUFEncoder.append(value.kind.rawValue, to: &bytes)
      GGUFEncoder.append(value, to: &bytes)
    }
    var offset = 0
    for tensor in tensors {
      GGUFEncoder.append(tensor.name, to: &bytes)
      GGUFEncoder.append(UInt32(tensor.shape.count), to: &bytes)
      for size in tensor.shape.reversed() { GGUFEncoder.append(UInt64(size), to: &bytes) }
      GGUFEncoder.append(tensor.type.rawValue, to: &bytes)
      GGUFEncoder.append(UInt64(offset), to: &bytes)
      offset += (tensor.byteCount + alignment - 1) & ~(alignment - 1)
    }
    return bytes
  }
}

/// Values as GGUF files have them: little-endian, strings and arrays behind their length.
enum GGUFEncoder {
  static func append<T: FixedWidthInteger>(_ integer: T, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: integer.littleEndian) { bytes.append(contentsOf: $0) }
  }

  static func append(_ string: String, to bytes: inout [UInt8]) {
    append(UInt64(string.utf8.count), to: &bytes)
    bytes.append(contentsOf: string.utf8)
  }

  /// Without its kind.
  static func append(_ value: GGUFValue, to bytes: inout [UInt8]) {
    switch value {
    case .uint8(let value): append(value, to: &bytes)
    case .int8(let value): append(value, to: &bytes)
    case .uint16(let value): append(value, to: &bytes)
    case .int16(let value): append(value, to: &bytes)
    case .uint32(let value): append(value, to: &bytes)
    case .int32(let value): append(value, to: &bytes)
    case .uint64(let value): append(value, to: &bytes)
    case .int64(let value): append(value, to: &bytes)
    case .float32(let value): append(value.bitPattern, to: &bytes)
    case .float64(let value): append(value.bitPattern, to: &bytes)
    case .bool(let value): bytes.append(value ? 1 : 0)
    case .string(let value): append(value, to: &bytes)
    case .array(let value):
      append(value.kind.rawValue, to: &bytes)
      append(UInt64(value.count), to: &bytes)
      value.withEncoded { bytes.append(contentsOf: $0) }
    }
  }

  /// The memory of numbers that are little-endian already.
  static func bytes<T: BitwiseCopyable>(of numbers: [T]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }
}
