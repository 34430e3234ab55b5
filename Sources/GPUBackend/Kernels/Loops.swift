// From a thread's number to elements: the axes of an operation, as few as its operands allow.
//
// Invariant: kernels never divide by the outermost extent, so that a kernel serves all sizes of a leading dimension that varies.

internal import KernelLanguage
internal import Tensors

/// Axes along which operands are walked together, outermost first, with each operand's stride in elements.
struct Loops: Hashable, Sendable {
  /// Without that of the outermost axis.
  private(set) var inner: [Int]
  /// By operand, by axis.
  private(set) var strides: [[Int]]

  /// Joins neighbouring axes where all operands step through them as through one, and drops axes of one element, but for the
  /// outermost if it varies.
  init(_ shape: Shape, _ operands: [[Int]]) {
    // Nobody walks what has no elements.
    if shape.count == 0 {
      (inner, strides) = ([], operands.map { _ in [] })
      return
    }
    var axes = shape.dimensions.indices.filter { shape[$0] != 1 || ($0 == 0 && shape.varies) }
    if axes.isEmpty && shape.rank > 0 { axes = [0] }
    var extents: [Int] = []
    var joined = operands.map { _ in [Int]() }
    for axis in axes {
      let extent = shape[axis]
      if let last = extents.last, operands.indices.allSatisfy({ joined[$0].last! == operands[$0][axis] * extent }) {
        extents[extents.count - 1] = last * extent
        for operand in operands.indices { joined[operand][extents.count - 1] = operands[operand][axis] }
      } else {
        extents.append(extent)
        for operand in operands.indices { joined[operand].append(operands[operand][axis]) }
      }
    }
    inner = Array(extents.dropFirst())
    strides = joined
  }

  var rank: Int { strides.first?.count ?? 0 }

  /// How many neighbours along the innermost axis can be moved at once, `most` at most: all operands step by 0 or 1 there, and
  /// groups of so many begin at multiples of so many everywhere.
  func vector(_ most: Int) -> Int {
    guard rank > 0, strides.allSatisfy({ $0.last! == 0 || $0.last! == 1 }) else { return 1 }
    var width = most
    while width > 1 {
      let fits =
        (inner.last.map { $0 % width == 0 } ?? true)
        && strides.allSatisfy { $0.last! == 0 || $0.dropLast().allSatisfy { $0 % width == 0 } }
      if fits { return width }
      width /= 2
    }
    return 1
  }

  /// The same where so many elements are walked one after another from places that other loops say.
  func vector(_ most: Int, of count: Int, besides others: Loops) -> Int {
    var width = strides.first?.last == 1 ? vector(most) : 1
    while count % width != 0 || others.strides.contains(where: { $0.contains { $0 % width != 0 } }) { width /= 2 }
    return width
  }

  /// Counted in groups of neighbours along the innermost axis.
  func grouped(by width: Int) -> Loops {
    var result = self
    if width == 1 || rank == 0 { return result }
    if let last = inner.last { result.inner[inner.count - 1] = last / width }
    for operand in strides.indices { result.strides[operand][rank - 1] *= width }
    return result
  }

  /// Strides in groups of elements, of each of which there is a whole number between neighbours.
  func divided(by width: Int) -> Loops {
    var result = self
    result.strides = strides.map { $0.map { $0 / width } }
    return result
  }

  /// Each operand's element for element number `index` of the whole.
  func offsets<I: IntegerType>(_ k: KernelBuilder, _ index: Value<I>) -> [Value<I>] {
    var rest = index
    var places: [Value<I>] = []
    for extent in inner.reversed() {
      let quotient = k.quotient(rest, extent)
      places.insert(k.multiplyAdd(quotient, Value(-extent), rest), at: 0)
      rest = quotient
    }
    places.insert(rest, at: 0)
    return strides.map { strides in
      var sum: Value<I>?
      for (place, stride) in zip(places, strides) where stride != 0 {
        sum = sum.map { k.multiplyAdd(place, Value(stride), $0) } ?? place * Value(stride)
      }
      return sum ?? Value(0)
    }
  }
}

extension KernelBuilder {
  /// n / divisor for n below 2^31, or of 64 bits.
  ///
  /// Granlund and Montgomery, Division by invariant integers using multiplication (1994), doi:10.1145/178243.178249: with
  /// 2^(s-1) < d ≤ 2^s the upper half of n ⌈2^(31+s) / d⌉, shifted right by s - 1.
  func quotient<I: IntegerType>(_ n: Value<I>, _ divisor: Int) -> Value<I> {
    precondition(divisor > 0, "an extent of \(divisor)")
    if divisor == 1 { return n }
    let shift = Int.bitWidth - (divisor - 1).leadingZeroBitCount
    if divisor == 1 << shift { return n >> Value(shift) }
    guard I.type == .u32, divisor < 1 << 31 else { return n / Value(divisor) }
    let factor = ((1 << (31 + shift)) + divisor - 1) / divisor
    return multiplyHigh(n, Value(factor)) >> Value(shift - 1)
  }

  /// n / divisor and what is left.
  func divided<I: IntegerType>(_ n: Value<I>, by divisor: Int) -> (quotient: Value<I>, remainder: Value<I>) {
    let quotient = quotient(n, divisor)
    return (quotient, divisor == 1 ? variable(Value(0)) : multiplyAdd(quotient, Value(-divisor), n))
  }
}
