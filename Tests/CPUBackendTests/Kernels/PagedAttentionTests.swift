import CPUBackend
import Support
import Tensors
import Testing

/// What a row's bits depend on: itself and its keys. What the values are is tested with all operations.
@Suite struct PagedAttentionTests {
  private struct Batch {
    var q: TensorData
    var pools: [TensorData]
    var positions, sequences: [Int32]
    var tables: TensorData
    var more: [TensorData]
    let options: PagedAttention

    func results(_ rows: Range<Int>, _ backend: CPUBackend) throws -> [Double] {
      let some = TensorData(TensorType(q.type.element, [rows.count, q.shape[1], q.shape[2]]))
      let bytes = q.type.bytes / q.shape[0]
      some.bytes.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: q.bytes[(rows.lowerBound * bytes)..<(rows.upperBound * bytes)]))
      let inputs =
        [some] + pools.prefix(2)
        + [positions, sequences].map { TensorData(Array($0[rows]), shape: [rows.count]) } + [tables] + more
        + pools.dropFirst(2)
      return try OpCase(.pagedAttention(options), inputs).results(on: backend)[0].doubles
    }

    /// The same sequences in other blocks: each is moved to the next.
    func moved(blocks: Int) -> Batch {
      var batch = self
      batch.pools = pools.map { pool in
        let copy = TensorData(pool.type)
        let bytes = pool.type.bytes / blocks
        for block in 0..<blocks {
          let target = (block + 1) % blocks * bytes
          UnsafeMutableRawBufferPointer(rebasing: copy.bytes[target..<(target + bytes)]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: pool.bytes[(block * bytes)..<((block + 1) * bytes)]))
        }
        return copy
      }
      let numbers = tables.doubles.map { Int32((Int($0) + 1) % blocks) }
      batch.tables = TensorData(numbers, shape: tables.shape)
      return batch
    }
  }

  @Test(arguments: [ElementType.float32, .bfloat16, .float16], 0..<4)
  func `A row has the same bits in any batch, any blocks and for any number of threads`(
    element: ElementType, variant: Int
  ) throws {
    var random = RandomCase("paged \(element)", variant)
    let keyHeads = random.integer(1...2)
    let (heads, size) = (keyHeads * random.choice([1, 2, 3, 8, 50]), random.choice([8, 20, 64]))
    let (sequences, blockSize) = (3, random.choice([1, 16, 24]))
    // More keys than a segment holds, so that segments are tasks of their own where rows are few.
    let tableBlocks = (random.choice([100, 600, 1300]) + blockSize - 1) / blockSize
    let blocks = sequences * tableBlocks + 1
    let attention = Attention(scale: 0.5, window: variant == 1 ? 150 : nil, softcap: variant == 2 ? 3 : nil)
    var options = PagedAttention(attention, blockSize: blockSize)
    options.scales = variant == 3
    options.sinks = variant == 1
    let pool: Shape = [blocks * blockSize, keyHeads, size]
    var positions: [Int32] = []
    var owners: [Int32] = []
    while positions.count < 40 {
      let owner = random.integer(0...(sequences - 1)), start = random.integer(0...(tableBlocks * blockSize - 1))
      for step in 0..<random.choice([1, 1, 2, 17]) {
        positions.append(Int32(min(start + step, tableBlocks * blockSize - 1)))
        owners.append(Int32(owner))
      }
    }
    let rows = positions.count
    var table = random.shuffled(Array(0..<(sequences * tableBlocks))).map { Int32($0) }
    // Two that begin alike, in the same blocks: whole segments of them are computed for both at once.
    if variant != 3 { for block in 0..<(tableBlocks * 9 / 10) { table[tableBlocks + block] = table[block] } }
    let batch = Batch(
      q: random.data(element, [rows, heads, size]),
      pools: (0..<2).map { _ in
        random.data(options.scales ? .int8 : element, pool, options.scales ? .anyInteger : .within(-1...1))
      }
        + (options.scales
          ? (0..<2).map { _ in random.data(.float32, [pool[0], keyHeads], .within(0.001...0.01)) } : []),
      positions: positions, sequences: owners,
      tables: TensorData(table, shape: [sequences, tableBlocks]),
      more: options.sinks ? [random.data(.float32, [heads])] : [], options: options)
    let moved = batch.moved(blocks: blocks)
    for set in CPUBackend.InstructionSet.available where set != .amxEmulated {
      let one = CPUBackend(threads: 1, instructionSet: set, spins: 100)
      let three = CPUBackend(threads: 3, instructionSet: set, spins: 100)
      let all = try batch.results(0..<rows, three)
      #expect(try moved.results(0..<rows, one) == all, "moved on \(one.name) \(random)")
      var first = 0
      while first < rows {
        let count = min(rows - first, random.choice([1, 1, 2, 3, 9]))
        let some = try batch.results(first..<(first + count), random.choice([one, three]))
        let width = heads * size
        #expect(some == Array(all[(first * width)..<((first + count) * width)]), "\(set) \(first) \(random)")
        first += count
      }
    }
  }
}
