// A model on disk that is small enough for any test: random weights, characters as tokens.

package import Core
internal import Formats
internal import FoundationEssentials
internal import Models
internal import Networks
package import Tensors

/// A folder with a tiny model; removed with the object.
package final class TinyModel: Sendable {
  package let path: String

  /// - Parameters:
  ///   - context: the most positions of a text.
  ///   - scale: by what usual initial weights are multiplied: the larger, the clearer the likeliest token.
  ///   - change: changes weights.
  package init(
    context: Int = 128, seed: UInt64 = 5, scale: Double = 8,
    change: (inout [String: TensorData]) -> Void = { _ in }
  ) throws {
    path = FileManager.default.temporaryDirectory.path + "/tachornis-tiny-\(UUID().uuidString)"
    let tokenizer = CharacterTokenizer(characters: (32..<127).map { Unicode.Scalar($0) })
    let shape = GPTConfiguration.modern(
      layers: 2, width: 32, heads: 4, kvHeads: 2, headSize: 8, mlpWidth: 48, context: context,
      vocabulary: tokenizer.vocabularySize)
    let store = WeightStore()
    GPT(shape).declare(in: store)
    var weights = try store.initialValues(seed: seed)
    for (name, data) in weights where data.shape.rank == 2 {
      weights[name] = TensorData(data.doubles.map { $0 * scale }, shape: data.shape)
    }
    change(&weights)
    try GPTFolder.write(shape, weights: weights, to: path, tokenizer: tokenizer)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
