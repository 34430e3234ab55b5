import Emulator
import GPUBackend
import Support
import Tensors
import Testing

/// Attention on emulated GPUs against the reference interpreter.
@Suite(.ownThreads) struct AttentionTests {
  /// A chip with few multiprocessors, so that blocks which work through many tiles do.
  private func chip(_ name: String, multiprocessors: Int = 2) throws -> Chip {
    var chip = try #require(Chip.all.first { $0.name == name })
    chip.multiprocessors = multiprocessors
    return chip
  }

  private func check(_ opCase: OpCase, on chip: Chip, _ note: String) throws {
    let expected = try opCase.results(on: ReferenceBackend())
    let actual = try opCase.results(on: GPUBackend(EmulatedDevice(chip)))
    for (place, (a, e)) in zip(actual, expected).enumerated() {
      expectClose(a, e, tolerance: opCase.tolerance, floor: 0.5, "result \(place) of \(opCase) on \(chip.name) \(note)")
    }
  }

  @Test(arguments: [OpFamily.attention, .attentionGradient, .pagedAttention], ["A100", "H200", "B200"])
  func `Every option and type computes what the reference does`(family: OpFamily, chip: String) throws {
    for (index, element) in [ElementType.float32, .float64, .bfloat16, .float16].enumerated() {
      var random = RandomCase("attention \(family) \(chip)", index)
      for opCase in family.cases(element, &random) { try check(opCase, on: try self.chip(chip), "\(random)") }
    }
  }

  // MARK: Tensor cores

  /// Shapes of many tiles, of each layout of tiles.
  private func tensorCase(_ index: Int, _ random: inout RandomCase) -> (options: Attention, inputs: [TensorData]) {
    let element = random.choice([ElementType.bfloat16, .float16])
    let size = [64, 128, 80, 96, 192, 256, 8][index % 7]
    let keyHeads = random.integer(1...2)
    let (heads, batch) = (keyHeads * random.integer(1...3), random.integer(1...2))
    let longest = size > 128 ? 150 : 330
    let keys = random.integer(1...longest)
    var options = Attention(scale: 1 / Double(size).squareRoot(), causal: random.bool())
    options.segments = random.integer(0...3) == 0
    options.sinks = random.integer(0...3) == 0
    options.window = random.integer(0...3) == 0 ? random.integer(1...200) : nil
    options.softcap = random.integer(0...3) == 0 ? 2.5 : nil
    let queries = options.segments || random.bool() ? keys : random.integer(1...longest)
    var inputs = [random.data(element, [batch, queries, heads, size])]
    inputs += (0..<2).map { _ in random.data(element, [batch, keys, keyHeads, size]) }
    if options.segments { inputs.append(random.data(.int32, [batch, keys], .integers(0...2))) }
    if options.sinks { inputs.append(random.data(.float32, [heads])) }
    return (options, inputs)
  }

  @Test(arguments: ["A100", "H200"], 0..<7)
  func `Tiles of tensor cores compute what the reference does`(chip: String, index: Int) throws {
    var random = RandomCase("attention tiles \(chip)", index)
    let (options, inputs) = tensorCase(index, &random)
    try check(OpCase(.attention(options), inputs), on: try self.chip(chip), "\(random)")
  }

  @Test(arguments: ["A100", "H200"], 0..<7)
  func `Gradients through tiles of tensor cores are the reference's`(chip: String, index: Int) throws {
    var random = RandomCase("attention gradient tiles \(chip)", index)
    let (options, inputs) = tensorCase(index, &random)
    let forward = try OpCase(.attention(options), inputs).results(on: ReferenceBackend())
    let dO = random.data(inputs[0].type.element, inputs[0].shape)
    try check(OpCase(.attentionGradient(options), inputs + forward + [dO]), on: try self.chip(chip), "\(random)")
  }

