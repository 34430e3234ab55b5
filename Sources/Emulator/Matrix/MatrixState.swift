// What a block keeps for matrix instructions: made when it runs the first one.

/// The warpgroups of a block, and its part of tensor memory.
final class MatrixState {
  /// Each four warps, which `wgmma` multiplies with.
  let warpgroups: [Warpgroup]
  fileprivate(set) var tensor: TensorBlock?

  init(_ block: ThreadBlock) {
    warpgroups = stride(from: 0, to: block.warps.count - 3, by: 4).map { Warpgroup(block, first: $0) }
  }

  /// Throws if the block ends before its products are done, or with tensor memory.
  func requireDone() throws(EmulatorError) {
    for warpgroup in warpgroups { try warpgroup.requireWaited() }
    try tensor?.requireFreed()
  }
}

extension ThreadBlock {
  private var state: MatrixState {
    if let matrixState { return matrixState }
    let state = MatrixState(self)
    matrixState = state
    return state
  }

  var warpgroups: [Warpgroup] { state.warpgroups }

  /// Its part of tensor memory.
  var tensor: TensorBlock {
    if let tensor = state.tensor { return tensor }
    let tensor = TensorBlock(self)
    state.tensor = tensor
    return tensor
  }
}
