// What drafts from the hidden states that a model has computed anyway: one layer that is given the state of a position and
// the token that follows it, and says what state the next position would have.
//
//   state = of(what was read of the model at position i)
//   state' = layer(state, embedding(token i+1)),  logits of token i+2 = head(state')
//
// Several drafts come from going on with state' and the drafted token. A position's keys and values stand at its own place i.
//
// Invariant: as with models, reading texts and drafting run one function; the contexts alone differ.

package import Networks
package import Tensors

/// A head that drafts.
package protocol DraftHead: Sendable {
  /// Tokens that its embedding knows, as many as the model's.
  var vocabulary: Int { get }
  /// The most positions of a text.
  var context: Int { get }
  /// Elements of a state.
  var width: Int { get }
  /// The layers of the model whose inputs are read, side by side; none: the hidden states behind its last norm are.
  var watched: [Int] { get }
  /// Elements of what is read of the model at a position.
  var features: Int { get }
  /// Which tokens of the model its logits are of; nil: all, in their order.
  var tokens: [Int32]? { get }

  /// The states of positions: [rows, features] to [rows, width].
  func states(of features: Tensor, _ weights: Weights) -> Tensor

  /// The states of the positions behind: [rows, width].
  ///
  /// - Parameters:
  ///   - states: [rows, width].
  ///   - tokens: int32 [rows, 1]: those behind the states.
  func next(_ states: Tensor, _ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor

  /// The logits that follow on states: [rows, width] to float32 [rows, tokens].
  func logits(of states: Tensor, _ weights: Weights) -> Tensor
}

extension DraftHead {
  /// Mentions all parameters in `store`.
  package func declare(in store: WeightStore) {
    let read = Tensor.input("features", TensorType(store.activations, [1, features]))
    let token = Tensor.input("tokens", TensorType(.int32, [1, 1]))
    _ = logits(of: next(states(of: read, store.root), token, store.root, .training()), store.root)
  }

  /// The parameters in the order in which the head mentions them.
  var parameters: [Parameter] {
    let store = WeightStore()
    declare(in: store)
    return store.parameters
  }

  /// The angles of the positions of `tokens`.
  func rotation(_ rotary: Decoder.Rotary?, _ tokens: Tensor, _ context: ModelContext) -> Rotation? {
    rotary.map {
      Rotation(
        positions: context.positions(tokens.shape), size: $0.size, base: $0.base, scaling: $0.scaling,
        length: context.capacity, eachAlone: context.isPaged, interleaved: $0.interleaved)
    }
  }
}
