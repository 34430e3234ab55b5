// What a model's linear maps are applied to on some text: for each of them the sum of x xᵀ over all positions.
//
// Invariant: the model is run as it is, with all its weights in float32; maps with the same input share one sum.

package import Models
internal import Networks
package import Tensors

/// Sums over calibration text.
package struct Calibration {
  /// [inputs, inputs] by the names of weights.
  package private(set) var hessians: [String: [Double]] = [:]

  /// Runs a model over a text, in windows that follow each other.
  ///
  /// - Parameters:
  ///   - window: tokens of one; what is left over at the end does not count.
  ///   - limit: windows at the most.
  package init(
    _ model: any LanguageModel, _ binding: WeightBinding, text: [Int32], window: Int, limit: Int, backend: any Backend
  ) throws {
    let store = binding.store
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, window]))
    let recorded = store.recordingInputs { _ = model.hidden(tokens, store.root, .training()) }
    var outputs: [Tensor] = []
    var places: [Tensor.Reference: Int] = [:]
    for (_, input) in recorded where places[input.reference] == nil {
      places[input.reference] = outputs.count
      let rows = input.reshaped(input.count / input.shape[-1], input.shape[-1]).cast(.float32)
      outputs.append(rows.matmul(rows, transposeA: true))
    }
    let program = Program(inputs: [tokens] + store.parameters.map { store.given($0.name) }, outputs: outputs)
    let executable = try backend.compile(program)
    var sums = outputs.map { [Double](repeating: 0, count: $0.count) }
    for index in 0..<min(limit, text.count / window) {
      let part = Array(text[(index * window)..<((index + 1) * window)])
      let results = try executable.run([TensorData(part, shape: [1, window])] + binding.values)
      for (place, result) in results.enumerated() {
        let values = result.pointer.assumingMemoryBound(to: Float.self)
        for i in 0..<result.count { sums[place][i] += Double(values[i]) }
      }
    }
    for (name, input) in recorded { hessians[name] = sums[places[input.reference]!] }
  }
}
