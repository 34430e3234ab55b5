import Emulator
import GPUBackend
import Support
import Synchronization
import Tensors
import Testing

/// Products on tensor cores, on emulated chips of each generation, against the reference interpreter.
@Suite(.ownThreads) struct ProductTests {
  static let chips = [Chip.a100, .h200, .b200]

  /// A chip with so few multiprocessors that results of moderate size fill it.
  private func small(_ chip: Chip, _ multiprocessors: Int) -> Chip {
    var chip = chip
    chip.multiprocessors = multiprocessors
    return chip
  }

  /// Runs an operation on an emulated chip and compares what it gives.
  ///
  /// - Returns: the kernels that ran.
  @discardableResult private func check(
    _ opCase: OpCase, on chip: Chip, _ random: RandomCase, tolerance: Double? = nil
  ) throws -> [String] {
    let kernels = Mutex<[String]>([])
    let options = EmulatedGPU.Options(seed: UInt64(random.index))
    let device = EmulatedDevice(chip, options: options) { report in kernels.withLock { $0.append(report.kernel) } }
    let actual = try opCase.results(on: GPUBackend(device))
    let expected = try opCase.results(on: ReferenceBackend())
    for (place, (a, e)) in zip(actual, expected).enumerated() {
      expectClose(
        a, e, tolerance: tolerance ?? opCase.tolerance, floor: 0.5,
        "result \(place) of \(opCase) on \(chip.name) \(random)")
    }
    return kernels.withLock { $0 }
  }

  @Test(
    arguments: chips,
    [OpFamily.matmul, .groupedMatmul, .groupedOuter, .blockMatmul, .blockMatmuls, .linearCrossEntropy]
  )
  func `Products of all types and small sizes`(chip: Chip, family: OpFamily) throws {
    for (index, element) in [ElementType.bfloat16, .float16, .float32, .float64].enumerated() {
      var random = RandomCase("products \(chip.name) \(family)", index)
      for opCase in family.cases(element, &random) { try check(opCase, on: chip, random) }
    }
  }

