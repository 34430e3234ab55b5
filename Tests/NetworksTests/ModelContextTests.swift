// Attention through caches, dropout, rotation.

import Core
import Networks
import Tensors
import Testing

@Suite struct ModelContextTests {
  @Test(arguments: [
    Attention(scale: 0.5), Attention(scale: 0.5, window: 3), Attention(scale: 0.7, softcap: 2),
  ])
  func decodingThroughCachesIsAttention(options: Attention) throws {
    let (batch, length, heads, kvHeads, size) = (2, 7, 4, 2, 6)
    let key = Tensor.full(Int64(5), .scalar)
    let q = Tensor.normal([batch, length, heads, size], key: key, stream: 1)
    let k = Tensor.normal([batch, length, kvHeads, size], key: key, stream: 2)
    let v = Tensor.normal([batch, length, kvHeads, size], key: key, stream: 3)
    let sinks = options.window == nil ? nil : Tensor.normal([heads], key: key, stream: 4)
    let whole = ModelContext.training().attend(q, k, v, layer: 0, options: options, sinks: sinks)

    // The first sequence goes on after 3 tokens of the first pass's 4, the second after all.
    var caches: [TensorData] = []
    for (starts, count) in [([0, 0], 4), ([3, 4], 1), ([4, 5], 2)] {
      func rows(_ x: Tensor) -> Tensor {
        .concatenate(starts.enumerated().map { x.sliced($0..<($0 + 1), axis: 0).sliced($1..<($1 + count), axis: 1) })
      }
      let context = ModelContext.cached(
        start: Tensor(starts.map(Int32.init)), capacity: length + 2, storage: .float(.float32))
      let some = context.attend(rows(q), rows(k), rows(v), layer: 0, options: options, sinks: sinks)
      #expect(context.caches.map(\.past.shape) == Array(repeating: [batch, length + 2, kvHeads, size], count: 2))
      if caches.isEmpty { caches = context.caches.map { TensorData($0.past.type) } }
      let program = Program(
        inputs: context.caches.map(\.past), outputs: [some, rows(whole)] + context.caches.map(\.new))
      let values = try ReferenceBackend().compile(program).run(caches).map { $0.copy() }
      #expect(distance(values[0].doubles, values[1].doubles) < 1e-5, "positions from \(starts)")
      caches = Array(values.dropFirst(2))
    }
  }

  @Test func int8CachesAreNearlyExact() throws {
    let key = Tensor.full(Int64(5), .scalar)
    let q = Tensor.normal([1, 6, 4, 8], key: key, stream: 1)
    let (k, v) = (Tensor.normal([1, 6, 2, 8], key: key, stream: 2), Tensor.normal([1, 6, 2, 8], key: key, stream: 3))
    let whole = ModelContext.training().attend(q, k, v, layer: 0, options: Attention(scale: 0.4))
    let context = ModelContext.cached(start: Tensor([Int32(0)]), capacity: 6, storage: .int8)
    let cached = context.attend(q, k, v, layer: 0, options: Attention(scale: 0.4))
    #expect(context.caches.map(\.past.element) == [.int8, .float32, .int8, .float32])
    let program = Program(inputs: context.caches.map(\.past), outputs: [cached, whole])
    let values = try ReferenceBackend().compile(program).run(context.caches.map { TensorData($0.past.type) })
    let error = distance(values[0].doubles, values[1].doubles)
    #expect(error > 0 && error < 0.05)
  }

  @Test func dropoutKeepsTheMeanAndDropsAnewEachTime() throws {
    let context = ModelContext.training(dropoutKey: .full(Int64(9), .scalar))
    let ones = Tensor.ones([100, 100])
    let values = try run([context.dropout(ones, rate: 0.25), context.dropout(ones, rate: 0.25)])
    for value in values {
      let zeros = value.doubles.filter { $0 == 0 }.count
      // 10,000 tries at 1/4: 2500 with a deviation of 43.
      #expect(abs(zeros - 2500) < 220)
      #expect(abs(value.doubles.reduce(0, +) / 10000 - 1) < 0.03)
      #expect(value.doubles.allSatisfy { $0 == 0 || abs($0 - 4.0 / 3) < 1e-6 })
    }
    #expect(values[0].doubles != values[1].doubles)
    #expect(ModelContext.training().dropout(ones, rate: 0.25).reference == ones.reference)
    #expect(context.dropout(ones, rate: 0).reference == ones.reference)
  }

  @Test func rotationTurnsByThePosition() throws {
    let (size, base) = (4, 100.0)
    let positions = Tensor([Int32(0), 1, 5])
    let rotation = Rotation(positions: positions, size: size, base: base)
    let x = Tensor([Float](repeating: 1, count: 12), shape: [1, 3, 1, 4])
    let y = try run([rotation(x)])[0].doubles
    for (row, position) in [0.0, 1, 5].enumerated() {
      for pair in 0..<2 {
        // Frequencies 1 and 1/10.
        let angle = position * (pair == 0 ? 1 : 0.1)
        #expect(abs(y[4 * row + pair] - (cosine(angle) - sine(angle))) < 1e-5)
        #expect(abs(y[4 * row + pair + 2] - (cosine(angle) + sine(angle))) < 1e-5)
      }
    }
  }

  /// By their series, so that nothing is taken from a library.
  private func sine(_ x: Double) -> Double {
    var (sum, term) = (0.0, x)
    for n in 1...40 {
      sum += term
      term *= -x * x / Double(2 * n * (2 * n + 1))
    }
    return sum
  }

  private func cosine(_ x: Double) -> Double { sine(x + .pi / 2) }
}
