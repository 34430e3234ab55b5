internal import Tensors

extension OpFamily {
  func reductionCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    let any: RandomCase.Values = element.isFloat || element == .bool ? .ordinary : .anyInteger
    let shape = random.shape(rank: random.integer(1...4))
    // Few different values, so that there are ties.
    let tied: RandomCase.Values = element == .bool ? .ordinary : .integers((element == .uint8 ? 0 : -3)...3)
    switch self {
    case .reduce:
      return Reduction.allCases.flatMap { reduction -> [OpCase] in
        switch reduction {
        case .all,
          .any where element != .bool:
          return []
        case .product, .sumOfSquares,
          .sum where element == .bool:
          return []
        default: break
        }
        let axes = shape.dimensions.indices.filter { _ in random.bool() }
        if axes.isEmpty && reduction != .sumOfSquares { return [] }
        let values: RandomCase.Values = reduction == .product && element.isFloat ? .within(0.9...1.1) : any
        let types = element.isFloat ? Set([element, element.accumulator]) : [element]
        let sums = reduction == .sum || reduction == .sumOfSquares
        return (sums ? types : [element]).map {
          OpCase(.reduce(reduction, axes: axes, type: $0), [random.data(element, shape, values)])
        }
      }
    case .argMax:
      let shape = random.shape(rank: random.integer(1...3), least: 1)
      return shape.dimensions.indices.map { OpCase(.argMax(axis: $0), [random.data(element, shape, tied)]) }
    case .cumulativeSum:
      if element == .bool { return [] }
      return shape.dimensions.indices.flatMap { axis in
        [(false, false), (true, false), (false, true), (true, true)].map { reverse, exclusive in
          OpCase(
            .cumulativeSum(axis: axis, reverse: reverse, exclusive: exclusive), [random.data(element, shape, any)])
        }
      }
    case .topK:
      return [0, 1, shape[-1] / 2, shape[-1]].filter { $0 <= shape[-1] }.map {
        OpCase(.topK($0), [random.data(element, shape, tied)])
      }
    case .sort:
      return [false, true].flatMap { descending in
        [tied, element.isFloat ? .special : any].map {
          OpCase(.sort(descending: descending), [random.data(element, shape, $0)])
        }
      }
    default: preconditionFailure("\(self) is no reduction")
    }
  }
}