  @Test func `A gradient has the same bits whatever order the hardware chooses`() throws {
    var random = RandomCase("attention bits")
    let (options, inputs) = tensorCase(0, &random)
    let forward = try OpCase(.attention(options), inputs).results(on: ReferenceBackend())
    let dO = random.data(inputs[0].type.element, inputs[0].shape)
    let gradient = OpCase(.attentionGradient(options), inputs + forward + [dO])
    let results = try [1, 2].map { (seed: UInt64) in
      let device = EmulatedDevice(try chip("H200"), options: EmulatedGPU.Options(seed: seed))
      return try gradient.results(on: GPUBackend(device))
    }
    #expect(results[0].map(\.doubles) == results[1].map(\.doubles), "\(random)")
  }

  // MARK: Caches

  /// Rows of sequences in blocks of a pool: a prompt's, one after the other, and single ones.
  private func pagedCase(_ index: Int, _ random: inout RandomCase) -> OpCase {
    let element = random.choice([ElementType.bfloat16, .float16])
    let size = [64, 128, 80, 256][index % 4]
    let keyHeads = random.integer(1...2)
    let heads = keyHeads * random.choice([1, 4, 7, 20])
    let (sequences, blockSize) = (random.integer(1...2), random.choice([3, 16, 32]))
    let blocks = 700 / blockSize
    let attention = Attention(
      scale: 1 / Double(size).squareRoot(), window: index % 3 == 0 ? random.integer(1...400) : nil,
      softcap: index % 4 == 1 ? 2.5 : nil)
    var paged = PagedAttention(attention, blockSize: blockSize)
    paged.scales = index % 2 == 1
    paged.sinks = index % 3 == 1
    let rows = random.integer(2...9)
    let prompt = random.integer(0...rows), start = random.integer(0...500)
    let positions = TensorData(TensorType(.int32, [rows])), owners = TensorData(TensorType(.int32, [rows]))
    for row in 0..<rows {
      positions[row] = .integer(Int64(row < prompt ? start + row : random.integer(-1...(blocks * blockSize))))
      owners[row] = .integer(Int64(row < prompt ? 0 : random.integer(-1...sequences)))
    }
    let pool: Shape = [(sequences * blocks + 1) * blockSize, keyHeads, size]
    let values: RandomCase.Values = paged.scales ? .anyInteger : .within(-1...1)
    var inputs = [random.data(element, [rows, heads, size])]
    inputs += (0..<2).map { _ in random.data(paged.scales ? .int8 : element, pool, values) }
    inputs += [positions, owners, random.data(.int32, [sequences, blocks], .integers(-1...(sequences * blocks + 1)))]
    if paged.sinks { inputs.append(random.data(.float32, [heads])) }
    if paged.scales {
      inputs += (0..<2).map { _ in random.data(.float32, [pool[0], keyHeads], .within(0.001...0.01)) }
    }
    return OpCase(.pagedAttention(paged), inputs, tolerance: Agreement.tolerance([element, .float32]))
  }

  @Test(arguments: 0..<6)
  func `Long caches are read as the reference reads them, and a row's bits do not depend on the others`(index: Int)
    throws
  {
    var random = RandomCase("attention caches", index)
    let all = pagedCase(index, &random)
    let expected = try all.results(on: ReferenceBackend())[0]
    // With so few multiprocessors a block works through all stretches of its rows; with many each has its own.
    let few = try all.results(on: GPUBackend(EmulatedDevice(try chip("H200", multiprocessors: 1))))[0]
    expectClose(few, expected, tolerance: all.tolerance, floor: 0.5, "\(all) \(random)")
    let width = all.inputs[0].count / all.inputs[0].shape[0]
    for row in 0..<all.inputs[0].shape[0] {
      var inputs = all.inputs
      let q = all.inputs[0]
      inputs[0] = TensorData(TensorType(q.type.element, [1, q.shape[1], q.shape[2]]))
      for i in 0..<width { inputs[0][i] = q[row * width + i] }
      for place in 3...4 {
        inputs[place] = TensorData(TensorType(.int32, [1]))
        inputs[place][0] = all.inputs[place][row]
      }
      let alone = OpCase(all.op, inputs)
      let result = try alone.results(on: GPUBackend(EmulatedDevice(try chip("H200", multiprocessors: 132))))[0]
      #expect((0..<width).allSatisfy { result[$0] == few[row * width + $0] }, "row \(row) of \(all) \(random)")
    }
  }
}
