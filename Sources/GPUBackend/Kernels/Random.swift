// Random numbers: Philox 4x32-10, the same words as `RandomStream` of Core has at each position.

internal import KernelLanguage
internal import Tensors

struct RandomKernel: FlatKernel {
  let distribution: Distribution
  let type: ElementType
  let stream: UInt64

  let name = "random"
  /// Items are blocks of four numbers.
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let keys = k.pointer("key", to: U64.self)
    let result = Elements(self.type, k.pointer("result", to: U8.self))
    let numbers = k.parameter("numbers", U64.self)
    return { item in
      let block = k.convert(item, to: U64.self)
      let words = philox(k, block, keys.load())
      let values = self.values(k, words)
      let first = block * Value(4)
      for (place, value) in values.enumerated() {
        let position = first + Value(place)
        k.when(position .< numbers) { result.store(k, at: position, value) }
      }
    }
  }

  private func philox(_ k: KernelBuilder, _ block: Value<U64>, _ key: Value<U64>) -> [Value<U32>] {
    let (low, high) = k.halves(block)
    func constant(_ word: UInt64) -> Value<U32> { k.variable(Value(Int(word & 0xFFFF_FFFF))) }
    var c = [low, high, constant(stream), constant(stream >> 32)]
    var (key0, key1) = k.halves(key)
    for round in 0..<10 {
      if round > 0 {
        key0 = key0 + 0x9E37_79B9
        key1 = key1 + 0xBB67_AE85
      }
      let (low0, high0) = k.halves(k.multiplyWide(c[0], 0xD251_1F53))
      let (low1, high1) = k.halves(k.multiplyWide(c[2], 0xCD9E_8D57))
      c = [high1 ^ c[1] ^ key0, low1, high0 ^ c[3] ^ key1, low0]
    }
    return c
  }

  private func values(_ k: KernelBuilder, _ words: [Value<U32>]) -> [Number] {
    switch distribution {
    case .bits:
      return words.map { type == .int64 ? .s64(k.convert($0, to: S64.self)) : .s32($0.seen(as: S32.self)) }
    case .uniform:
      return words.map { word in
        let fraction = k.convert(word >> 8, to: F32.self) * Value(0x1p-24)
        return k.converted(.f32(fraction), to: type.numberClass)
      }
    case .normal:
      // In float64: near 1 the logarithm has few digits, of which the root makes an error of its own size.
      return [0, 2].flatMap { first -> [Number] in
        let u = k.convert((words[first] >> 8) + 1, to: F64.self) * Value(0x1p-24)
        let angle = k.convert(words[first + 1] >> 8, to: F64.self) * Value(2 * Double.pi * 0x1p-24)
        let radius = k.squareRoot(F64.log(k, u) * Value(-2))
        let turn = F64.sineAndCosine(k, angle)
        return [radius * turn.cosine, radius * turn.sine].map { k.converted(.f64($0), to: type.numberClass) }
      }
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func random(_ distribution: Distribution, _ stream: UInt64) throws {
    let (type, count) = (resultTypes[0], resultTypes[0].shape.count)
    try launch(
      RandomKernel(distribution: distribution, type: type.element, stream: stream), count: (count + 3) / 4,
      [.value(inputs[0]), .value(results[0]), .count(count, isWide: true)])
  }
}
