// What models have in common that read a text in both directions and say something about it: a vector, a label, a score.
//
// Invariant: a text's hidden states depend on that text alone. Several texts stand in one row, told apart by the context's
// segments and counted by its positions, so that no arithmetic is spent on padding.

public import Networks
public import Tensors

/// A model that sees the whole of a text at each position.
public protocol Encoder: Sendable {
  /// Tokens that the model knows.
  var vocabulary: Int { get }
  /// The most positions of a text.
  var context: Int { get }
  /// Elements of a hidden state.
  var width: Int { get }
  /// From which hidden state of a text the head for classification reads.
  var classifierPooling: Pooling { get }

  /// The hidden states behind the last layer: [batch, positions, width].
  ///
  /// - Parameters:
  ///   - tokens: int32 [batch, positions].
  ///   - types: int32 [batch, positions]: which of two texts a token belongs to, 0 or 1; not all models ask.
  ///   - context: `.training`, with positions and segments where a row holds more than one text.
  func hidden(_ tokens: Tensor, types: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor

  /// What a task's head makes of hidden states.
  ///
  /// - Parameter rows: [n, width]: of `classification` the pooled state of each text, else the states of tokens.
  /// - Returns: logits, [n, labels] or [n, vocabulary].
  func head(_ task: EncoderTask, _ rows: Tensor, _ weights: Weights) -> Tensor
}

/// What an encoder is asked for.
public enum EncoderTask: Hashable, Sendable {
  /// The hidden states themselves.
  case states
  /// Logits of labels for each text.
  case classification(labels: Int)
  /// Logits of labels for each token.
  case tokenClassification(labels: Int)
  /// Logits of the vocabulary for each token.
  case maskedTokens
}

extension Encoder {
  /// Mentions the parameters that `task` needs in `store`, in the order in which the model uses them.
  package func declare(_ task: EncoderTask, in store: WeightStore) {
    let tokens = Tensor.input("tokens", TensorType(.int32, [1, 1]))
    let hidden = hidden(tokens, types: tokens, store.root, .training())
    if task != .states { _ = head(task, hidden.reshaped(1, width), store.root) }
  }
}
