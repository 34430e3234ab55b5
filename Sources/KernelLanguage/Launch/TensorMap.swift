// A tensor map: what a bulk tensor copy has to know of a tensor in global memory and of the box that it moves.
//
// Invariant: a map that `problems` finds nothing in is taken by every driver. The bytes that a GPU reads are made of it by the
// driver (`cuTensorMapEncodeTiled`); the emulator reads the value itself.
//
// CUDA driver API, "Tensor Map Object Management".

/// A tensor in global memory, cut into boxes.
public struct TensorMap: Hashable, Sendable {
  /// Numbered as the driver numbers them.
  public enum Element: Int, Hashable, Sendable, CaseIterable {
    case uint8 = 0
    case uint16, uint32, int32, uint64, int64, float16, float32, float64, bfloat16

    /// In bytes.
    public var size: Int {
      switch self {
      case .uint8: 1
      case .uint16, .float16, .bfloat16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      }
    }
  }

  /// What elements outside of the tensor are read as.
  public enum Fill: Int, Hashable, Sendable, CaseIterable { case zero = 0, notANumber }

  /// How much of a line the second-level cache fetches at once.
  public enum Promotion: Int, Hashable, Sendable, CaseIterable { case none = 0, bytes64, bytes128, bytes256 }

  public var element: Element
  /// Of the first element.
  public var address: UInt64
  /// Elements along each axis, the innermost first: 1 to 5.
  public var dimensions: [Int]
  /// Bytes from one index to the next along each axis but the innermost.
  public var strides: [Int]
  /// Elements of the box along each axis.
  public var box: [Int]
  /// Every how manieth element of an axis is read.
  public var elementStrides: [Int]
  public var swizzle: Swizzle
  public var promotion: Promotion
  public var fill: Fill

  public init(
    _ element: Element, address: UInt64, dimensions: [Int], strides: [Int], box: [Int], elementStrides: [Int]? = nil,
    swizzle: Swizzle = .none, promotion: Promotion = .bytes128, fill: Fill = .zero
  ) {
    (self.element, self.address, self.dimensions, self.strides) = (element, address, dimensions, strides)
    (self.box, self.elementStrides) = (box, elementStrides ?? box.map { _ in 1 })
    (self.swizzle, self.promotion, self.fill) = (swizzle, promotion, fill)
  }

  /// What one copy moves, in bytes: also where the box reaches out of the tensor.
  public var boxBytes: Int {
    zip(box, elementStrides).reduce(element.size) { $0 * (($1.0 + $1.1 - 1) / $1.1) }
  }

  /// Everything that a driver would refuse, as sentences.
  public var problems: [String] {
    var problems: [String] = []
    let rank = dimensions.count
    func require(_ condition: Bool, _ problem: @autoclosure () -> String) {
      if !condition { problems.append(problem()) }
    }
    require((1...5).contains(rank), "a tensor map has 1 to 5 axes, not \(rank)")
    require(
      strides.count == rank - 1 && box.count == rank && elementStrides.count == rank,
      "\(rank) axes need \(rank - 1) strides, \(rank) extents of the box and \(rank) steps, not \(strides.count), "
        + "\(box.count) and \(elementStrides.count)")
    require(address % 16 == 0, "the tensor's address \(address) is no multiple of 16")
    for dimension in dimensions {
      require((1...(1 << 32)).contains(dimension), "an axis has 1 to 2^32 elements, not \(dimension)")
    }
    for stride in strides {
      require(stride % 16 == 0 && (0..<(1 << 40)).contains(stride), "a stride is a multiple of 16 bytes, not \(stride)")
    }
    for extent in box {
      require((1...256).contains(extent), "a box has 1 to 256 elements along an axis, not \(extent)")
    }
    for step in elementStrides { require((1...8).contains(step), "steps are 1 to 8 elements, not \(step)") }
    if let width = box.first {
      let bytes = width * element.size
      require(bytes % 16 == 0, "a row of the box has \(bytes) bytes, which is no multiple of 16")
      require(
        swizzle == .none || bytes <= swizzle.span,
        "a row of the box has \(bytes) bytes, more than the \(swizzle.span) of its swizzle: cut it into panels")
    }
    require(
      fill == .zero || [.float16, .float32, .float64, .bfloat16].contains(element),
      "only floats can be filled with NaN")
    return problems
  }
}
