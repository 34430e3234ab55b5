// What a model's linear maps are applied to on some text: for each of them the sum of x xᵀ over all positions, and the mean
// magnitude of each input.
//
// Invariant: the model is run as it is, with all its weights in float32; maps with the same input share one sum.

package import Models
internal import Networks
package import Tensors

/// Sums over calibration text.
package struct Calibration: Sendable {
  /// What is known of an input.
  package struct Input: Sendable {
    /// [inputs, inputs]: the sum of x xᵀ.
    package var hessian: [Double]
    /// [inputs]: the mean of |x|.
    package var magnitudes: [Double]
  }

  private var inputs: [Input]
  private var places: [String: Int] = [:]

  /// The input of a map by the name of its weight; nil: nothing is known of it, as of the experts of a mixture.
  package subscript(name: String) -> Input? { places[name].map { inputs[$0] } }

  /// The weights of the maps that are known, sorted.
  package var names: [String] { places.keys.sorted() }

  /// Runs a model over a text, in windows that follow each other.
  ///
  /// - Parameters:
  ///   - window: tokens of one; what is left over at the end does not count.
  ///   - limit: windows at the most.
  ///   - check: asked again and again; what it throws ends the work.
  ///   - progress: is told how many windows are done, and of how many.
  package init(
    _ model: any LanguageModel, _ binding: WeightBinding, text: [Int32], window: Int, limit: Int, backend: any Backend,
    check: () throws -> Void = {},
    progress: (_ done: Int, _ all: Int) throws -> Void = { _, _ in }
  ) throws {
    let store = binding.store
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, window]))
    let maps = store.recordingUses { _ = model.hidden(tokens, store.root, .training()) }.maps
    var outputs: [Tensor] = []
    var known: [Tensor.Reference: Int] = [:]
    for (name, input) in maps {
      if known[input.reference] == nil {
        known[input.reference] = outputs.count / 2
        let rows = input.reshaped(input.count / input.shape[-1], input.shape[-1]).cast(.float32)
        outputs += [rows.matmul(rows, transposeA: true), rows.absolute().sum(0)]
      }
      places[name] = known[input.reference]
    }
    let program = Program(inputs: [tokens] + store.parameters.map { store.given($0.name) }, outputs: outputs)
    let executable = try backend.compile(program)
    var sums = outputs.map { [Double](repeating: 0, count: $0.count) }
    let windows = min(limit, text.count / window)
    for index in 0..<windows {
      let part = Array(text[(index * window)..<((index + 1) * window)])
      let inputs = [TensorData(part, shape: [1, window])] + binding.values
      let results = try withoutActuallyEscaping(check) { check in
        try executable.run(inputs, extent: nil) { _, _ in try check() }
      }
      for (place, result) in results.enumerated() {
        let values = result.pointer.assumingMemoryBound(to: Float.self)
        for i in 0..<result.count { sums[place][i] += Double(values[i]) }
      }
      try progress(index + 1, windows)
    }
    let count = Double(max(1, windows * window))
    inputs = stride(from: 0, to: sums.count, by: 2).map { place in
      Input(hessian: sums[place], magnitudes: sums[place + 1].map { $0 / count })
    }
  }
}
