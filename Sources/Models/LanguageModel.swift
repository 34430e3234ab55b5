// What all architectures have in common: hidden states from tokens, and logits from hidden states. Everything that runs,
// trains or measures a model knows only this.
//
// Invariant: `hidden` is one function for training, reading a prompt and decoding; the context alone tells them apart.

public import Networks
public import Tensors

/// A decoder: a model that predicts the next token.
public protocol LanguageModel: Sendable {
  /// Tokens that the model knows.
  var vocabulary: Int { get }
  /// The most positions of a sequence.
  var context: Int { get }
  /// Bounds logits to ±softcap by tanh; nil: as they are.
  var logitSoftcap: Double? { get }

  /// The positions up to which a text is short, if short and long texts are read in different ways: then caches that have
  /// room for more are for long texts, and what was read for the one is of no use for the other.
  var shortTexts: Int? { get }

  /// The hidden states after the last norm: [batch · positions, width].
  ///
  /// - Parameter tokens: int32 [batch, positions].
  func hidden(_ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor

  /// The output head, [vocabulary, width].
  func head(_ weights: Weights) -> Tensor
}

extension LanguageModel {
  public var logitSoftcap: Double? { nil }
  public var shortTexts: Int? { nil }

  /// The cross-entropy of each position in nats: float32 [batch · positions], 0 where the target is negative.
  ///
  /// - Parameters:
  ///   - tokens: int32 [batch, positions].
  ///   - targets: int32 of as many elements: the token that follows each position; negative ones do not count.
  public func loss(_ tokens: Tensor, targets: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let hidden = hidden(tokens, weights, context)
    return withScope("head") {
      hidden.linearCrossEntropy(
        head(weights).cast(hidden.element), targets: targets.flattened(), softcap: logitSoftcap)
    }
  }

  /// The logits of each position: float32 [batch · positions, vocabulary].
  ///
  /// - Parameter rows: int32 [n]: which of the batch · positions are wanted, as [n, vocabulary]; all if nil.
  public func logits(
    _ tokens: Tensor, _ weights: Weights, _ context: ModelContext, rows: Tensor? = nil
  ) -> Tensor {
    let hidden = hidden(tokens, weights, context)
    return logits(of: rows.map { hidden.gathered($0) } ?? hidden, weights)
  }

  /// The logits of what `hidden` gave: [n, width] to float32 [n, vocabulary].
  public func logits(of hidden: Tensor, _ weights: Weights) -> Tensor {
    withScope("head") {
      let logits = hidden.matmul(weight: head(weights), type: hidden.element.accumulator)
      guard let softcap = logitSoftcap else { return logits }
      return (logits / softcap).tanh() * softcap
    }
  }

  /// The parameters in the order in which the model mentions them.
  public var parameters: [Parameter] {
    let store = WeightStore()
    declare(in: store)
    return store.parameters
  }

  /// Mentions all parameters in `store`, in the order in which the model uses them.
  package func declare(in store: WeightStore) {
    _ = logits(.input("tokens", TensorType(.int32, [1, 1])), store.root, .training())
  }
}
