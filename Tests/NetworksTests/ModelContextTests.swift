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

    // The first sequence's prompt has 3 tokens, the other's 4; both are padded with what must not be seen.
    let prefill = ModelContext.prefill(capacity: length + 2)
    func start(_ x: Tensor) -> Tensor { x.sliced(0..<4, axis: 1) }
    _ = prefill.attend(start(q), start(k), start(v), layer: 0, options: options, sinks: sinks)
    var caches = prefill.caches
    #expect(caches[0].keys.shape == [batch, kvHeads, length + 2, size])
    for offset in 0..<3 {
      let at = [3 + offset, 4 + offset]
      func token(_ x: Tensor) -> Tensor {
        .concatenate(at.enumerated().map { x.sliced($0..<($0 + 1), axis: 0).sliced($1..<($1 + 1), axis: 1) })
      }
      let decode = ModelContext.decode(positions: Tensor(at.map(Int32.init)), caches: caches)
      let one = decode.attend(token(q), token(k), token(v), layer: 0, options: options, sinks: sinks)
      let values = try run([one, token(whole)])
      #expect(distance(values[0].doubles, values[1].doubles) < 1e-5, "position \(at)")
      caches = decode.caches
    }
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
