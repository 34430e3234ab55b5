// One vector from the hidden states of a text: Reimers and Gurevych (2019), arXiv:1908.10084.

/// How the states of a text's tokens become one.
public enum Pooling: String, CaseIterable, Sendable {
  /// The first token's, which BERT calls [CLS].
  case cls
  /// The largest of each element.
  case max
  case mean
  /// The sum, divided by the square root of the number of tokens.
  case meanRoot = "mean-root"
  /// The mean with the weights 1, 2, 3, ...
  case weightedMean = "weighted-mean"
  /// The last token's.
  case last

  /// - Parameter states: [tokens, width], at least one token.
  /// - Returns: [width].
  package func callAsFunction(_ states: UnsafeBufferPointer<Float>, width: Int) -> [Float] {
    precondition(
      width > 0 && !states.isEmpty && states.count % width == 0, "\(states.count) elements in rows of \(width)")
    let count = states.count / width
    switch self {
    case .cls: return Array(states[..<width])
    case .last: return Array(states[(states.count - width)...])
    case .max:
      var result = Array(states[..<width])
      for row in 1..<Swift.max(count, 2) where row < count {
        for i in 0..<width { result[i] = Swift.max(result[i], states[row * width + i]) }
      }
      return result
    case .mean: return weightedSum(states, width) { _ in 1 / Float(count) }
    case .meanRoot: return weightedSum(states, width) { _ in 1 / Float(count).squareRoot() }
    case .weightedMean:
      let total = Float(count) * Float(count + 1) / 2
      return weightedSum(states, width) { Float($0 + 1) / total }
    }
  }

  private func weightedSum(
    _ states: UnsafeBufferPointer<Float>, _ width: Int, _ weight: (Int) -> Float
  ) -> [Float] {
    var result = [Float](repeating: 0, count: width)
    for row in 0..<(states.count / width) {
      let weight = weight(row)
      for i in 0..<width { result[i] += weight * states[row * width + i] }
    }
    return result
  }
}
