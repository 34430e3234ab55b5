// An adapter of a `TinyModel` on disk, as PEFT would have saved it.

package import Core
internal import Formats
internal import FoundationEssentials
internal import Tensors

/// A folder with an adapter of random weights; removed with the object.
package final class TinyAdapter: Sendable {
  package let path: String

  /// - Parameter maps: which linear maps of both layers are adapted.
  package init(rank: Int, maps: [String] = ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"], seed: UInt64)
    throws
  {
    path = FileManager.default.temporaryDirectory.path + "/tachornis-adapter-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let sizes = [
      "self_attn.q_proj": (32, 32), "self_attn.k_proj": (32, 16), "self_attn.v_proj": (32, 16),
      "self_attn.o_proj": (32, 32), "mlp.gate_proj": (32, 48), "mlp.up_proj": (32, 48), "mlp.down_proj": (48, 32),
    ]
    var random = RandomSequence(seed: seed, stream: 0)
    var tensors: [String: TensorData] = [:]
    for layer in 0..<2 {
      for map in maps {
        let (inputs, outputs) = sizes[map]!
        func matrix(_ rows: Int, _ columns: Int) -> TensorData {
          let values = (0..<(rows * columns)).map { _ in Double(random.next() >> 40) / Double(1 << 24) - 0.5 }
          return TensorData(values, shape: [rows, columns])
        }
        let name = "base_model.model.model.layers.\(layer).\(map)"
        tensors[name + ".lora_A.weight"] = matrix(rank, inputs)
        tensors[name + ".lora_B.weight"] = matrix(outputs, rank)
      }
    }
    let settings = #"{"peft_type": "LORA", "r": \#(rank), "lora_alpha": \#(2 * rank), "bias": "none"}"#
    try settings.write(toFile: path + "/adapter_config.json", atomically: true, encoding: .utf8)
    try SafetensorsWriter.write(
      tensors.map { SafetensorsTensor(name: $0.key, type: .f32, shape: $0.value.shape.dimensions) },
      to: path + "/adapter_model.safetensors"
    ) { tensor, emit in
      let data = tensors[tensor.name]!
      try withExtendedLifetime(data) { try emit(UnsafeRawBufferPointer(data.bytes)) }
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
