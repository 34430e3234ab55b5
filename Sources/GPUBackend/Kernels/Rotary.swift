// Rotary embedding: pairs of a head's elements turned by an angle that grows with the position.

internal import KernelLanguage
internal import Tensors

/// `(x [batch, positions, heads, size], cosines [positions, size / 2] or [batch, positions, size / 2], sines) -> y`: a thread for
/// each pair.
struct RotaryKernel: FlatKernel {
  let rotary: Rotary
  let element: ElementType
  let heads: Int
  let size: Int
  /// 0: batches have tables of their own.
  let positions: Int
  let isWide: Bool

  let name = "rotary"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let x = Elements(element, k.pointer("x", to: U8.self))
    let cosines = k.pointer("cosines", to: F32.self)
    let sines = k.pointer("sines", to: F32.self)
    let y = Elements(element, k.pointer("y", to: U8.self))
    let half = size / 2
    return { item in
      let (head, pair) = k.divided(item, by: half)
      let row = k.quotient(head, heads)
      let position = positions == 0 ? row : k.divided(row, by: positions).remainder
      let angle = position * Value(half) + pair
      let start = head * Value(size)
      let first = rotary.interleaved ? start + (pair << 1) : start + pair
      let second = first + Value(rotary.interleaved ? 1 : half)
      let (a, b) = (x.load(k, at: first), x.load(k, at: second))
      let numberClass = element.numberClass
      let cosine = k.converted(.f32(cosines[angle]), to: numberClass)
      let sine = k.converted(.f32(rotary.inverse ? -sines[angle] : sines[angle]), to: numberClass)
      y.store(k, at: first, k.subtract(k.multiply(a, cosine), k.multiply(b, sine)))
      y.store(k, at: second, k.add(k.multiply(a, sine), k.multiply(b, cosine)))
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func rotary(_ rotary: Rotary) throws {
    let type = inputTypes[0]
    if type.shape.count == 0 { return }
    let kernel = RotaryKernel(
      rotary: rotary, element: type.element, heads: type.shape[2], size: type.shape[3],
      positions: inputTypes[1].shape.rank == 3 ? 0 : type.shape[1], isWide: type.shape.count >= 1 << 31)
    try launch(kernel, count: type.shape.count / 2, inputs.map { .value($0) } + [.value(results[0])])
  }
}
