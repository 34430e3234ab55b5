// Folders of tensors for tests.

internal import Core
internal import Formats
internal import FoundationEssentials
package import Tensors

package enum TinyFolder {
  /// A new folder with config.json and model.safetensors.
  package static func write(_ config: String, _ tensors: [String: TensorData]) throws -> String {
    let path = FileManager.default.temporaryDirectory.path + "/tachornis-tiny-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try AtomicFile.write(config, to: path + "/config.json")
    let entries = tensors.map { name, data in
      (
        tensor: SafetensorsTensor(
          name: name, type: data.type.element == .int64 ? .i64 : .f32, shape: data.shape.dimensions),
        bytes: UnsafeRawBufferPointer(data.bytes)
      )
    }
    try withExtendedLifetime(tensors) { try SafetensorsWriter.write(entries, to: path + "/model.safetensors") }
    return path
  }

  package static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }
}

extension TensorData {
  /// [I 0]: takes the first of two halves.
  package static func firstHalf(_ width: Int) -> TensorData {
    let values = (0..<width).flatMap { row in (0..<(2 * width)).map { $0 == row ? Float(1) : 0 } }
    return TensorData(values, shape: [width, 2 * width])
  }
}
