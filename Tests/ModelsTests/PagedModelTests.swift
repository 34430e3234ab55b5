// Each family through pages: a token's logits have the same bits however texts are cut into passes, whatever other tokens
// are in them, and wherever the blocks lie; and they are those of a contiguous cache.

import CPUBackend
import Core
import Models
import Networks
import Tensors
import Testing

struct PagedModelTests {
  private static let backend = CPUBackend(threads: 2)

  @Test(arguments: FamilyFixture.all) func logitsDoNotDependOnTheBatch(fixture: FamilyFixture) throws {
    let texts = fixture.texts
    let reader = try PagedReader(fixture.model, rows: 13, texts: texts, storage: .float(.float32), Self.backend)
    let alone = try reader.logits { left in left.firstIndex { $0 > 0 }.map { [($0, 1)] } ?? [] }
    for (text, found) in zip(texts, alone) {
      let expected = try fixture.cachedLogits(of: text, capacity: reader.capacity, Self.backend)
      #expect(relativeError(found.map { Double($0) }, expected.doubles) < 1e-5)
    }
    for seed in 1...4 {
      #expect(try reader.logits(seed: UInt64(seed)) == alone, "order \(seed)")
    }
  }

  @Test(arguments: [CacheStorage.float(.bfloat16), .int8]) func neitherDoTheyInNarrowCaches(storage: CacheStorage)
    throws
  {
    let fixture = FamilyFixture("gemma3-text")
    let reader = try PagedReader(fixture.model, rows: 13, texts: fixture.texts, storage: storage, Self.backend)
    let alone = try reader.logits { left in left.firstIndex { $0 > 0 }.map { [($0, 1)] } ?? [] }
    #expect(try reader.logits(seed: 5) == alone)
    let exact = try fixture.cachedLogits(of: fixture.texts[0], capacity: reader.capacity, Self.backend).doubles
    let error = relativeError(alone[0].map { Double($0) }, exact)
    #expect(error > 0 && error < 0.1)
  }
}

extension FamilyFixture {
  /// Texts of several lengths.
  fileprivate var texts: [[Int32]] { [prompt + greedy, Array(prompt.reversed()), Array(prompt.prefix(5)), greedy] }

  /// The logits of a text, read in one pass into a contiguous cache. Its capacity tells some models how long texts are.
  fileprivate func cachedLogits(of text: [Int32], capacity: Int, _ backend: any Backend) throws -> TensorData {
    let binding = try model.weights()
    let store = binding.store
    let context = ModelContext.cached(start: Tensor([Int32(0)]), capacity: capacity, storage: .float(.float32))
    let logits = model.model.logits(Tensor(text, shape: [1, text.count]), store.root, context)
    let program = Program(
      inputs: store.parameters.map { store.given($0.name) } + context.caches.map(\.past), outputs: [logits])
    return try backend.compile(program).run(binding.values + context.caches.map { TensorData($0.past.type) })[0].copy()
  }
}

/// Reads texts through pages by one program for any number of rows.
private struct PagedReader {
  let texts: [[Int32]]
  let rows: Int
  let executable: any Executable
  let weights: [TensorData]
  let pools: [TensorType]
  let vocabulary: Int
  static let blockSize = 4
  /// Blocks that a text has room for, and one that is nobody's.
  var tableBlocks: Int { (texts.map(\.count).max()! + Self.blockSize - 1) / Self.blockSize }
  var blocks: Int { texts.count * tableBlocks + 1 }
  var capacity: Int { tableBlocks * Self.blockSize }

