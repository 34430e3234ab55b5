import Support
import Tensors
import Testing

/// Composites of the reference against answers worked out by hand, or against the same computation in simple operations.
@Suite struct KnownCompositeTests {
  private func doubles(_ values: [Double], _ shape: Shape? = nil, _ element: ElementType = .float64) -> Tensor {
    Tensor(TensorData(values, shape: shape ?? [values.count], element: element))
  }

  @Test func softmax() throws {
    expectClose(try read(doubles([0, 1.0986122886681098]).softmax()), [0.25, 0.75])
    expectClose(try read(doubles([1000, 1000, -.infinity]).softmax()), [0.5, 0.5, 0])
    let gradient = Tensor.record(.softmaxGradient, [doubles([0.25, 0.75]), doubles([1, 0])])
    expectClose(try read(gradient), [0.1875, -0.1875])
    expectClose(try read(doubles([0, 0, 0, 0]).logSoftmax()), [Double](repeating: -1.3862943611198906, count: 4))
  }

  @Test func `grouped products`() throws {
    let x = doubles([1, 2, 3, 4, 5, 6, 7, 8], [4, 2])
    // One row, none, two; the last row is left over.
    let counts = Tensor([1, 0, 2] as [Int32])
    let weights = doubles([1, 0, 0, 1, 9, 9, 9, 9, 1, 1, 1, 2], [3, 2, 2])
    #expect(try read(x.groupedMatmul(weights, counts: counts)) == [1, 2, 7, 11, 11, 17, 0, 0])
    #expect(try read(x.groupedMatmul(weights, counts: counts, transposed: false)) == [1, 2, 7, 11, 11, 17, 0, 0])
    let outer = try read(x.groupedOuter(doubles([1, 10, 100, 1000], [4, 1]), counts: counts))
    #expect(outer == [1, 2, 0, 0, 530, 640])
    // Counts that promise more rows than there are, and fewer than none.
    let wrong = Tensor([-3, 3, 7] as [Int32])
    #expect(try read(x.groupedMatmul(weights, counts: wrong)) == [27, 27, 63, 63, 99, 99, 15, 23])
  }

  @Test func norms() throws {
    // The mean square of 3 and 4 is 12.5; with an epsilon of 3.5 the root is 4.
    let x = doubles([3, 4], [1, 2])
    #expect(try read(x.rmsNorm(doubles([1, 2]), epsilon: 3.5)) == [0.75, 2])
    #expect(try read(x.rmsNorm(epsilon: 3.5)) == [0.75, 1])
    // The mean of 1 and 5 is 3 and their variance 4.
    let y = doubles([1, 5], [1, 2])
    #expect(try read(y.layerNorm(epsilon: 0)) == [-1, 1])
    #expect(try read(y.layerNorm(doubles([2, 3]), bias: doubles([10, 20]), epsilon: 0)) == [8, 23])
    let layer = Tensor.recordAll(.layerNorm(Norm(epsilon: 0, weight: false, bias: false)), [y])
    #expect(try read(layer[1]) == [3])
    #expect(try read(layer[2]) == [0.5])
    // Two elements are always -1 and 1 after the norm, so nothing flows back; the weight gets what stood there.
    let back = Tensor.recordAll(
      .layerNormGradient(Norm(epsilon: 0, weight: true, bias: true)),
      [y, doubles([2, 3]), layer[1], layer[2], doubles([1, 10], [1, 2])])
    #expect(try read(back[0]) == [0, 0])
    #expect(try read(back[1]) == [-1, 10])
    #expect(try read(back[2]) == [1, 10])
    let rms = Tensor.recordAll(
      .rmsNormGradient(Norm(epsilon: 3.5, weight: false, bias: false)), [x, doubles([0.25]), doubles([1, 0], [1, 2])])
    // r - x² r³ / 2 = 0.25 - 9/128 and -x y r³ / 2 = -12/128.
    #expect(try read(rms[0]) == [0.25 - 9.0 / 128, -12.0 / 128])
  }

