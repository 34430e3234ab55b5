// Matrix products against a plain loop in Double, for every instruction set, type, layout and epilogue.

import CKernels
import Core
import Testing

/// One product with its operands, and what it should give.
private struct Product {
  var arguments = ck_matmul_arguments()
  var a: Buffer, b: Buffer, c: Buffer
  var bias: Buffer?, residual: Buffer?, preActivation: Buffer?
  /// C before the product.
  let before: [Double]
  let description: String

  struct Shape {
    var m: Int, n: Int, k: Int, batch = 1
    var transposeA = false, transposeB = false, broadcastA = false, broadcastB = false
    /// Elements after each row.
    var padding = (a: 0, b: 0, c: 0)
  }

  init(
    _ s: Shape, a typeA: ck_type, b typeB: ck_type, c typeC: ck_type, epilogue: Bool, accumulate: Bool,
    _ numbers: inout SeededNumbers
  ) {
    let lda = (s.transposeA ? s.m : s.k) + s.padding.a, ldb = (s.transposeB ? s.k : s.n) + s.padding.b
    let ldc = s.n + s.padding.c
    let sizeA = (s.transposeA ? s.k : s.m) * lda, sizeB = (s.transposeB ? s.n : s.k) * ldb, sizeC = s.m * ldc
    a = Buffer(typeA, random: sizeA * s.batch, &numbers)
    b = Buffer(typeB, random: sizeB * s.batch, &numbers)
    c = Buffer(typeC, random: sizeC * s.batch, &numbers)
    before = c.values
    arguments.type_a = typeA
    arguments.type_b = typeB
    arguments.type_c = typeC
    (arguments.batch, arguments.m, arguments.n, arguments.k) = (Int64(s.batch), Int64(s.m), Int64(s.n), Int64(s.k))
    (arguments.lda, arguments.ldb, arguments.ldc) = (Int64(lda), Int64(ldb), Int64(ldc))
    arguments.stride_a = s.broadcastA ? 0 : Int64(sizeA)
    arguments.stride_b = s.broadcastB ? 0 : Int64(sizeB)
    arguments.stride_c = Int64(sizeC)
    (arguments.transpose_a, arguments.transpose_b) = (s.transposeA, s.transposeB)
    arguments.accumulate = accumulate
    let integers = !typeA.isFloat
    if epilogue && !accumulate {
      arguments.activation = ck_activation(rawValue: UInt32(numbers.int(0...(integers ? 2 : 5))))
      if numbers.int(0...1) == 0 {
        let type = integers ? CK_I32 : floatTypes.randomElement(using: &numbers)!
        bias = Buffer(type, random: s.n, &numbers)
        arguments.type_bias = type
      }
      if numbers.int(0...1) == 0 {
        let type = integers ? CK_I32 : floatTypes.randomElement(using: &numbers)!
        residual = Buffer(type, random: s.m * (s.n + 3) * s.batch, &numbers)
        arguments.type_residual = type
        arguments.ldr = Int64(s.n + 3)
        arguments.stride_r = numbers.int(0...1) == 0 ? 0 : Int64(s.m * (s.n + 3))
      }
      if numbers.int(0...2) == 0 { preActivation = Buffer(typeC, count: sizeC * s.batch) }
    }
    description = """
      \(s) types \(typeA.rawValue) \(typeB.rawValue) \(typeC.rawValue) accumulate \(accumulate) bias \
      \(bias != nil) activation \(arguments.activation.rawValue) residual \(residual != nil) seed \(numbers.seed)
      """
  }

