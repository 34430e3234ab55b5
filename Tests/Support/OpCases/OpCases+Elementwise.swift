internal import Tensors

extension OpFamily {
  /// Sources, elementwise operations, and what is made of them.
  func elementwiseCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    let shape = random.shape(rank: random.integer(0...4))
    let type = TensorType(element, shape)
    let any: RandomCase.Values = element.isFloat || element == .bool ? .ordinary : .anyInteger
    switch self {
    case .constant:
      return [
        OpCase(.constant(.fill(.float(element == .bool ? 1 : 1.25), type)), []),
        OpCase(.constant(.fill(.integer(-3), type)), []),
        OpCase(.constant(.data(random.data(element, shape, any))), []),
      ]
    case .iota:
      if element == .bool { return [] }
      let shape = random.shape(rank: random.integer(1...3), limit: 120)
      return (0..<shape.rank).map { OpCase(.iota(TensorType(element, shape), axis: $0), []) }
    case .random:
      let key = random.data(.int64, [], .anyInteger)
      let stream = UInt64(bitPattern: random.bits())
      if element.isFloat {
        return [Distribution.uniform, .normal].map { OpCase(.random($0, type, stream: stream), [key]) }
      }
      return element == .int32 || element == .int64 ? [OpCase(.random(.bits, type, stream: stream), [key])] : []
    case .unary:
      return Unary.allCases.filter { accepts($0, element) }.map { unary in
        OpCase(.unary(unary), [random.data(element, shape, domain(unary, element))])
      }
    case .binary:
      return Binary.allCases.filter { accepts($0, element) }.map { binary in
        let (a, b) = (random.bool() ? shape : random.shape(broadcastingTo: shape), shape)
        let (left, right) = domain(binary, element)
        let (x, y) = (random.data(element, a, left), random.data(element, b, right))
        return OpCase(
          .binary(binary), [x, y])
      }
    case .compare:
      return [Comparison.equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual].map {
        let values: RandomCase.Values = element == .bool ? .ordinary : .integers((element == .uint8 ? 0 : -1)...1)
        return OpCase(
          .compare($0),
          [random.data(element, shape, values), random.data(element, random.shape(broadcastingTo: shape), values)])
      }
    case .select:
      let inputs = [
        random.data(.bool, random.shape(broadcastingTo: shape)), random.data(element, shape, any),
        random.data(element, random.shape(broadcastingTo: shape), any),
      ]
      return [OpCase(.select, inputs)]
    case .cast:
      return ElementType.allCases.flatMap { target -> [OpCase] in
        let values: RandomCase.Values = element.isFloat ? .special : any
        return [OpCase(.cast(target), [random.data(element, shape, values)])]
      }
    case .activationGradient:
      if !element.isFloat { return [] }
      return Activation.allCases.map {
        OpCase(.activationGradient($0), [random.data(element, shape), random.data(element, shape)])
      }
    case .fused: return element.isFloat ? fusedCases(element, &random) : []
    case .custom: return element.isFloat ? [OpCase(.custom(OpFamily.doubling), [random.data(element, shape)])] : []
    default: preconditionFailure("\(self) is not elementwise")
    }
  }

  /// `tanh(a · b + 0.5) > 0 ? a : cast(...)`, with operands that broadcast and a step that is used twice.
  private func fusedCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    let shape = random.shape(rank: 3)
    let half = Fusion.Step(
      op: .constant(.fill(.float(0.5), TensorType(element, .scalar))), operands: [], type: element)
    let steps = [
      Fusion.Step(op: .binary(.multiply), operands: [.input(0), .input(1)], type: element),
      half,
      Fusion.Step(op: .binary(.add), operands: [.step(0), .step(1)], type: element),
      Fusion.Step(op: .unary(.tanh), operands: [.step(2)], type: element),
      Fusion.Step(op: .compare(.greater), operands: [.input(0), .input(1)], type: .bool),
      Fusion.Step(op: .cast(.float32), operands: [.step(3)], type: .float32),
      Fusion.Step(op: .cast(.float32), operands: [.input(0)], type: .float32),
      Fusion.Step(op: .select, operands: [.step(4), .step(5), .step(6)], type: .float32),
    ]
    let inputs = [random.data(element, shape), random.data(element, random.shape(broadcastingTo: shape))]
    let row = Shape([shape[2]])
    return [
      OpCase(.fused(Fusion(steps: steps, shape: shape)), inputs),
      // All inputs smaller than the result.
      OpCase(
        .fused(Fusion(steps: Array(steps.prefix(4)), shape: shape)),
        [random.data(element, row), random.data(element, [])]),
    ]
  }

  private static let doubling = CustomOp(
    name: "doubling", resultTypes: { [$0[0]] },
    reference: { inputs, results in
      for i in 0..<inputs[0].count { results[0][i] = .float(2 * inputs[0][i].double) }
    })

  private func accepts(_ unary: Unary, _ element: ElementType) -> Bool {
    switch unary {
    case .negate, .absolute, .sign: element != .bool
    case .logicalNot: element == .bool
    case .bitwiseNot: !element.isFloat && element != .bool
    case .isFinite: true
    default: element.isFloat
    }
  }

  private func accepts(_ binary: Binary, _ element: ElementType) -> Bool {
    switch binary {
    case .add, .subtract, .multiply, .divide, .modulo: element != .bool
    case .maximum, .minimum: true
    case .power: element.isFloat
    case .and, .or, .xor: !element.isFloat
    case .shiftLeft, .shiftRight: !element.isFloat && element != .bool
    }
  }

  private func domain(_ unary: Unary, _ element: ElementType) -> RandomCase.Values {
    if !element.isFloat { return element == .bool ? .ordinary : .anyInteger }
    switch unary {
    case .log, .squareRoot, .reciprocalSquareRoot: return .within(0.1...4)
    case .reciprocal: return .nonzero
    case .isFinite, .negate, .absolute, .floor, .ceil: return .special
    case .exp: return .within(-5...5)
    default: return .ordinary
    }
  }

  private func domain(_ binary: Binary, _ element: ElementType) -> (RandomCase.Values, RandomCase.Values) {
    if element == .bool { return (.ordinary, .ordinary) }
    if !element.isFloat {
      switch binary {
      case .shiftLeft, .shiftRight: return (.anyInteger, .integers(0...7))
      default: return (.anyInteger, .anyInteger)
      }
    }
    switch binary {
    case .divide: return (.ordinary, .nonzero)
    case .power: return (.within(0.25...2), .within(-2...2))
    // Multiples of 1/16, so that a quotient is not by chance just below an integer.
    case .modulo: return (.distinct, .integers(1...7))
    default: return (.ordinary, .ordinary)
    }
  }
}
