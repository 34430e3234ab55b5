// AWQ is held against rounding to nearest by what it minimises: the error of products on the text it has seen.

import CPUBackend
import Core
import Formats
import Models
import Networks
import Quantization
import Tensors
import Testing

@Suite struct AWQTests {
  @Test(arguments: [false, true]) func productsAreLessWrongThanByRoundingToNearest(clips: Bool) throws {
    let path = Checkpoint.models + "/qwen3"
    let pretrained = try PretrainedModel(path: path)
    let binding = try pretrained.weights(.float32)
    let backend = CPUBackend(threads: 1)
    let text = (0..<512).map { Int32(($0 * 37 + $0 * $0) % 90) }
    let calibration = try Calibration(pretrained.model, binding, text: text, window: 16, limit: 32, backend: backend)
    let scheme = IntegerMatrix.Scheme(bits: 4, group: 32, isSymmetric: false)
    var awq = AWQ()
    awq.clips = clips
    let parameters = binding.store.parameters
    func isRounded(_ parameter: Parameter) -> Bool { parameter.role == .matrix && parameter.shape[-1] % 32 == 0 }
    let rounded = Set(parameters.filter(isRounded).map(\.name))
    let scaled = try awq.scaled(
      pretrained.model, binding, calibration, scheme, rounded: rounded,
      writable: Set(parameters.map(\.name)), backend: backend)
    let changed = scaled.values.keys.sorted()
    #expect(changed.contains { $0.contains("up_proj") })
    // The logits of the scaled model, rounded, against those of the plain one, rounded.
    func logits(_ round: (Parameter, [Float]) throws -> IntegerMatrix, _ values: [String: [Float]]) throws -> [Double] {
      var replaced: [String: (form: StoredForm, value: TensorData)] = [:]
      for (parameter, value) in zip(parameters, binding.values) {
        let floats = values[parameter.name] ?? value.floats
        replaced[parameter.name] =
          isRounded(parameter)
          ? (.blocks(.int4(group: 32)), try round(parameter, floats).blocks)
          : (.dense(.float32), TensorData(floats, shape: parameter.shape))
      }
      return try binding.replacing(replaced, in: pretrained.model)
        .logits(of: Array(text.prefix(128)), pretrained.model, exact: true, backend: backend)
    }
    let original = try binding.logits(of: Array(text.prefix(128)), pretrained.model, exact: true, backend: backend)
    let plain = ModelQuantizer(scheme)
    var quantizer = plain
    quantizer.method = .awq(scaled)
    let nearest = relativeError(try logits({ try plain.integers($0, $1) }, [:]), original)
    let found = relativeError(try logits({ try quantizer.integers($0, $1) }, scaled.values), original)
    #expect(found < nearest, "\(found) and \(nearest)")
  }
}
