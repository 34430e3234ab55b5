// Fused elementwise expressions against plain loops in Double.

import CKernels
import Core
import Testing

/// One strided operand of an expression.
struct Operand {
  var buffer: Buffer
  var strides: [Int]
}

func instruction(
  _ opcode: ck_opcode, _ destination: Int, _ a: Int = 0, _ b: Int = 0, _ c: Int = 0,
  class kind: ck_class = CK_CLASS_F32, from: ck_class? = nil, value: Double = 0, integer: Int64? = nil
) -> ck_instruction {
  var result = ck_instruction()
  result.opcode = UInt8(opcode.rawValue)
  result.class_ = UInt8(kind.rawValue)
  result.from = UInt8((from ?? kind).rawValue)
  result.destination = UInt8(destination)
  (result.a, result.b, result.c) = (UInt8(a), UInt8(b), UInt8(c))
  if let integer { result.immediate.integer = integer } else { result.immediate.value = value }
  return result
}

func set<Tuple, Element>(_ tuple: inout Tuple, _ index: Int, _ value: Element) {
  withUnsafeMutableBytes(of: &tuple) {
    $0.storeBytes(of: value, toByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
  }
}

func evaluate(
  _ context: UnsafePointer<ck_context>, _ dimensions: [Int], _ operands: [Operand], _ outputs: [Buffer],
  _ program: [ck_instruction]
) {
  program.withUnsafeBufferPointer { program in
    var arguments = ck_elementwise_arguments()
    arguments.rank = Int32(dimensions.count)
    for (d, size) in dimensions.enumerated() { set(&arguments.dimensions, d, Int64(size)) }
    (arguments.inputs, arguments.outputs) = (Int32(operands.count), Int32(outputs.count))
    arguments.instructions = Int32(program.count)
    for (i, operand) in operands.enumerated() {
      set(&arguments.input, i, UnsafeRawPointer(operand.buffer.memory))
      set(&arguments.input_type, i, operand.buffer.type)
      for (d, stride) in operand.strides.enumerated() {
        set(&arguments.input_strides, i * Int(CK_MAX_RANK) + d, Int64(stride))
      }
    }
    for (i, output) in outputs.enumerated() {
      set(&arguments.output, i, output.memory)
      set(&arguments.output_type, i, output.type)
    }
    arguments.program = program.baseAddress
    ck_elementwise(context, &arguments)
  }
}

/// Element offsets of every place of `dimensions`, row major.
func offsets(_ dimensions: [Int], _ strides: [Int]) -> [Int] {
  zip(dimensions, strides).reduce([0]) { bases, axis in
    bases.flatMap { base in (0..<axis.0).map { base + $0 * axis.1 } }
  }
}

func rowMajor(_ dimensions: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: dimensions.count)
  for d in dimensions.indices.dropLast().reversed() { strides[d] = strides[d + 1] * dimensions[d + 1] }
  return strides
}

@Suite struct ElementwiseTests {
  static let sizes = [0, 1, 7, 65, 4097]
  static let special: [Double] = [
    0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, .infinity, -.infinity, .nan, 100, -100, 1e-30, -1e-30, 1e30, 88.5, -103, 20,
    -20, 1e-42,
  ]

