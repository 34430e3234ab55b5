// What all kernels of attention share: the sizes that are part of their text, which keys a query sees, and how a product of a
// query and a key becomes a logit.
//
// Invariant: a query sees the keys of one range, cut further by segments alone; ranges of later queries begin and end no
// earlier. So a tile of queries sees what lies between its first query's beginning and its last query's end, and sees all of
// what lies between its last query's beginning and its first query's end.
//
// The formula: `CKernels/include/attention.h`.

internal import KernelLanguage
internal import Tensors

/// An attention but for its batch and its numbers of queries and keys, which are arguments.
struct AttentionProblem: Hashable, Sendable {
  var options: Attention
  /// Of queries and outputs; of keys and values too, unless they are int8 with factors.
  var element: ElementType
  var heads: Int
  var keyHeads: Int
  /// Elements of a head.
  var size: Int

  /// - Parameter inputs: queries and keys [.., heads, size].
  init(_ options: Attention, _ inputs: [TensorType]) {
    self.options = options
    element = inputs[0].element
    (heads, keyHeads, size) = (inputs[0].shape[-2], inputs[1].shape[-2], inputs[0].shape[-1])
  }

  /// What rows of a batch do to keys in blocks of a pool.
  init(_ paged: PagedAttention, _ inputs: [TensorType]) {
    var options = Attention(scale: paged.scale, window: paged.window, softcap: paged.softcap)
    (options.sinks, options.scales) = (paged.sinks, paged.scales)
    self.init(options, inputs)
  }

  /// Of keys and values.
  var stored: ElementType { options.scales ? .int8 : element }
  /// Query heads that share a head of keys.
  var group: Int { heads / keyHeads }
  /// As 32 bits hold it: no sequence is longer.
  var window: Int? { options.window.map { min($0, 1 << 30) } }
  var softcap: Double? { options.softcap.flatMap { $0 > 0 ? $0 : nil } }
}

/// Positions, from the first up to but without the end.
struct KeyRange {
  let first: Value<S32>
  let end: Value<S32>
}

extension AttentionProblem {
  /// Which keys a query at `position` sees of `length`; empty where the end is not beyond the first.
  func keys(_ k: KernelBuilder, from position: Value<S32>, of length: Value<S32>) -> KeyRange {
    func clamped(_ value: Value<S32>) -> Value<S32> { k.maximum(k.minimum(value, length), 0) }
    let first = window.map { clamped(position - Value($0 - (options.causal ? 1 : 0))) } ?? k.variable(0)
    let end = options.causal ? clamped(position + 1) : window.map { clamped(position + Value($0 + 1)) } ?? length
    return KeyRange(first: first, end: end)
  }

  /// Which queries see the key at `key`, where query t stands at t + `offset`.
  func queries(_ k: KernelBuilder, seeing key: Value<S32>, offset: Value<S32>, of count: Value<S32>) -> KeyRange {
    func clamped(_ value: Value<S32>) -> Value<S32> { k.maximum(k.minimum(value, count), 0) }
    let first =
      options.causal ? clamped(key - offset) : window.map { clamped(key - Value($0) - offset) } ?? k.variable(0)
    let end = window.map { clamped(key + Value($0 + (options.causal ? 0 : 1)) - offset) } ?? count
    return KeyRange(first: first, end: end)
  }

  /// The logit that a query's product with a key makes, before the softmax.
  func logit<T: ElementaryType>(_ k: KernelBuilder, _ product: Value<T>) -> Value<T> {
    let scaled = product * Value(options.scale)
    guard let softcap else { return scaled }
    return T.tanh(k, scaled * Value(1 / softcap)) * Value(softcap)
  }

  /// The derivative of the logit by the product, from the logit.
  func slope<T: FloatType>(_ k: KernelBuilder, _ logit: Value<T>) -> Value<T> {
    guard let softcap else { return k.variable(Value<T>(options.scale)) }
    let t = logit * Value(1 / softcap)
    return k.fma(-t, t, Value(1)) * Value(options.scale)
  }
}

extension Elements {
  /// An element as a float.
  func value<T: FloatType, I: IntegerType>(_ k: KernelBuilder, at index: Value<I>, as type: T.Type = T.self)
    -> Value<T>
  {
    advanced(index).values(k, count: 1)[0]
  }

  /// Neighbours as floats; the address is a multiple of them all.
  func values<T: FloatType>(_ k: KernelBuilder, count: Int, as type: T.Type = T.self) -> [Value<T>] {
    load(k, count: count).map { number in
      switch number {
      case .f32(let value): k.convert(value)
      case .f64(let value): k.convert(value)
      case .s32(let value): k.convert(value)
      case .s64(let value): k.convert(value)
      }
    }
  }

  /// Writes a float as the elements' type.
  func store<T: FloatType, I: IntegerType>(_ k: KernelBuilder, at index: Value<I>, value: Value<T>) {
    store(k, at: index, type == .float64 ? .f64(k.convert(value)) : .f32(k.convert(value)))
  }
}
