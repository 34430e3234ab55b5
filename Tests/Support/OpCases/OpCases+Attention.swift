internal import Tensors

extension OpFamily {
  func attentionCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    if self == .linearCrossEntropy { return crossEntropyCases(element, &random) }
    if self == .pagedAttention { return (0..<6).map { pagedCase(element, $0, &random) } }
    let cached = self == .attention ? (0..<6).map { cacheCase(element, $0, &random) } : []
    return cached
      + (0..<7).map { variant in
        let keyHeads = random.integer(1...3)
        let heads = keyHeads * random.integer(1...3)
        let (batch, keys, size) = (random.integer(0...2), random.extent(), random.choice([1, 4, 8, 16, 17, 32]))
        var options = Attention(scale: 0.3, causal: variant % 2 == 0)
        options.segments = variant == 1 || variant == 4
        options.sinks = variant >= 3 && variant != 5
        options.window = variant == 2 || variant >= 4 ? random.integer(1...9) : nil
        options.softcap = variant == 3 || variant == 4 ? 2.5 : nil
        // A causal query before the first key sees nothing: more queries than keys are legal.
        let queries = options.segments || variant == 0 ? keys : random.extent()
        let q = random.data(element, [batch, queries, heads, size])
        let k = random.data(element, [batch, keys, keyHeads, size])
        let v = random.data(element, [batch, keys, keyHeads, size])
        let segments = options.segments ? [random.data(.int32, [batch, keys], .integers(0...2))] : []
        let sinks = options.sinks ? [random.data(.float32, [heads])] : []
        let inputs = [q, k, v] + segments + sinks
        if self == .attention { return OpCase(.attention(options), inputs) }
        let forward = reference(.attention(options), inputs)
        return OpCase(.attentionGradient(options), inputs + forward + [random.data(element, q.shape)])
      }
  }

  /// A cache that is not full, of floats or of int8 with factors: lengths from nothing to more than there is room for.
  private func cacheCase(_ element: ElementType, _ variant: Int, _ random: inout RandomCase) -> OpCase {
    let keyHeads = random.integer(1...3)
    let (heads, size) = (keyHeads * random.integer(1...3), random.choice([1, 4, 17, 32, 80]))
    let (batch, capacity) = (random.integer(1...3), random.extent(least: 1))
    var options = Attention(scale: 0.3, causal: variant < 4, softcap: variant == 3 ? 2.5 : nil)
    options.lengths = variant != 2
    options.scales = variant % 2 == 0
    options.sinks = variant == 1
    options.window = variant == 1 || variant == 4 ? random.integer(1...9) : nil
    let stored = options.scales ? ElementType.int8 : element
    let values: RandomCase.Values = options.scales ? .anyInteger : .within(-1...1)
    let queries = random.choice([1, 1, 2, 7])
    var inputs = [random.data(element, [batch, queries, heads, size])]
    inputs += (0..<2).map { _ in random.data(stored, [batch, capacity, keyHeads, size], values) }
    if options.sinks { inputs.append(random.data(.float32, [heads])) }
    if options.lengths { inputs.append(random.data(.int32, [batch], .integers(-1...(capacity + 1)))) }
    if options.scales {
      inputs += (0..<2).map { _ in random.data(.float32, [batch, capacity, keyHeads], .within(0.001...0.01)) }
    }
    return OpCase(.attention(options), inputs)
  }

  /// Rows of some sequences in blocks anywhere in a pool; positions, sequences and blocks may be out of range.
  private func pagedCase(_ element: ElementType, _ variant: Int, _ random: inout RandomCase) -> OpCase {
    let keyHeads = random.integer(1...3)
    let (heads, size) = (keyHeads * random.integer(1...4), random.choice([1, 4, 17, 32, 80]))
    let (sequences, blocks, blockSize) = (random.integer(1...3), random.integer(1...9), random.choice([1, 3, 16, 32]))
    let rows = random.choice([0, 1, 2, 7, 20])
    let attention = Attention(
      scale: 0.3, window: variant == 1 || variant == 4 ? random.integer(1...9) : nil, softcap: variant == 3 ? 2.5 : nil)
    var paged = PagedAttention(attention, blockSize: blockSize)
    paged.scales = variant % 2 == 0
    paged.sinks = variant == 1
    let pool: Shape = [(sequences * blocks + 1) * blockSize, keyHeads, size]
    let values: RandomCase.Values = paged.scales ? .anyInteger : .within(-1...1)
    var inputs = [random.data(element, [rows, heads, size])]
    inputs += (0..<2).map { _ in random.data(paged.scales ? .int8 : element, pool, values) }
    inputs.append(random.data(.int32, [rows], .integers(-1...(blocks * blockSize))))
    inputs.append(random.data(.int32, [rows], .integers(-1...sequences)))
    inputs.append(random.data(.int32, [sequences, blocks], .integers(-1...(sequences * blocks + 1))))
    if paged.sinks { inputs.append(random.data(.float32, [heads])) }
    if paged.scales {
      inputs += (0..<2).map { _ in random.data(.float32, [pool[0], keyHeads], .within(0.001...0.01)) }
    }
    // Scales are float32 whatever the elements are.
    return OpCase(.pagedAttention(paged), inputs, tolerance: Agreement.tolerance([element, .float32]))
  }

  private func crossEntropyCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    [(true, false), (false, true), (true, true)].flatMap { loss, gradient in
      [nil, 3.0].flatMap { softcap -> [OpCase] in
        let (rows, width, vocabulary) = (random.extent(), random.extent(least: 1), random.extent(least: 1))
        // Logits of moderate size: they may be rounded to 16 bits.
        let x = random.data(element, [rows, width], .within(-0.7...0.7))
        let weight = random.data(element, [vocabulary, width], .within(-0.7...0.7))
        // Some targets do not count.
        let targets = random.data(.int32, [rows], .integers(-1...(vocabulary - 1)))
        let dloss = gradient ? [random.data(.float32, [rows], .within(0.1...1))] : []
        return Set([element, element.accumulator]).map { type in
          let options = LinearCrossEntropy(
            softcap: softcap, loss: loss, gradient: gradient, weightGradientType: type)
          return OpCase(.linearCrossEntropy(options), [x, weight, targets] + dloss)
        }
      }
    }
  }
}