  init(
    _ model: PretrainedModel, rows: Int, texts: [[Int32]], storage: CacheStorage, _ backend: any Backend
  ) throws {
    (self.texts, self.rows) = (texts, rows)
    let binding = try model.weights()
    let store = binding.store
    weights = binding.values
    vocabulary = model.model.vocabulary
    let tableBlocks = (texts.map(\.count).max()! + Self.blockSize - 1) / Self.blockSize
    func each(_ name: String, _ shape: Shape) -> Tensor { .input(name, TensorType(.int32, shape)) }
    let tokens = each("tokens", Shape([rows, 1], varies: true))
    let places = ["positions", "slots", "sequences"].map { each($0, Shape([rows], varies: true)) }
    let tables = each("tables", [texts.count, tableBlocks])
    let context = ModelContext.paged(
      PagedRows(
        positions: places[0], slots: places[1], sequences: places[2], tables: tables, blockSize: Self.blockSize,
        blocks: texts.count * tableBlocks + 1), storage: storage)
    let logits = model.model.logits(tokens, store.root, context)
    pools = context.caches.map(\.past.type)
    let inputs = [tokens] + places + [tables] + store.parameters.map { store.given($0.name) }
    let program = Program(
      inputs: inputs + context.caches.map(\.past), outputs: [logits] + context.caches.map(\.new),
      donating: Dictionary(uniqueKeysWithValues: context.caches.indices.map { (1 + $0, inputs.count + $0) }))
    executable = try backend.compile(program)
  }

  /// In an order, cuts and blocks by chance.
  func logits(seed: UInt64) throws -> [[Float]] {
    var random = RandomSequence(seed: seed, stream: 7)
    return try logits(blocks: seed) { left in
      var room = Int(random.next() % UInt64(rows - 1)) + 1
      var pieces: [(text: Int, count: Int)] = []
      let first = Int(random.next() % UInt64(left.count))
      for text in (0..<left.count).map({ ($0 + first) % left.count }) where left[text] > 0 && room > 0 {
        let count = min(left[text], room, Int(random.next() % 9) + 1)
        pieces.append((text, count))
        room -= count
      }
      return pieces
    }
  }

  /// The logits of every token of each text.
  ///
  /// - Parameters:
  ///   - blocks: by which the blocks are chosen.
  ///   - pieces: how many tokens of which texts come next, of as many as are left of each.
  func logits(
    blocks seed: UInt64 = 0, pieces: (_ left: [Int]) -> [(text: Int, count: Int)]
  ) throws -> [[Float]] {
    var random = RandomSequence(seed: seed, stream: 8)
    var order = Array(0..<blocks)
    for last in order.indices.reversed() { order.swapAt(last, Int(random.next() % UInt64(last + 1))) }
    let tables = TensorData(
      order.prefix(texts.count * tableBlocks).map { Int32($0) }, shape: [texts.count, tableBlocks])
    // What nobody wrote is NaN, so that nobody reads it unnoticed.
    let caches = pools.map { type in
      let pool = TensorData(type)
      pool.bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
      return pool
    }
    var read = texts.map { _ in 0 }
    var logits = texts.map { _ in [Float]() }
    while true {
      let next = pieces(zip(texts, read).map { $0.count - $1 })
      if next.isEmpty { return logits }
      // A row that is nobody's in front.
      var (tokens, positions, slots, sequences) = ([Int32(0)], [Int32(-1)], [Int32(-1)], [Int32(-1)])
      for (text, count) in next {
        for position in read[text]..<(read[text] + count) {
          tokens.append(texts[text][position])
          positions.append(Int32(position))
          let block = order[text * tableBlocks + position / Self.blockSize]
          slots.append(Int32(block * Self.blockSize + position % Self.blockSize))
          sequences.append(Int32(text))
        }
      }
      if seed == 0 {
        (tokens, positions) = (Array(tokens.dropFirst()), Array(positions.dropFirst()))
        (slots, sequences) = (Array(slots.dropFirst()), Array(sequences.dropFirst()))
      }
      let count = tokens.count
      let given = [
        TensorData(tokens, shape: [count, 1]), TensorData(positions, shape: [count]),
        TensorData(slots, shape: [count]), TensorData(sequences, shape: [count]), tables,
      ]
      let results = try executable.run(given + weights + caches, extent: count)
      var row = seed == 0 ? 0 : 1
      let values = results[0].floats
      for (text, count) in next {
        logits[text] += values[(row * vocabulary)..<((row + count) * vocabulary)]
        read[text] += count
        row += count
      }
    }
  }
}