  typealias Case = (opcode: ck_opcode, ulps: Double, function: @Sendable (Double) -> Double)
  static let unary: [Case] = [
    (CK_NEG, 0, { -$0 }), (CK_ABS, 0, { abs($0) }), (CK_SIGN, 0, { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }),
    (CK_EXP, 4, exp), (CK_LOG, 4, log), (CK_SQRT, 1, { $0.squareRoot() }), (CK_RSQRT, 3, { 1 / $0.squareRoot() }),
    (CK_RECIPROCAL, 1, { 1 / $0 }), (CK_SIN, 2, sin), (CK_COS, 2, cos), (CK_TANH, 4, tanh), (CK_ERF, 4, erf),
    (CK_SIGMOID, 4, { 1 / (1 + exp(-$0)) }), (CK_FLOOR, 0, { $0.rounded(.down) }), (CK_CEIL, 0, { $0.rounded(.up) }),
    (CK_ROUND, 0, { $0.rounded(.toNearestOrEven) }), (CK_UNARY_RELU, 0, { $0 < 0 ? 0 : $0 }),
    (CK_UNARY_RELU_SQUARED, 1, { $0 < 0 ? 0 : $0 * $0 }),
    (CK_UNARY_GELU_TANH, 40, { $0 / (1 + exp(-2 * (2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }),
    (CK_UNARY_GELU_ERF, 40, { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
    (CK_UNARY_SILU, 8, { $0 == -.infinity ? 0 : $0 / (1 + exp(-$0)) }),
  ]

  @Test(arguments: testedISAs) func everyUnaryFunction(isa: ck_isa) {
    var numbers = SeededNumbers()
    for (type, kind) in [(CK_F32, CK_CLASS_F32), (CK_F64, CK_CLASS_F64)] {
      for size in Self.sizes {
        let x = Buffer(type, (0..<size).map { $0 < Self.special.count ? Self.special[$0] : numbers.double(-12, 12) })
        for (opcode, ulps, function) in Self.unary {
          let y = Buffer(type, count: size)
          withContext(isa) { context in
            evaluate(
              context, [size], [Operand(buffer: x, strides: [1])], [y],
              [
                instruction(CK_LOAD, 0, class: kind), instruction(opcode, 1, 0, class: kind),
                instruction(CK_STORE, 0, 1, class: kind),
              ])
          }
          // GELU's tails are right to a unit of 1, not of themselves.
          let gelu = opcode == CK_UNARY_GELU_ERF || opcode == CK_UNARY_GELU_TANH
          let absolute = gelu ? 12 * type.epsilon : type == CK_F32 ? 1e-37 : 1e-200
          expectClose(
            y, x.values.map { type.rounded(function($0)) }, relative: max(ulps, 0) * type.epsilon, absolute: absolute,
            "\(opcode) of \(type), \(size) elements, \(name(isa)), seed \(numbers.seed)")
        }
      }
    }
  }

  @Test(arguments: testedISAs) func everyGradientOfAnActivation(isa: ck_isa) {
    var numbers = SeededNumbers()
    let cdf = { (x: Double) in 0.5 * (1 + erf(x / 2.0.squareRoot())) }
    let sigmoid = { (x: Double) in 1 / (1 + exp(-x)) }
    let cases: [(ck_opcode, (Double) -> Double)] = [
      (CK_GRAD_RELU, { $0 > 0 ? 1 : 0 }), (CK_GRAD_RELU_SQUARED, { $0 > 0 ? 2 * $0 : 0 }),
      (
        CK_GRAD_GELU_TANH,
        { x in
          let k = (2 / Double.pi).squareRoot(), t = tanh(k * (x + 0.044715 * x * x * x))
          return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
        }
      ),
      (CK_GRAD_GELU_ERF, { cdf($0) + $0 * exp(-$0 * $0 / 2) / (2 * Double.pi).squareRoot() }),
      (CK_GRAD_SILU, { sigmoid($0) * (1 + $0 * (1 - sigmoid($0))) }),
    ]
    for (type, kind) in [(CK_F32, CK_CLASS_F32), (CK_F64, CK_CLASS_F64)] {
      let x = Buffer(type, random: 1003, &numbers), g = Buffer(type, random: 1003, &numbers)
      for (opcode, slope) in cases {
        let y = Buffer(type, count: 1003)
        withContext(isa) { context in
          evaluate(
            context, [1003], [Operand(buffer: x, strides: [1]), Operand(buffer: g, strides: [1])], [y],
            [
              instruction(CK_LOAD, 0, 0, class: kind), instruction(CK_LOAD, 1, 1, class: kind),
              instruction(opcode, 2, 0, 1, class: kind), instruction(CK_STORE, 0, 2, class: kind),
            ])
        }
        expectClose(
          y, zip(x.values, g.values).map { slope($0) * $1 }, relative: 16 * type.epsilon, absolute: 16 * type.epsilon,
          "\(opcode) of \(type), \(name(isa)), seed \(numbers.seed)")
      }
    }
  }

  @Test(arguments: testedISAs) func floatBinaryAndComparison(isa: ck_isa) {
    var numbers = SeededNumbers()
    func floored(_ x: Double, _ y: Double) -> Double {
      let rest = fmod(x, y)
      return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest
    }
    let cases: [(ck_opcode, (Double, Double) -> Double)] = [
      (CK_ADD, { $0 + $1 }), (CK_SUB, { $0 - $1 }), (CK_MUL, { $0 * $1 }), (CK_DIV, { $0 / $1 }),
      (CK_MAX, { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }), (CK_MIN, { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }),
      (CK_POW, pow), (CK_MOD, floored), (CK_EQ, { $0 == $1 ? 1 : 0 }), (CK_NE, { $0 != $1 ? 1 : 0 }),
      (CK_LT, { $0 < $1 ? 1 : 0 }), (CK_LE, { $0 <= $1 ? 1 : 0 }), (CK_GT, { $0 > $1 ? 1 : 0 }),
      (CK_GE, { $0 >= $1 ? 1 : 0 }),
    ]
    let pairs = Self.special.flatMap { x in [0, 1, -1, .infinity, .nan, 2.5].map { (x, $0) } }
    for (type, kind) in [(CK_F32, CK_CLASS_F32), (CK_F64, CK_CLASS_F64)] {
      let x = Buffer(type, pairs.map(\.0) + (0..<800).map { _ in numbers.double() })
      let y = Buffer(type, pairs.map(\.1) + (0..<800).map { _ in numbers.double() })
      for (opcode, function) in cases {
        let compares = opcode.rawValue >= CK_EQ.rawValue && opcode.rawValue <= CK_GE.rawValue
        let result = compares ? CK_CLASS_I64 : kind
        let z = Buffer(compares ? CK_BOOL : type, count: x.count)
        withContext(isa) { context in
          evaluate(
            context, [x.count], [Operand(buffer: x, strides: [1]), Operand(buffer: y, strides: [1])], [z],
            [
              instruction(CK_LOAD, 0, 0, class: kind), instruction(CK_LOAD, 1, 1, class: kind),
              instruction(opcode, 2, 0, 1, class: result, from: kind), instruction(CK_STORE, 0, 2, class: result),
            ])
        }
        expectClose(
          z, zip(x.values, y.values).map { z.type.rounded(function($0, $1)) }, relative: 2 * type.epsilon,
          absolute: opcode == CK_MOD ? 1e-5 : 1e-44, "\(opcode) of \(type), \(name(isa)), seed \(numbers.seed)")
      }
    }
  }

  @Test(arguments: testedISAs) func integersWrap(isa: ck_isa) {
    var numbers = SeededNumbers()
    let edges: [Int64] = [0, 1, -1, 2, -2, 63, 64, 65, -3, .max, .min, 1 << 31, -(1 << 31), 255, 256]
    let random = (0..<500).map { _ in (Int64(bitPattern: numbers.next()), Int64(numbers.int(-70...70))) }
    let pairs = edges.flatMap { x in edges.map { (x, $0) } } + random
    let cases: [(ck_opcode, (Int64, Int64) -> Int64)] = [
      (CK_ADD, { $0 &+ $1 }), (CK_SUB, { $0 &- $1 }), (CK_MUL, { $0 &* $1 }),
      (CK_DIV, { $1 == 0 ? 0 : $0.dividedReportingOverflow(by: $1).partialValue }), (CK_MAX, { max($0, $1) }),
      (CK_MIN, { min($0, $1) }), (CK_AND, { $0 & $1 }), (CK_OR, { $0 | $1 }), (CK_XOR, { $0 ^ $1 }),
      (CK_SHIFT_LEFT, { $0 << $1 }), (CK_SHIFT_RIGHT, { $0 >> $1 }), (CK_LT, { $0 < $1 ? 1 : 0 }),
      (
        CK_MOD,
        {
          if $1 == 0 { return 0 }
          let rest = $0.remainderReportingOverflow(dividingBy: $1).partialValue
          return rest != 0 && (rest < 0) != ($1 < 0) ? rest + $1 : rest
        }
      ),
    ]
    let x = Buffer(CK_I64, count: pairs.count), y = Buffer(CK_I64, count: pairs.count)
    for (i, pair) in pairs.enumerated() {
      x.memory.storeBytes(of: pair.0, toByteOffset: i * 8, as: Int64.self)
      y.memory.storeBytes(of: pair.1, toByteOffset: i * 8, as: Int64.self)
    }
    for (opcode, function) in cases {
      let wide = Buffer(CK_I64, count: x.count), narrow = Buffer(CK_I8, count: x.count), i = CK_CLASS_I64
      withContext(isa) { context in
        evaluate(
          context, [x.count], [Operand(buffer: x, strides: [1]), Operand(buffer: y, strides: [1])], [wide, narrow],
          [
            instruction(CK_LOAD, 0, 0, class: i), instruction(CK_LOAD, 1, 1, class: i),
            instruction(opcode, 2, 0, 1, class: i), instruction(CK_STORE, 0, 2, class: i),
            instruction(CK_STORE, 1, 2, class: i),
          ])
      }
      for (n, pair) in pairs.enumerated() {
        let wanted = function(pair.0, pair.1)
        let got = wide.memory.load(fromByteOffset: n * 8, as: Int64.self)
        #expect(got == wanted, "\(opcode) of \(pair), \(name(isa)), seed \(numbers.seed)")
        #expect(narrow[n] == Double(Int8(truncatingIfNeeded: wanted)), "\(opcode) of \(pair) as int8, \(name(isa))")
      }
    }
  }

  @Test(arguments: testedISAs) func everyConversion(isa: ck_isa) {
    var numbers = SeededNumbers()
    let classOf = { (type: ck_type) in
      type == CK_F64 ? CK_CLASS_F64 : type.isFloat ? CK_CLASS_F32 : CK_CLASS_I64
    }
    for from in floatTypes + integerTypes {
      let special = from.isFloat ? Self.special + [70000, 65519, 65520, 3e38, 6e-8, 3e-8, 1e-40, 300, -300, 3e9] : []
      let x = Buffer(from, special + (0..<300).map { _ in numbers.double(-130, 130) })
      for to in floatTypes + integerTypes {
        let y = Buffer(to, count: x.count), kind = classOf(from)
        withContext(isa) { context in
          evaluate(
            context, [x.count], [Operand(buffer: x, strides: [1])], [y],
            [
              instruction(CK_LOAD, 0, 0, class: kind),
              instruction(CK_CONVERT, 1, 0, class: classOf(to), from: kind),
              instruction(CK_STORE, 0, 1, class: classOf(to)),
            ])
        }
        // Through a register of the target's class; to bool, what is not 0 after truncation.
        let expected = x.values.map { value in
          to.isFloat ? to.rounded(value) : to == CK_BOOL ? CK_BOOL.rounded(CK_I64.rounded(value)) : to.rounded(value)
        }
        expectClose(y, expected, relative: 0, absolute: 0, "\(from) to \(to), \(name(isa)), seed \(numbers.seed)")
      }
    }
  }

  /// Random shapes with broadcast, permuted and padded operands: every way to gather a block.
  @Test(arguments: testedISAs) func anyStrides(isa: ck_isa) {
    var numbers = SeededNumbers()
    for _ in 0..<150 {
      let rank = numbers.int(0...5)
      let dimensions = (0..<rank).map { _ in [1, 2, 3, 5, 7, 16, 33, 130, 0].randomElement(using: &numbers)! }
      let total = dimensions.reduce(1, *)
      if total > 200_000 { continue }
      let operands = (0..<3).map { _ -> Operand in
        let order = (0..<rank).shuffled(using: &numbers), permuted = Bool.random(using: &numbers)
        var strides = rowMajor(dimensions), next = 1
        if permuted {
          for d in order {
            strides[d] = next
            next *= dimensions[d]
          }
        }
        for d in 0..<rank where numbers.int(0...2) == 0 { strides[d] = 0 }
        let type = [CK_F32, CK_F32, CK_BF16, CK_F64, CK_I32].randomElement(using: &numbers)!
        return Operand(buffer: Buffer(type, random: max(1, total), &numbers), strides: strides)
      }
      let out = Buffer(CK_F32, count: total), half = Buffer(CK_BF16, count: total)
      withContext(isa) { context in
        evaluate(
          context, dimensions, operands, [out, half],
          [
            instruction(CK_LOAD, 0, 0), instruction(CK_LOAD, 1, 1), instruction(CK_LOAD, 2, 2),
            instruction(CK_FMA, 3, 0, 1, 2), instruction(CK_STORE, 0, 3), instruction(CK_CONSTANT, 4, value: 0.5),
            instruction(CK_MUL, 3, 3, 4), instruction(CK_STORE, 1, 3),
          ])
      }
      let places = operands.map { offsets(dimensions, $0.strides) }
      let expected = (0..<total).map { i -> Double in
        let x = (0..<3).map { CK_F32.rounded(operands[$0].buffer[places[$0][i]]) }
        return x[0] * x[1] + x[2]
      }
      let what = "\(dimensions), strides \(operands.map(\.strides)), \(name(isa)), seed \(numbers.seed)"
      expectClose(out, expected.map(CK_F32.rounded), relative: CK_F32.epsilon, absolute: 1e-6, what)
      expectClose(half, expected.map { $0 / 2 }, relative: CK_BF16.epsilon, absolute: 1e-6, what)
    }
  }

  /// An output in the buffer of an input whose old values are still needed after the store.
  @Test(arguments: testedISAs) func outputsMayReuseInputs(isa: ck_isa) {
    var numbers = SeededNumbers()
    let n = 10_007
    let x = Buffer(CK_F32, random: n, &numbers), old = x.values, second = Buffer(CK_F32, count: n)
    withContext(isa) { context in
      evaluate(
        context, [n], [Operand(buffer: x, strides: [1])], [x, second],
        [
          instruction(CK_LOAD, 0), instruction(CK_NEG, 1, 0), instruction(CK_STORE, 0, 1),
          instruction(CK_ADD, 2, 0, 1), instruction(CK_SUB, 2, 2, 1), instruction(CK_STORE, 1, 2),
        ])
    }
    expectClose(x, old.map { -$0 }, relative: 0, "first output, \(name(isa)), seed \(numbers.seed)")
    expectClose(second, old, relative: 0, "second output, \(name(isa)), seed \(numbers.seed)")
  }

  @Test(arguments: testedISAs) func selectAndIsFinite(isa: ck_isa) {
    let x = Buffer(CK_F32, Self.special), y = Buffer(CK_F32, count: x.count), i = CK_CLASS_I64
    withContext(isa) { context in
      evaluate(
        context, [x.count], [Operand(buffer: x, strides: [1])], [y],
        [
          instruction(CK_LOAD, 0), instruction(CK_IS_FINITE, 1, 0, class: i, from: CK_CLASS_F32),
          instruction(CK_CONSTANT, 2, value: 7), instruction(CK_SELECT, 3, 1, 0, 2), instruction(CK_STORE, 0, 3),
        ])
    }
    expectClose(y, x.values.map { $0.isFinite ? $0 : 7 }, relative: 0, absolute: 0, name(isa))
  }

  @Test func threadsDoNotMatter() {
    var numbers = SeededNumbers()
    let x = Buffer(CK_F32, random: 150_001, &numbers)
    expectSameBits("seed \(numbers.seed)") { context in
      let y = Buffer(CK_F32, count: x.count)
      evaluate(
        context, [x.count], [Operand(buffer: x, strides: [1])], [y],
        [instruction(CK_LOAD, 0), instruction(CK_UNARY_GELU_TANH, 1, 0), instruction(CK_STORE, 0, 1)])
      return [y]
    }
  }
}
