import Emulator
import GPUBackend
import Support
import Tensors
import Testing

/// Shapes for which kernels go other ways than for small ones: rows that do not fit in registers or shared memory, groups of
/// several warps, reductions in chunks, tiles of 64.
@Suite(.ownThreads) struct LargeShapeTests {
  private func check(_ opCase: OpCase, _ random: RandomCase) throws {
    let expected = try opCase.results(on: ReferenceBackend())
    let actual = try opCase.results(on: GPUBackend(EmulatedDevice()))
    for (place, (a, e)) in zip(actual, expected).enumerated() {
      expectClose(a, e, tolerance: opCase.tolerance, floor: 0.5, "result \(place) of \(opCase) \(random)")
    }
  }

  @Test(arguments: [[1], [0], [0, 1], [0, 2], [1, 2]]) func `Long reductions are cut into chunks`(axes: [Int]) throws {
    var random = RandomCase("gpu chunks \(axes)")
    let shapes: [Shape] = [[3, 9001], [9001, 3], [2, 3, 4100], [600, 5, 7]]
    for shape in shapes where axes.last! < shape.rank {
      for (element, reduction) in [(ElementType.bfloat16, Reduction.sum), (.float32, .sumOfSquares), (.int64, .sum)] {
        let x = random.data(element, shape)
        try check(OpCase(.reduce(reduction, axes: axes, type: element), [x]), random)
      }
      try check(OpCase(.reduce(.maximum, axes: axes, type: .float64), [random.data(.float64, shape)]), random)
    }
  }

  @Test func `The largest of a long row is found by a block`() throws {
    var random = RandomCase("gpu argMax")
    for element in [ElementType.float32, .float64, .int64] {
      try check(OpCase(.argMax(axis: 1), [random.data(element, [2, 5000], .integers(0...999))]), random)
    }
  }

  @Test(arguments: [700, 3000, 20_011, 40_000]) func `Rows are as wide as they like`(width: Int) throws {
    for element in [ElementType.float32, .bfloat16] {
      var random = RandomCase("gpu rows \(element)", width)
      let (x, dy) = (random.data(element, [3, width]), random.data(element, [3, width]))
      let weight = random.data(element, [width], .nonzero)
      try check(OpCase(.softmax, [x]), random)
      try check(OpCase(.softmaxGradient, [random.data(element, [3, width], .within(0...0.01)), dy]), random)
      try check(OpCase(.cumulativeSum(axis: 1, reverse: false, exclusive: true), [x]), random)
      let norm = Norm(epsilon: 1e-2, weight: true, bias: true)
      let statistics = [TensorData([0.1, 0, -0.1], shape: [3]), TensorData([0.9, 1, 1.1], shape: [3])]
      try check(OpCase(.layerNorm(norm), [x, weight, weight]), random)
      try check(OpCase(.layerNormGradient(norm), [x, weight] + statistics + [dy]), random)
      try check(
        OpCase(.rmsNormGradient(Norm(epsilon: 1e-2, weight: true, bias: false)), [x, weight, statistics[1], dy]), random
      )
    }
  }

  @Test func `A gradient of a norm sums up many rows`() throws {
    var random = RandomCase("gpu many rows")
    let (x, dy) = (random.data(.float32, [1300, 24]), random.data(.float32, [1300, 24]))
    let statistics = [random.data(.float32, [1300], .within(-0.1...0.1)), random.data(.float32, [1300], .nonzero)]
    let norm = Norm(epsilon: 1e-2, weight: true, bias: true)
    try check(OpCase(.layerNormGradient(norm), [x, random.data(.float32, [24])] + statistics + [dy]), random)
  }

  @Test(arguments: [ElementType.float32, .float64, .uint8]) func `Rows that do not fit in shared memory are sorted`(
    element: ElementType
  ) throws {
    var random = RandomCase("gpu sort \(element)")
    let x = random.data(element, [2, 5003], .integers(0...3000))
    for op in [Op.sort(descending: false), .sort(descending: true), .topK(7), .topK(1024), .topK(1025)] {
      try check(OpCase(op, [x]), random)
    }
  }

  @Test func `Many updates are added up in order`() throws {
    var random = RandomCase("gpu scatter")
    let updates = random.data(.float32, [3000, 5])
    for index in [ElementType.int32, .int64] {
      let indices = random.data(index, [3000], .integers(-1...40))
      try check(OpCase(.scatterAdd(axis: 0, entries: 40, type: .float32), [updates, indices]), random)
    }
  }

  @Test(arguments: [ElementType.float32, .bfloat16, .float64, .int8]) func `Products have many tiles`(
    element: ElementType
  )
    throws
  {
    var random = RandomCase("gpu tiles \(element)")
    for (transposeA, transposeB) in [(false, false), (true, false), (false, true)] {
      let a = random.data(element, transposeA ? [2, 33, 90] : [2, 90, 33])
      let b = random.data(element, transposeB ? [70, 33] : [33, 70])
      let type = element == .int8 ? ElementType.int32 : element
      try check(OpCase(.matmul(Matmul(transposeA: transposeA, transposeB: transposeB, type: type)), [a, b]), random)
    }
  }

  @Test func `Matrices are transposed by tiles`() throws {
    var random = RandomCase("gpu transpose")
    for element in [ElementType.uint8, .bfloat16, .float32, .int64] {
      let x = random.data(element, [2, 40, 3, 50])
      for axes in [[0, 3, 2, 1], [3, 2, 1, 0], [0, 2, 3, 1], [1, 3, 0, 2]] {
        try check(OpCase(.permute(axes), [x]), random)
      }
    }
  }
}
