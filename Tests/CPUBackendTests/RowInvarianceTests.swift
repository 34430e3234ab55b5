import CPUBackend
import Support
import Tensors
import Testing

/// On a backend that is asked for it, what a row becomes in a decoder has the same bits however many rows there are. (Attention
/// to pages has tests of its own, and whole models have: PagedModelTests.)
@Suite struct RowInvarianceTests {
  private static let most = 70

  /// Rows become something in every way of a decoder: x [rows, 256].
  private func results(of x: Tensor, _ random: inout RandomCase) -> [Tensor] {
    func constant(_ element: ElementType, _ shape: Shape) -> Tensor { Tensor(random.data(element, shape)) }
    let (rows, width) = (x.shape[0], x.shape[1])
    let weight = constant(x.element, [131, width])
    let formats: [BlockFormat] = [
      .q40, .q80, .q4K, .q6K, .mxfp4, .int4(group: 128), .nf4, .fp8E4M3(group: 128),
    ]
    let wide = x.reshaped(rows, 1, 2, width / 2)
    let angles = x.cast(.float32).sliced(0..<(width / 4), axis: -1).reshaped(rows, 1, width / 4)
    return [
      x.matmul(weight: weight), x.matmul(weight: weight, type: .float32),
      x.linear(weight, bias: constant(.float32, [131])).silu() + x.sliced(0..<131, axis: -1),
      x.matmul(constant(x.element, [width, 40])),
      x.rmsNorm(constant(.float32, [width])),
      x.layerNorm(constant(.float32, [width]), bias: constant(.float32, [width])),
      x.softmax(), x.silu() * x.tanh() + x.exp(), wide.rotary(cosines: angles.cosine(), sines: angles.sine()),
      x.topK(5).values, x.reshaped(rows, 4, width / 4).sum([1]), x.sum([-1]),
      wide.reshaped(rows, 2, 1, width / 2).matmul(constant(x.element, [2, width / 2, 30])),
    ]
      + formats.map { format in
        let blocks = TensorData(TensorType(.uint8, [50, format.rowBytes(columns: width)!]))
        // Scales of ordinary size in every format.
        for index in 0..<blocks.shape.count { blocks[index] = .integer(Int64(random.integer(0x11...0x19))) }
        return x.linear(Tensor(blocks).dequantized(format))
      }
  }

  @Test(arguments: [ElementType.float32, .bfloat16], [false, true])
  func `A row becomes the same among any other rows`(element: ElementType, exactBlocks: Bool) throws {
    var random = RandomCase("row invariance \(element)", exactBlocks ? 1 : 0)
    let x = Tensor.input("x", TensorType(element, Shape([Self.most, 256], varies: true)))
    let program = Program(
      inputs: [x], outputs: results(of: x, &random), options: Program.Options(exactBlocks: exactBlocks))
    try check(program, random.data(element, [Self.most, 256]), &random)
  }

  /// So long that sums along k are made in parts.
  @Test(arguments: [ElementType.float32, .bfloat16]) func `Long rows do`(element: ElementType) throws {
    var random = RandomCase("long rows \(element)", 0)
    let x = Tensor.input("x", TensorType(element, Shape([Self.most, 7000], varies: true)))
    let weight = Tensor(random.data(element, [37, 7000]))
    let program = Program(inputs: [x], outputs: [x.matmul(weight: weight), x.rmsNorm(nil)])
    try check(program, random.data(element, [Self.most, 7000]), &random)
  }

  private func check(_ program: Program, _ data: TensorData, _ random: inout RandomCase) throws {
    for set in CPUBackend.InstructionSet.available {
      let backend = CPUBackend(threads: 2, instructionSet: set, spins: 100, rowInvariant: true)
      let executable = try backend.compile(program)
      let all = try executable.run([data]).map { $0.copy() }
      var first = 0
      while first < Self.most {
        let count = min(Self.most - first, random.choice([1, 1, 2, 3, 5, 8, 17, 30]))
        let some = try executable.run([Self.rows(first..<(first + count), of: data)], extent: count)
        for (place, (part, whole)) in zip(some, all).enumerated() {
          let expected = Self.rows(first..<(first + count), of: whole)
          #expect(
            part.bytes.elementsEqual(expected.bytes),
            "output \(place), \(count) rows from \(first) on \(backend.name) \(random)")
        }
        first += count
      }
    }
  }

  private static func rows(_ range: Range<Int>, of data: TensorData) -> TensorData {
    var shape = data.shape
    shape[0] = range.count
    let result = TensorData(TensorType(data.type.element, Shape(shape.dimensions)))
    let bytes = data.type.bytes / data.shape[0]
    result.bytes.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: data.bytes[(range.lowerBound * bytes)..<(range.upperBound * bytes)]))
    return result
  }
}