  @Test func `rotary embedding`() throws {
    let x = doubles([1, 2, 3, 4], [1, 1, 1, 4])
    // A quarter turn of the first pair, none of the second.
    let (cosines, sines) = (doubles([0, 1], [1, 2], .float32), doubles([1, 0], [1, 2], .float32))
    #expect(try read(x.rotary(cosines: cosines, sines: sines)) == [-3, 2, 1, 4])
    #expect(try read(x.rotary(cosines: cosines, sines: sines, interleaved: true)) == [-2, 1, 3, 4])
    let there = x.rotary(cosines: cosines, sines: sines)
    let back = Tensor.record(.rotary(Rotary(interleaved: false, inverse: true)), [there, cosines, sines])
    #expect(try read(back) == [1, 2, 3, 4])
  }

  @Test func `attention of equal scores is the mean of what is seen`() throws {
    let q = Tensor.zeros([1, 4, 1, 1], .float64)
    let v = doubles([1, 2, 4, 8], [1, 4, 1, 1])
    func output(_ options: Attention, segments: Tensor? = nil, sinks: Tensor? = nil) throws -> [Double] {
      try read(.attention(q, q, v, options, segments: segments, sinks: sinks))
    }
    expectClose(try output(Attention(scale: 1)), [1, 1.5, 7.0 / 3, 3.75])
    expectClose(try output(Attention(scale: 1, causal: false)), [3.75, 3.75, 3.75, 3.75])
    expectClose(try output(Attention(scale: 1, window: 2)), [1, 1.5, 3, 6])
    // Not causal, a window reaches to both sides.
    expectClose(try output(Attention(scale: 1, causal: false, window: 1)), [1.5, 7.0 / 3, 14.0 / 3, 6])
    expectClose(
      try output(Attention(scale: 1), segments: Tensor([0, 0, 1, 1] as [Int32], shape: [1, 4])), [1, 1.5, 4, 6])
    // A sink of logit 0 takes part as one more position of value 0.
    expectClose(try output(Attention(scale: 1), sinks: Tensor.zeros([1])), [0.5, 1, 1.75, 3])
    // Queries are the last positions: one query sees all keys, and of two keys four queries see 0, 0, 1 and 2.
    let one = Tensor.attention(.zeros([1, 1, 1, 1], .float64), q, v, Attention(scale: 1))
    expectClose(try read(one), [3.75])
    let two = Tensor.recordAll(
      .attention(Attention(scale: 1)),
      [q, q.sliced(0..<2, axis: 1), v.sliced(0..<2, axis: 1)])
    expectClose(try read(two[0]), [0, 0, 1, 1.5])
    let logSumExp = try read(two[1])
    #expect(logSumExp[0] == -.infinity && logSumExp[2] == 0)
  }

  @Test func `attention to a cache sees its length, at the end of which the queries stand`() throws {
    let k = Tensor.zeros([2, 4, 1, 1], .float64)
    let v = doubles([1, 2, 4, 8, 10, 20, 40, 80], [2, 4, 1, 1])
    let q = Tensor.zeros([2, 2, 1, 1], .float64)
    let lengths = Tensor([3, 1] as [Int32])
    // Of one key, the first of two queries stands before it.
    expectClose(try read(.attention(q, k, v, Attention(scale: 1), lengths: lengths)), [1.5, 7.0 / 3, 0, 10])
    expectClose(try read(.attention(q, k, v, Attention(scale: 1, window: 1), lengths: lengths)), [2, 4, 0, 10])
    expectClose(
      try read(.attention(q, k, v, Attention(scale: 1, causal: false), lengths: lengths)), [7.0 / 3, 7.0 / 3, 10, 10])
  }

  @Test func `an int8 cache is its rows times their factors`() throws {
    var random = RandomCase("int8 cache")
    let k = Tensor(random.data(.float32, [2, 5, 3, 8], .within(-2...2)))
    let q = Tensor(random.data(.float32, [2, 1, 6, 8], .within(-1...1)))
    let (rows, scales) = k.quantizedRows()
    let whole = rows.cast(.float32) * scales.expanded(at: -1)
    let error = try read((k - whole).absolute().max() / scales.max())
    #expect(error[0] <= 0.5001, "\(error) of a factor")
    let options = Attention(scale: 0.5)
    expectClose(
      try read(.attention(q, rows, rows, options, scales: (scales, scales))),
      try read(.attention(q, whole, whole, options)), tolerance: 1e-6, "\(random)")
    #expect(try read(Tensor.zeros([2, 3]).quantizedRows().rows.cast(.float32)) == [0, 0, 0, 0, 0, 0])
  }

