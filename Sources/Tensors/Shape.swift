/// The extents of a tensor, outermost first, in row-major order.
///
/// A shape may say that its leading dimension *varies*: it is then the largest value, and proportional to the extent with
/// which a program is run (see `Program`). Every rule that derives one shape from another carries this mark along.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public var dimensions: [Int]
  public var varies: Bool

  public init(_ dimensions: [Int], varies: Bool = false) {
    precondition(dimensions.allSatisfy { $0 >= 0 }, "a shape has no negative dimensions, but got \(dimensions)")
    precondition(!varies || !dimensions.isEmpty, "a scalar has no leading dimension that could vary")
    self.dimensions = dimensions
    self.varies = varies
  }

  public init(arrayLiteral dimensions: Int...) {
    self.init(dimensions)
  }

  public static var scalar: Shape { Shape([]) }

  public var rank: Int { dimensions.count }

  /// The number of elements.
  public var count: Int { dimensions.reduce(1, *) }

  /// The extent of an axis; negative axes count from the end.
  public subscript(axis: Int) -> Int {
    get { dimensions[axis < 0 ? dimensions.count + axis : axis] }
    set { dimensions[axis < 0 ? dimensions.count + axis : axis] = newValue }
  }

  /// `axis` counted from the front.
  ///
  /// - Precondition: the axis exists.
  public func normalized(axis: Int) -> Int {
    let result = axis < 0 ? rank + axis : axis
    precondition(result >= 0 && result < rank, "axis \(axis) does not exist in shape \(self)")
    return result
  }

  /// Elements between neighbours along each axis of a dense tensor.
  public var strides: [Int] {
    var result = [Int](repeating: 1, count: rank)
    for axis in dimensions.indices.dropLast().reversed() {
      result[axis] = result[axis + 1] * dimensions[axis + 1]
    }
    return result
  }

  /// The shape that two operands broadcast to, aligned at the last axis as in NumPy, or nil if they do not.
  public static func broadcast(_ a: Shape, _ b: Shape) -> Shape? {
    if a == b { return a }
    let rank = max(a.rank, b.rank)
    var result = [Int](repeating: 1, count: rank)
    for axis in 1...max(rank, 1) where rank > 0 {
      let x = axis <= a.rank ? a.dimensions[a.rank - axis] : 1
      let y = axis <= b.rank ? b.dimensions[b.rank - axis] : 1
      guard x == y || x == 1 || y == 1 else { return nil }
      result[rank - axis] = x == 1 ? y : x
    }
    let varies = (a.varies && a.rank == rank) || (b.varies && b.rank == rank)
    return Shape(result, varies: varies)
  }

  /// Elements between neighbours when this shape is read as `target`: 0 along axes that are repeated.
  ///
  /// - Precondition: this shape broadcasts to `target`.
  public func strides(broadcastTo target: Shape) -> [Int] {
    let own = strides
    var result = [Int](repeating: 0, count: target.rank)
    for axis in 0..<rank {
      let place = target.rank - rank + axis
      precondition(
        dimensions[axis] == target.dimensions[place] || dimensions[axis] == 1, "\(self) does not broadcast to \(target)"
      )
      result[place] = dimensions[axis] == 1 ? 0 : own[axis]
    }
    return result
  }

  /// The shape of a run whose varying extent is `extent` instead of `maximum`.
  package func scaled(extent: Int, maximum: Int) -> Shape {
    guard varies, extent != maximum else { return self }
    precondition(
      maximum > 0 && dimensions[0] % maximum == 0,
      "the leading dimension of \(self) is not a multiple of the program's varying extent \(maximum)")
    var result = self
    result.dimensions[0] = dimensions[0] / maximum * extent
    return result
  }

  public var description: String {
    "["
      + dimensions.enumerated().map { ($0.offset == 0 && varies ? "≤" : "") + "\($0.element)" }
      .joined(separator: ", ") + "]"
  }
}

/// The type of a tensor: what its elements are and how many along each axis.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  public var element: ElementType
  public var shape: Shape

  public init(_ element: ElementType, _ shape: Shape) {
    self.element = element
    self.shape = shape
  }

  public var bytes: Int { shape.count * element.size }

  public var description: String { element.shortName + shape.description }
}