  /// Runs the product into a fresh copy of C, with exactly the scratch asked for.
  func run(
    _ isa: ck_isa, threads: Int = 2, native: Bool = true, serial: Bool = false
  ) -> (c: Buffer, preActivation: Buffer?) {
    let out = Buffer(c.type, before), pre = preActivation.map { Buffer(c.type, count: $0.count) }
    var arguments = arguments
    arguments.a = UnsafeRawPointer(a.memory)
    arguments.b = UnsafeRawPointer(b.memory)
    arguments.c = out.memory
    arguments.bias = bias.map { UnsafeRawPointer($0.memory) }
    arguments.residual = residual.map { UnsafeRawPointer($0.memory) }
    arguments.pre_activation = pre?.memory
    withContext(isa, threads: threads) { context in
      var context = context.pointee
      context.bf16 = native && ck_has_bf16()
      context.vnni = native && ck_has_vnni()
      let bytes = serial ? ck_matmul_serial_scratch(&context, &arguments) : ck_matmul_scratch(&context, &arguments)
      let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes + 64, alignment: 64)
      defer { scratch.deallocate() }
      // NaN where the kernel has written nothing, and a mark behind the end.
      scratch.initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes + 64)
      if serial {
        ck_matmul_serial(&context, &arguments, scratch)
      } else {
        ck_matmul(&context, &arguments, scratch)
      }
      for i in bytes..<bytes + 64 where scratch.load(fromByteOffset: i, as: UInt8.self) != 0xff {
        Issue.record("wrote beyond its scratch: \(description)")
        break
      }
    }
    return (out, pre)
  }

  /// The plain loop. `scale` is the magnitude that errors are relative to.
  func expected() -> (values: [Double], before: [Double], scale: [Double]) {
    let a = a.values, b = b.values, bias = bias?.values, residual = residual?.values
    let s = arguments
    var values = self.before, before = self.before, scale = self.before.map { _ in 1.0 }
    for batch in 0..<Int(s.batch) {
      for i in 0..<Int(s.m) {
        for j in 0..<Int(s.n) {
          let at = batch * Int(s.stride_c) + i * Int(s.ldc) + j
          var sum = s.accumulate ? self.before[at] : 0, size = 1 + abs(sum)
          for p in 0..<Int(s.k) {
            let x = a[batch * Int(s.stride_a) + (s.transpose_a ? p * Int(s.lda) + i : i * Int(s.lda) + p)]
            let y = b[batch * Int(s.stride_b) + (s.transpose_b ? j * Int(s.ldb) + p : p * Int(s.ldb) + j)]
            sum += x * y
            size += abs(x * y)
          }
          if let bias { sum += bias[j] }
          before[at] = sum
          let sensitivity = s.activation == CK_RELU_SQUARED ? 2 + 2 * abs(sum) : 2
          values[at] = activate(s.activation, sum)
          if let residual { values[at] += residual[batch * Int(s.stride_r) + i * Int(s.ldr) + j] }
          scale[at] = (size + abs(sum)) * sensitivity + abs(values[at])
        }
      }
    }
    return (values, before, scale)
  }

  /// How far off an element may be, relative to its scale: the sum's own error, and the rounding of C.
  var tolerance: Double {
    let sum = !a.type.isFloat ? 0 : a.type == CK_F64 || b.type == CK_F64 ? 1e-13 : 3e-6
    return sum + c.type.epsilon
  }
}

private func activate(_ activation: ck_activation, _ x: Double) -> Double {
  switch activation {
  case CK_RELU: max(x, 0)
  case CK_RELU_SQUARED: max(x, 0) * max(x, 0)
  case CK_GELU_TANH: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  case CK_GELU_ERF: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
  case CK_SILU: x / (1 + exp(-x))
  default: x
  }
}

private func expectRight(_ product: Product, _ isas: [ck_isa] = matmulISAs, native: Bool = true) {
  let (values, before, scale) = product.expected()
  for isa in isas {
    for threads in [1, 2, 3, 7] {
      let (c, pre) = product.run(isa, threads: threads, native: native)
      let what = "\(name(isa)), \(threads) threads: \(product.description)"
      for i in values.indices where abs(c[i] - values[i]) > product.tolerance * scale[i] || c[i].isNaN {
        Issue.record("\(what): element \(i) is \(c[i]), not \(values[i])")
        break
      }
      if let pre {
        let s = product.arguments
        for at in values.indices where at % Int(s.ldc) < Int(s.n) {
          if abs(pre[at] - before[at]) <= product.tolerance * scale[at] { continue }
          Issue.record("\(what): before the activation, element \(at) is \(pre[at]), not \(before[at])")
          break
        }
      }
    }
  }
}

/// All that this machine has, and the tiles in emulation.
private let matmulISAs: [ck_isa] = [CK_PORTABLE, CK_NEON, CK_AVX2, CK_AVX512, CK_AMX, CK_AMX_EMULATED]
  .filter { ck_isa_available($0) }

@Suite struct MatmulTests {
  private static let sizes = [1, 2, 3, 5, 7, 8, 9, 12, 13, 14, 15, 16, 17, 29, 31, 32, 33, 47, 64, 65]

  private func shape(_ numbers: inout SeededNumbers) -> Product.Shape {
    func size() -> Int { Self.sizes.randomElement(using: &numbers)! }
    var shape = Product.Shape(m: size(), n: size(), k: size())
    if numbers.int(0...9) == 0 { shape.k = 0 }
    shape.batch = numbers.int(0...2) == 0 ? numbers.int(2...4) : 1
    shape.transposeA = .random(using: &numbers)
    shape.transposeB = .random(using: &numbers)
    shape.broadcastA = numbers.int(0...4) == 0
    shape.broadcastB = .random(using: &numbers)
    shape.padding = (numbers.int(0...2), numbers.int(0...2), numbers.int(0...2))
    return shape
  }

  @Test(arguments: [true, false]) func floats(native: Bool) {
    var numbers = SeededNumbers()
    let types = [CK_F32, CK_F32, CK_BF16, CK_BF16, CK_F16, CK_F64]
    for _ in 0..<60 {
      let a = types.randomElement(using: &numbers)!
      let product = Product(
        shape(&numbers), a: a, b: numbers.int(0...2) == 0 ? types.randomElement(using: &numbers)! : a,
        c: types.randomElement(using: &numbers)!, epilogue: .random(using: &numbers),
        accumulate: numbers.int(0...4) == 0, &numbers)
      expectRight(product, native: native)
    }
  }

