// A head's logits in one pass, as an engine computes them.

import CPUBackend
import Models
import Networks
import Tensors

extension PretrainedHead {
  /// The logits behind each token of a text, through pages whose blocks lie in the wrong order.
  ///
  /// - Parameter features: what is read of the model at the positions before the tokens.
  func pagedLogits(_ tokens: [Int32], _ features: TensorData) throws -> TensorData {
    let weights = try weights()
    let count = tokens.count
    let blocks = (count + 3) / 4
    var slots: [Int32] = []
    for position in 0..<count { slots.append(Int32(4 * (blocks - 1 - position / 4) + position % 4)) }
    let order: [Int32] = (0..<Int32(blocks)).reversed()
    let rows = PagedRows(
      positions: Tensor((0..<Int32(count)).map { $0 }, shape: [count]), slots: Tensor(slots, shape: [count]),
      sequences: Tensor([Int32](repeating: 0, count: count), shape: [count]),
      tables: Tensor(order, shape: [1, blocks]), blockSize: 4, blocks: blocks)
    let context = ModelContext.paged(rows, storage: .float(.float32))
    let root = weights.store.root
    let given = head.states(of: Tensor(features), root)
    let states = head.next(given, Tensor(tokens, shape: [count, 1]), root, context)
    let parameters = weights.store.parameters.map { weights.store.given($0.name) }
    let pools = context.caches.map { $0.past }
    let program = Program(inputs: parameters + pools, outputs: [head.logits(of: states, root)])
    return try CPUBackend(threads: 2).compile(program).run(weights.values + pools.map { TensorData($0.type) })[0].copy()
  }
}