  @Test func `heads share the keys of their group`() throws {
    let q = Tensor.zeros([1, 1, 4, 1], .float64)
    let k = Tensor.zeros([1, 1, 2, 1], .float64)
    let v = doubles([3, 5], [1, 1, 2, 1])
    #expect(try read(.attention(q, k, v, Attention(scale: 1))) == [3, 3, 5, 5])
  }

  /// The matrix of scores in simple operations is another way to the same numbers.
  @Test(arguments: 0..<8) func `attention is what its simple form says`(index: Int) throws {
    var random = RandomCase("simple attention", index)
    var options = Attention(scale: 0.5, causal: index % 2 == 0, window: index % 3 == 0 ? 2 : nil)
    options.softcap = index % 3 == 1 ? 1.5 : nil
    let q = Tensor(random.data(.float64, [2, 5, 4, 3]))
    let (k, v) = (Tensor(random.data(.float64, [2, 5, 2, 3])), Tensor(random.data(.float64, [2, 5, 2, 3])))
    let segments = index > 3 ? Tensor(random.data(.int32, [2, 5], .integers(0...1))) : nil
    let sinks = index % 4 == 3 ? Tensor(random.data(.float32, [4])) : nil
    options.segments = segments != nil
    options.sinks = sinks != nil
    let direct = Tensor.attention(q, k, v, options, segments: segments, sinks: sinks)
    let simple = options.simple(q, k, v, segments: segments, sinks: sinks)
    expectClose(try read(direct), try read(simple), tolerance: 1e-12, "\(random)")
  }

  @Test func `cross-entropy without logits`() throws {
    // Logits are (0, log 3): probabilities 1/4 and 3/4.
    let x = doubles([1, 1, 1], [3, 1])
    let weight = doubles([0, 1.0986122886681098], [2, 1])
    let targets = Tensor([0, 1, -1] as [Int32])
    let options = LinearCrossEntropy(softcap: nil, loss: true, gradient: true, weightGradientType: .float64)
    let results = Tensor.recordAll(
      .linearCrossEntropy(options), [x, weight, targets, doubles([1, 2, 5], [3], .float32)])
    expectClose(try read(results[0]), [1.3862943611198906, 0.28768207245178085, 0])
    expectClose(try read(results[1]), [0.75 * 1.0986122886681098, -0.5 * 1.0986122886681098, 0])
    expectClose(try read(results[2]), [-0.75 + 0.5, 0.75 - 0.5])
    // A soft-cap of 1 makes the second logit tanh(log 3) = 0.8.
    let capped = x.linearCrossEntropy(weight, targets: targets, softcap: 1)
    expectClose(try read(capped).prefix(1) + [], [1.17110066594777])
  }

  @Test func adamW() throws {
    func step(apply: Double) throws -> [[Double]] {
      let options = AdamW(
        beta1: 0.5, beta2: 0.75, epsilon: 0, weightDecay: [0.1], rateScale: [2], working: [true])
      let inputs = [
        Tensor(0.01), Tensor(2), Tensor(1), Tensor.full(apply, [], .bool), Tensor([1.01]), Tensor([3.0]), Tensor([0.0]),
        Tensor([0.0]),
      ]
      return try Tensor.recordAll(.adamW(options), inputs).map { try read($0) }
    }
    // The first step goes one rate along the sign of the gradient, whatever its size, and decays.
    let stepped = try step(apply: 1)
    expectClose(stepped[0], [1.01 - 0.02 * (1 + 0.101)], tolerance: 1e-7)
    expectClose(stepped[1] + stepped[2], [3, 9])
    #expect(stepped[3] == [0.98828125])
    let kept = try step(apply: 0)
    expectClose(kept[0] + kept[1] + kept[2], [1.01, 0, 0], tolerance: 1e-7)
    #expect(kept[3] == [1.0078125])
  }
}
