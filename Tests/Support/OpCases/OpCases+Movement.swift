internal import Tensors

extension OpFamily {
  func movementCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    let any: RandomCase.Values = element.isFloat || element == .bool ? .ordinary : .anyInteger
    let shape = random.shape(rank: random.integer(1...4), limit: 2000)
    let x = random.data(element, shape, any)
    switch self {
    case .reshape:
      return [
        OpCase(.reshape([shape.count]), [x]), OpCase(.reshape(Shape([1] + shape.dimensions.reversed())), [x]),
      ]
    case .broadcast:
      return [OpCase(.broadcast(shape), [random.data(element, random.shape(broadcastingTo: shape), any)])]
    case .permute:
      return (0..<2).map { _ in OpCase(.permute(random.shuffled(Array(0..<shape.rank))), [x]) }
    case .slice:
      return (0..<2).map { _ in
        let slices = shape.dimensions.map { extent in
          let start = random.integer(0...extent)
          return Slice(start, random.integer(start...extent), step: random.integer(1...3))
        }
        return OpCase(.slice(slices), [x])
      }
    case .pad:
      let small = random.shape(rank: random.integer(1...3), limit: 200)
      let paddings = small.dimensions.map { _ in
        Padding(before: random.integer(0...3), after: random.integer(0...3), between: random.integer(0...2))
      }
      return [OpCase(.pad(paddings), [random.data(element, small, any)])]
    case .concatenate:
      return shape.dimensions.indices.map { axis in
        let parts = (0..<random.integer(1...4)).map { _ in
          var part = shape
          part[axis] = random.integer(0...5)
          return random.data(element, part, any)
        }
        return OpCase(.concatenate(axis: axis), parts)
      }
    case .split:
      return shape.dimensions.indices.map { axis in
        let cuts = [0, random.integer(0...shape[axis]), random.integer(0...shape[axis]), shape[axis]].sorted()
        return OpCase(.split(axis: axis, sizes: zip(cuts.dropFirst(), cuts).map { $0 - $1 }), [x])
      }
    case .update:
      return shape.dimensions.indices.flatMap { axis in
        // One place for all, and one for each slice in front; some rows fall outside on either side.
        Set([1, axis > 0 ? shape[0] : 1]).filter { $0 > 0 }.map { places in
          var rows = shape
          rows[axis] = random.integer(0...shape[axis] + 1)
          let indexShape: Shape = places == 1 && random.integer(0...1) == 0 ? .scalar : [places]
          let index = random.data(.int32, indexShape, .integers(-2...(shape[axis] + 1)))
          return OpCase(.update(axis: axis), [x, random.data(element, rows, any), index])
        }
      } + [scatteredUpdate(x, any, &random)]
    case .gather, .scatterAdd, .take, .takeAdd: return indexedCases(element, any, &random)
    default: preconditionFailure("\(self) moves nothing")
    }
  }

  /// Rows that each have a place of their own, some of them outside.
  private func scatteredUpdate(_ x: TensorData, _ any: RandomCase.Values, _ random: inout RandomCase) -> OpCase {
    var places = Array(-2...(x.shape[0] + 1)).map(Int32.init)
    for last in places.indices.reversed() { places.swapAt(last, random.integer(0...last)) }
    places.removeLast(random.integer(0...(places.count - 2)))
    var rows = x.shape
    rows[0] = places.count
    return OpCase(
      .update(axis: 0), [x, random.data(x.type.element, rows, any), TensorData(places, shape: [places.count])])
  }

  /// Indices that repeat, and some that are out of range on either side.
  private func indexedCases(_ element: ElementType, _ any: RandomCase.Values, _ random: inout RandomCase) -> [OpCase] {
    let shape = random.shape(rank: random.integer(1...3), limit: 1000)
    let width = random.extent(least: 1)
    return [ElementType.int32, .int64].flatMap { index -> [OpCase] in
      func indices(_ shape: Shape, _ entries: Int) -> TensorData {
        random.data(index, shape, .integers(-1...entries))
      }
      switch self {
      case .gather:
        return shape.dimensions.indices.map { axis in
          let places = random.shape(rank: random.integer(0...2), limit: 40)
          return OpCase(.gather(axis: axis), [random.data(element, shape, any), indices(places, shape[axis])])
        }
      case .scatterAdd:
        if element == .bool { return [] }
        return shape.dimensions.indices.flatMap { axis -> [OpCase] in
          let places = random.shape(rank: random.integer(0...2), limit: 40)
          let entries = random.extent()
          let d = shape.dimensions
          let updates = Shape(d[..<axis] + places.dimensions + d[(axis + 1)...])
          return Set([element, element.accumulator]).map {
            OpCase(
              .scatterAdd(axis: axis, entries: entries, type: $0),
              [random.data(element, updates, any), indices(places, entries)])
          }
        }
      case .take, .takeAdd:
        var taken = shape
        taken[-1] = random.integer(0...7)
        var table = shape
        table[-1] = width
        if self == .take { return [OpCase(.take, [random.data(element, table, any), indices(taken, width)])] }
        if element == .bool { return [] }
        return [OpCase(.takeAdd(entries: width), [random.data(element, taken, any), indices(taken, width)])]
      default: preconditionFailure("\(self) has no indices")
      }
    }
  }
}
