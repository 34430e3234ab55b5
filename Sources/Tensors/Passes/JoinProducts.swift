/// Products of one x with several weights in blocks become one instruction: queries, keys and values, or gate and up. Nothing is
/// copied; a backend rounds x once and its threads meet once.
extension Program {
  /// The most products that are joined.
  private static let mostJoined = 4

  mutating func joinBlockProducts() {
    let producers = producers
    /// By x: the first product with it that has room, which the others join.
    var firsts: [Value: Int] = [:]
    for index in instructions.indices {
      guard case .blockMatmul(let matmul) = instructions[index].op, !matmul.exact else { continue }
      let (x, blocks) = (instructions[index].inputs[0], instructions[index].inputs[1])
      guard types[blocks].shape.rank == 2 else { continue }
      guard let first = firsts[x], producers[blocks].map({ $0 < first }) ?? true else {
        firsts[x] = index
        continue
      }
      let joined: [BlockMatmul] =
        switch instructions[first].op {
        case .blockMatmul(let own): [own, matmul]
        case .blockMatmuls(let all): all + [matmul]
        default: preconditionFailure("\(instructions[first].op.name) is not a product")
        }
      instructions[first].op = .blockMatmuls(joined)
      instructions[first].inputs.append(blocks)
      instructions[first].results += instructions[index].results
      instructions[index].results = []
      if joined.count == Program.mostJoined { firsts[x] = nil }
    }
    removeDeadInstructions()
  }
}
