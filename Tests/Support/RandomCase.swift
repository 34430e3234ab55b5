internal import Core
internal import FoundationEssentials
public import Tensors

/// One random test case: a source of shapes and values that is named by a seed, a test and an index.
///
/// The seed is fresh in every process and printed once; `TACHORNIS_SEED` fixes it. Cases do not depend on the order in which
/// tests run.
public struct RandomCase: Sendable, CustomStringConvertible {
  /// The seed of this process.
  public static let seed: UInt64 = {
    let given = ProcessInfo.processInfo.environment["TACHORNIS_SEED"].flatMap { UInt64($0) }
    let seed = given ?? UInt64.random(in: 0..<1_000_000_000)
    print("TACHORNIS_SEED=\(seed)")
    return seed
  }()

  public let test: String
  public let index: Int
  private var numbers: RandomSequence

  /// Case number `index` of `test`.
  public init(_ test: String, _ index: Int = 0) {
    self.test = test
    self.index = index
    // FNV-1a, because Swift's own hashes differ from process to process.
    let stream = test.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    numbers = RandomSequence(seed: RandomCase.seed, stream: stream &+ UInt64(index))
  }

  /// What to set to see this case again.
  public var description: String { "[TACHORNIS_SEED=\(RandomCase.seed), case \(index) of \(test)]" }

  public mutating func integer(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &numbers) }
  public mutating func bits() -> Int64 { Int64(bitPattern: numbers.next()) }
  public mutating func bool() -> Bool { integer(0...1) == 1 }
  public mutating func uniform(_ range: ClosedRange<Double>) -> Double { Double.random(in: range, using: &numbers) }
  public mutating func choice<Element>(_ elements: [Element]) -> Element { elements[integer(0...(elements.count - 1))] }
  public mutating func shuffled<Element>(_ elements: [Element]) -> [Element] { elements.shuffled(using: &numbers) }

  // MARK: Shapes

  /// Awkward extents: nothing, one, primes, and one off the sizes of vectors and tiles.
  private static let extents = [0, 1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37]

  /// An extent, at least `least`.
  public mutating func extent(least: Int = 0) -> Int {
    choice(RandomCase.extents.filter { $0 >= least })
  }

  /// A shape of the given rank with at most `limit` elements.
  public mutating func shape(rank: Int, least: Int = 0, limit: Int = 4096) -> Shape {
    var dimensions = (0..<rank).map { _ in extent(least: least) }
    while dimensions.reduce(1, *) > limit {
      let largest = dimensions.indices.max { dimensions[$0] < dimensions[$1] }!
      dimensions[largest] = max(least, dimensions[largest] / 2)
    }
    return Shape(dimensions)
  }

  /// A shape that broadcasts to `target`: some leading axes missing, some extents 1.
  public mutating func shape(broadcastingTo target: Shape) -> Shape {
    Shape(target.dimensions.dropFirst(integer(0...target.rank)).map { integer(0...3) == 0 ? 1 : $0 })
  }

  // MARK: Values

  public enum Values: Sendable {
    /// Floats in -2...2, small integers.
    case ordinary
    /// Floats in the range.
    case within(ClosedRange<Double>)
    /// Floats in ±0.5...2: far from 0.
    case nonzero
    /// Multiples of 1/16, no two alike, none 0, in random order: steps of finite differences meet no corner or tie.
    case distinct
    /// All integers of the type.
    case anyInteger
    /// Integers in the range.
    case integers(ClosedRange<Int>)
    /// Ordinary numbers with an infinity or a NaN here and there.
    case special
  }

  public mutating func data(_ element: ElementType, _ shape: Shape, _ values: Values = .ordinary) -> TensorData {
    let result = TensorData(TensorType(element, shape))
    var distinct: [Int] = []
    if case .distinct = values {
      let half = (shape.count + 1) / 2
      distinct = shuffled((1...max(1, half)).flatMap { [$0, -$0] })
    }
    for i in 0..<shape.count {
      switch values {
      case .ordinary where element == .bool: result[i] = .integer(Int64(integer(0...1)))
      case .ordinary where !element.isFloat: result[i] = .integer(Int64(integer((element == .uint8 ? 0 : -9)...9)))
      case .ordinary: result[i] = .float(uniform(-2...2))
      case .within(let range): result[i] = .float(uniform(range))
      case .nonzero: result[i] = .float(uniform(0.5...2) * (bool() ? 1 : -1))
      case .distinct: result[i] = .float(Double(distinct[i]) / 16)
      case .anyInteger: result[i] = .integer(bool() ? bits() : Int64(integer(-2...2)))
      case .integers(let range): result[i] = .integer(Int64(integer(range)))
      case .special:
        let special: [Double] = [.infinity, -.infinity, .nan, 0, -0.0, 1e9, -1e9]
        result[i] = .float(integer(0...3) == 0 ? choice(special) : uniform(-2...2))
      }
    }
    return result
  }
}

extension TensorData {
  /// A copy of the first rows.
  public func prefix(rows: Int) -> TensorData {
    var shape = shape
    shape[0] = rows
    return TensorData(Array(doubles.prefix(shape.count)), shape: shape, element: type.element)
  }
}