  @Test(arguments: [true, false]) func integers(native: Bool) {
    var numbers = SeededNumbers()
    for _ in 0..<30 {
      let plain = numbers.int(0...2) > 0
      let product = Product(
        shape(&numbers), a: plain ? CK_I8 : integerTypes.randomElement(using: &numbers)!,
        b: plain ? CK_I8 : integerTypes.randomElement(using: &numbers)!, c: plain ? CK_I32 : CK_I64, epilogue: !plain,
        accumulate: numbers.int(0...4) == 0, &numbers)
      expectRight(product, native: native)
    }
  }

  /// Every pair of transposes with k in several parts, sums going on from part to part in every type of C.
  @Test(arguments: [CK_F32, CK_BF16, CK_I8]) func longSums(type: ck_type) {
    var numbers = SeededNumbers()
    for transposeA in [false, true] {
      for transposeB in [false, true] {
        var shape = Product.Shape(m: 15, n: 34, k: type == CK_I8 ? 6500 : 3203)
        (shape.transposeA, shape.transposeB) = (transposeA, transposeB)
        let product = Product(
          shape, a: type, b: type, c: type == CK_I8 ? CK_I32 : type, epilogue: type != CK_I8,
          accumulate: numbers.int(0...1) == 0, &numbers)
        expectRight(product)
      }
    }
  }

  /// Large enough for several tasks, shared blocks and uneven last panels.
  @Test func manyTasks() {
    var numbers = SeededNumbers()
    for (m, n, k) in [(300, 131, 70), (131, 300, 70), (1, 1000, 100), (3, 700, 65)] {
      for type in [CK_F32, CK_BF16] {
        var shape = Product.Shape(m: m, n: n, k: k)
        shape.transposeB = .random(using: &numbers)
        expectRight(
          Product(shape, a: type, b: type, c: type, epilogue: true, accumulate: false, &numbers),
          matmulISAs.filter { $0 != CK_PORTABLE })
      }
    }
  }

  @Test func emptyProducts() {
    var numbers = SeededNumbers()
    for (m, n, k) in [(0, 5, 5), (5, 0, 5), (5, 5, 0), (0, 0, 0)] {
      for type in [CK_F32, CK_BF16, CK_F64, CK_I8] {
        expectRight(
          Product(
            Product.Shape(m: m, n: n, k: k), a: type, b: type, c: type == CK_I8 ? CK_I32 : type, epilogue: false,
            accumulate: false, &numbers))
      }
    }
  }

  @Test func bitsDoNotDependOnThreads() {
    var numbers = SeededNumbers()
    for type in [CK_F32, CK_BF16, CK_F64] {
      for (m, n, k, batch) in [
        (257, 130, 300, 1), (33, 65, 1700, 1), (20, 30, 64, 9), (1, 500, 200, 1), (3, 331, 1025, 1),
      ] {
        let product = Product(
          Product.Shape(m: m, n: n, k: k, batch: batch, transposeB: true), a: type, b: type, c: type, epilogue: true,
          accumulate: false, &numbers)
        for isa in matmulISAs {
          let reference = product.run(isa, serial: true).c.bytes
          for threads in [1, 2, 3, 7] {
            #expect(
              product.run(isa, threads: threads).c.bytes == reference,
              "\(name(isa)), \(threads) threads: \(product.description)")
          }
        }
      }
    }
  }

  /// A row's result may not depend on the rows that it is computed with: few rows, past which B streams, many, in blocks.
  @Test(arguments: [(96, 200), (83, 203), (40, 3300)]) func bitsDoNotDependOnTheBatch(n: Int, k: Int) {
    var numbers = SeededNumbers()
    for type in [CK_F32, CK_BF16, CK_F16] {
      let m = 40
      let product = Product(
        Product.Shape(m: m, n: n, k: k, transposeB: true), a: type, b: type, c: type, epilogue: false,
        accumulate: false, &numbers)
      for isa in matmulISAs {
        let all = product.run(isa).c.bytes
        for rows in [1, 2, 3, 5, 8, 9, 17] {
          var few = product
          few.arguments.m = Int64(rows)
          let bytes = rows * n * Int(ck_type_size(type))
          #expect(
            few.run(isa).c.bytes.prefix(bytes) == all.prefix(bytes), "\(name(isa)), \(rows) rows, seed \(numbers.seed)")
        }
      }
    }
  }

  @Test func notANumberSpreads() {
    var numbers = SeededNumbers()
    for activation in 0..<UInt32(6) {
      var product = Product(
        Product.Shape(m: 3, n: 20, k: 4), a: CK_F32, b: CK_F32, c: CK_F32, epilogue: false, accumulate: false, &numbers)
      product.arguments.activation = ck_activation(rawValue: activation)
      product.a[5] = .nan
      for isa in matmulISAs {
        let c = product.run(isa).c
        #expect((20..<40).allSatisfy { c[$0].isNaN }, "\(name(isa)), activation \(activation)")
        #expect((0..<20).allSatisfy { !c[$0].isNaN }, "\(name(isa)), activation \(activation)")
      }
    }
  }
}
