// Elementwise expressions: any tree of operations as one kernel that reads each operand once.
//
// A thread makes as many neighbouring elements as fit in 16 bytes of the widest operand where all lie that way, else one.

internal import KernelLanguage
internal import Tensors

struct ElementwiseKernel: KernelSource {
  let steps: [Fusion.Step]
  let inputs: [ElementType]
  let result: ElementType
  /// Of the inputs, and of the result last.
  let loops: Loops
  /// Whether element numbers need 64 bits.
  let isWide: Bool

  static let threads = 128

  init(_ fusion: Fusion, inputs: [TensorType], result: TensorType) {
    steps = fusion.steps
    self.inputs = inputs.map(\.element)
    self.result = result.element
    let strides = inputs.map { $0.shape.strides(broadcastTo: result.shape) } + [result.shape.strides]
    loops = Loops(result.shape, strides)
    isWide = result.shape.count >= 1 << 31
  }

  /// Elements of a thread.
  var vector: Int { loops.vector(16 / max(result.size, inputs.map(\.size).max() ?? 1)) }

  /// Blocks for so many elements.
  func blocks(_ count: Int) -> Int { (count + Self.threads * vector - 1) / (Self.threads * vector) }

  /// What it computes, for profiles: the first operations that do something.
  private var name: String {
    let names = steps.map(\.op.name).filter { $0 != "constant" && $0 != "cast" }
    return names.isEmpty ? steps.last!.op.name : names.prefix(4).joined(separator: "_")
  }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel(name, target: target, threads: Self.threads) { k in
      isWide ? build(k, U64.self) : build(k, U32.self)
    }
  }

  private func build<I: IntegerType>(_ k: KernelBuilder, _ index: I.Type) {
    let pointers = inputs.indices.map { k.pointer("input\($0)", to: U8.self) }
    let operands = zip(inputs, pointers).map { Elements($0, $1) }
    let results = Elements(result, k.pointer("result", to: U8.self))
    let count = k.parameter("count", index)
    let thread = k.multiplyAdd(
      k.convert(k.block.x, to: index), Value(Self.threads), k.convert(k.thread.x, to: index))
    let vector = self.vector
    let start = vector == 1 ? thread : thread * Value(vector)
    let grouped = loops.grouped(by: vector)

    func single(_ element: Value<I>) {
      let offsets = loops.offsets(k, element)
      let values = zip(operands, offsets).map { $0.load(k, at: $1) }
      results.store(k, at: offsets.last!, evaluate(k, values))
    }

    if vector == 1 { return k.when(start .< count) { single(start) } }
    k.when(start + Value(vector) .<= count) {
      let offsets = grouped.offsets(k, thread)
      let loaded = operands.indices.map { place -> [Number] in
        let here = operands[place].advanced(offsets[place])
        // An operand that is repeated along the axis is read once.
        if loops.strides[place].last == 0 { return Array(repeating: here.load(k), count: vector) }
        return here.load(k, count: vector)
      }
      let values = (0..<vector).map { lane in evaluate(k, loaded.map { $0[lane] }) }
      results.advanced(offsets.last!).store(k, values)
    } otherwise: {
      // What is left at the end.
      k.loop(from: start, to: count) { single($0) }
    }
  }

  /// The expression's value from those of its inputs.
  private func evaluate(_ k: KernelBuilder, _ inputs: [Number]) -> Number {
    var made: [Number] = []
    for step in steps {
      let operands = step.operands.map { operand -> (value: Number, type: ElementType) in
        switch operand {
        case .input(let place): (inputs[place], self.inputs[place])
        case .step(let place): (made[place], steps[place].type)
        }
      }
      made.append(k.evaluate(step.op, operands.map(\.value), operands.map(\.type), step.type))
    }
    return made.last!
  }
}

extension KernelBuilder {
  /// An elementwise operation.
  fileprivate func evaluate(_ op: Op, _ x: [Number], _ types: [ElementType], _ type: ElementType) -> Number {
    switch op {
    case .constant(.fill(let scalar, let stored)):
      return variable(number(scalar.stored(as: stored.element), type.numberClass))
    case .unary(.isFinite) where !types[0].isFloat: return .s32(1)
    case .unary(let unary): return apply(unary, x[0], types[0])
    case .binary(let binary): return apply(binary, x[0], x[1], type)
    case .compare(let comparison): return truth(compare(comparison, x[0], x[1]))
    case .select: return select(isNotZero(x[0]), x[1], x[2])
    case .cast: return cast(x[0], from: types[0], to: type)
    case .activationGradient(let activation): return activationGradient(activation, x[0], x[1])
    case .broadcast: return x[0]
    default: preconditionFailure("\(op.name) is not elementwise")
    }
  }
}

extension Scalar {
  /// The number as a value of `type` would read.
  func stored(as type: ElementType) -> Scalar {
    let data = TensorData(TensorType(type, .scalar))
    data[0] = self
    return data[0]
  }
}

extension Fusion {
  /// One operation as an expression.
  init(single op: Op, inputs: [TensorType], result: TensorType) {
    let step = Step(op: op, operands: inputs.indices.map { .input($0) }, type: result.element)
    self.init(steps: [step], shape: result.shape)
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func elementwise(_ fusion: Fusion) throws {
    let (type, count) = (resultTypes[0], resultTypes[0].shape.count)
    if count == 0 { return }
    let kernel = ElementwiseKernel(fusion, inputs: inputTypes, result: type)
    try launch(
      kernel, grid: Extent(kernel.blocks(count)), threads: ElementwiseKernel.threads,
      inputs.map { .value($0) } + [.value(results[0]), .count(count, isWide: kernel.isWide)])
  }
}