  @Test(arguments: chips, [ElementType.bfloat16, .float16]) func `Products of all layouts, with all epilogues`(
    chip: Chip, element: ElementType
  ) throws {
    var random = RandomCase("layouts \(chip.name) \(element)", 0)
    for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
      for step in [1, 2, 4, 8] {
        // Rows begin at multiples of 2, 4, 8 or 16 bytes.
        let (m, n, k) = (
          random.integer(1...160 / step) * step, random.integer(1...160 / step) * step,
          random.integer(1...160 / step) * step
        )
        try check(
          matmul(element, transposeA, transposeB, m, n, k, batch: random.choice([[], [2], [2, 2]]), &random),
          on: small(chip, random.integer(1...4)), random)
      }
    }
  }

  private func matmul(
    _ element: ElementType, _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, batch: [Int] = [],
    _ random: inout RandomCase
  ) -> OpCase {
    var matmul = Matmul(transposeA: transposeA, transposeB: transposeB, type: random.choice([element, .float32]))
    matmul.bias = random.bool()
    matmul.activation = random.choice([nil] + Activation.allCases)
    matmul.residual = random.bool()
    matmul.keepsPreActivation = matmul.activation != nil && random.bool()
    let a = random.data(element, Shape(batch + (transposeA ? [k, m] : [m, k])))
    let b = random.data(element, Shape((random.bool() ? batch : []) + (transposeB ? [n, k] : [k, n])))
    let more =
      (matmul.bias ? [random.data(.float32, [n])] : [])
      + (matmul.residual ? [random.data(element, Shape(batch + [m, n]))] : [])
    return OpCase(.matmul(matmul), [a, b] + more)
  }

  /// A product, and the kernels that should compute it.
  struct Planned: Sendable, CustomTestStringConvertible {
    let chip: Chip
    let multiprocessors: Int
    let size: (m: Int, n: Int, k: Int)
    let kernels: [String]

    var testDescription: String { "\(size) on \(multiprocessors) of \(chip.name): \(kernels)" }
  }

  @Test(arguments: [
    Planned(chip: .h200, multiprocessors: 2, size: (512, 512, 128), kernels: ["product128x256"]),
    Planned(chip: .h200, multiprocessors: 2, size: (512, 384, 72), kernels: ["product128x192"]),
    Planned(chip: .h200, multiprocessors: 4, size: (300, 200, 72), kernels: ["product64x128"]),
    Planned(chip: .h200, multiprocessors: 132, size: (64, 264, 200), kernels: ["product64x32"]),
    Planned(chip: .h200, multiprocessors: 132, size: (72, 80, 4096), kernels: ["product64x32", "productParts"]),
    Planned(chip: .b200, multiprocessors: 2, size: (512, 512, 136), kernels: ["product256x256"]),
    Planned(chip: .b200, multiprocessors: 1, size: (120, 200, 4096), kernels: ["product128x256"]),
    Planned(chip: .b200, multiprocessors: 148, size: (72, 80, 4096), kernels: ["product128x64", "productParts"]),
    Planned(chip: .a100, multiprocessors: 2, size: (270, 520, 100), kernels: ["product128x128"]),
    Planned(chip: .a100, multiprocessors: 108, size: (65, 66, 4096), kernels: ["product64x64", "productParts"]),
  ])
  func `The kernel that is planned computes the product`(planned: Planned) throws {
    let (m, n, k) = planned.size
    var random = RandomCase("planned \(m) \(n) \(k)", 0)
    let opCase = matmul(.bfloat16, false, true, m, n, k, &random)
    let kernels = try check(opCase, on: small(planned.chip, planned.multiprocessors), random)
    #expect(kernels == planned.kernels)
  }

  @Test(arguments: chips) func `Groups of many rows`(chip: Chip) throws {
    var random = RandomCase("groups \(chip.name)", 0)
    let counts = TensorData([130, 0, 65, 1, 100] as [Int32], shape: [5])
    let (k, n) = (random.integer(1...100), random.integer(1...150))
    for (transposed, step) in [(false, 1), (true, 1), (false, 8), (true, 8)] {
      let (k, n) = ((k + step - 1) / step * step, (n + step - 1) / step * step)
      let weights = random.data(.bfloat16, transposed ? [5, n, k] : [5, k, n])
      let grouped = GroupedMatmul(transposed: transposed, type: .bfloat16)
      let kernels = try check(
        OpCase(.groupedMatmul(grouped), [random.data(.bfloat16, [300, k]), weights, counts]), on: chip, random)
      #expect(kernels.count == 2 && kernels[0] == "groupedTiles")
      if step == 8 && chip == .h200 { #expect(kernels[1].hasPrefix("product")) }
    }
    let kernels = try check(
      OpCase(
        .groupedOuter(.float32), [random.data(.float16, [290, k]), random.data(.float16, [290, n]), counts]),
      on: chip, random, tolerance: 1e-3)
    #expect(kernels == ["groupedTiles", "groupedOuter"])
  }

  @Test(arguments: BlockFormat.all) func `Weights in blocks, few rows and many`(format: BlockFormat) throws {
    var random = RandomCase("blocks \(format.name)", 0)
    let unit = max(32, format.block?.elements ?? 32)
    for (rows, kernel) in [(1, "blockProduct"), (random.integer(2...64), "blockProduct"), (70, "dequantize")] {
      let columns = unit * random.integer(1...(2400 / unit))
      let n = random.integer(1...40)
      let chip = random.choice(Self.chips)
      let blocks = random.blocks(format, rows: n, columns: columns)
      // Many rows are multiplied as they are, whatever is asked for.
      let product = BlockMatmul(format: format, type: .float32, exact: rows > 64 || random.bool())
      let opCase = OpCase(.blockMatmul(product), [random.data(.bfloat16, [rows, columns]), blocks])
      let kernels = try check(opCase, on: chip, random, tolerance: 2e-2)
      #expect(kernels.contains(kernel))
    }
  }

  /// Bits of a row must not depend on the rows beside it.
  @Test func `A row has the same product with weights in blocks among any others`() throws {
    var random = RandomCase("rows with blocks", 0)
    let format = random.choice(BlockFormat.all.filter { ($0.block?.elements ?? 32) <= 256 })
    let x = random.data(.bfloat16, [40, 2048])
    let blocks = random.blocks(format, rows: 37, columns: 2048)
    let backend = GPUBackend(EmulatedDevice())
    func product(_ rows: Int) throws -> [Double] {
      let product = BlockMatmul(format: format, type: .float32)
      return try OpCase(.blockMatmul(product), [x.prefix(rows: rows), blocks]).results(on: backend)[0].doubles
    }
    let all = try product(40)
    for rows in [1, 7, 16, 33] {
      #expect(try product(rows) == Array(all.prefix(rows * 37)), "\(format.name) \(random)")
    }
  }

  @Test(arguments: chips, [ElementType.bfloat16, .float32]) func `Cross-entropy of many rows in chunks`(
    chip: Chip, element: ElementType
  ) throws {
    var random = RandomCase("cross-entropy chunks \(chip.name) \(element)", 0)
    let (rows, width, vocabulary) = (130, 16, 8201)
    let options = LinearCrossEntropy(softcap: 5, loss: true, gradient: true, weightGradientType: element)
    let inputs = [
      random.data(element, [rows, width]), random.data(element, [vocabulary, width]),
      random.data(.int32, [rows], .integers(-1...vocabulary)), random.data(.float32, [rows]),
    ]
    let kernels = try check(OpCase(.linearCrossEntropy(options), inputs), on: small(chip, 1), random)
    #expect(kernels.filter { $0 == "crossEntropyRows" }.count == 3)
  }
}
