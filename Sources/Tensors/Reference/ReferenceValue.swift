/// A tensor of the reference interpreter: Double for floats, Int64 for integers and bool (0 or 1).
///
/// Invariant: one of the two arrays has `type.shape.count` elements and the other none, as `type.element` says; integers are
/// in the range of their type.
struct ReferenceValue {
  let type: TensorType
  let floats: [Double]
  let integers: [Int64]

  var shape: Shape { type.shape }
  var count: Int { isFloat ? floats.count : integers.count }
  var isFloat: Bool { type.element.isFloat }

  init(_ type: TensorType, floats: [Double]) {
    precondition(type.element.isFloat && floats.count == type.shape.count, "\(floats.count) floats are no \(type)")
    self.type = type
    self.floats = floats
    integers = []
  }

  /// Wraps `integers` to the width of the type.
  init(_ type: TensorType, integers: [Int64]) {
    precondition(
      !type.element.isFloat && integers.count == type.shape.count, "\(integers.count) integers are no \(type)")
    self.type = type
    floats = []
    self.integers = integers.map(type.element.wrap)
  }

  /// The elements of `data` under a type with the same elements, which may say that it varies.
  init(_ data: TensorData, as type: TensorType? = nil) {
    let type = type ?? data.type
    if type.element.isFloat {
      self.init(type, floats: data.doubles)
    } else {
      self.init(type, integers: data.integers)
    }
  }

  /// An element as a Double.
  func double(_ index: Int) -> Double { isFloat ? floats[index] : Double(integers[index]) }

  /// Whether an element is not 0.
  func isTrue(_ index: Int) -> Bool { isFloat ? floats[index] != 0 : integers[index] != 0 }

  /// A copy in the storage type.
  func data() -> TensorData {
    let result = TensorData(type)
    write(to: result)
    return result
  }

  func write(to data: TensorData) {
    precondition(data.type.element == type.element && data.count == count, "cannot write \(type) to \(data.type)")
    for index in 0..<count {
      data[index] = isFloat ? .float(floats[index]) : .integer(integers[index])
    }
  }

  /// The tensor whose element i is element `source[i]` of this one, or 0 where `source[i]` is negative. All movement is of
  /// this form.
  func moved(_ source: [Int], to type: TensorType) -> ReferenceValue {
    isFloat
      ? ReferenceValue(type, floats: source.map { $0 < 0 ? 0 : floats[$0] })
      : ReferenceValue(type, integers: source.map { $0 < 0 ? 0 : integers[$0] })
  }

  /// Repeated along axes as NumPy does.
  func broadcast(to shape: Shape) -> ReferenceValue {
    if self.shape.dimensions == shape.dimensions { return self }
    return moved(shape.offsets(strides: self.shape.strides(broadcastTo: shape)), to: TensorType(type.element, shape))
  }

  /// Converted as `Op.cast` does: floats are rounded to the type; floats become integers towards zero and saturate at 64
  /// bits, NaN gives 0; integers wrap; bool is what is not 0.
  func cast(to element: ElementType) -> ReferenceValue {
    let result = TensorType(element, shape)
    if element == .bool { return ReferenceValue(result, integers: (0..<count).map { isTrue($0) ? 1 : 0 }) }
    if element.isFloat { return ReferenceValue(result, floats: (0..<count).map { element.rounded(double($0)) }) }
    return ReferenceValue(result, integers: isFloat ? floats.map { Int64(saturating: $0) } : integers)
  }

  /// The same numbers under another float type, not rounded; else as `cast`.
  func unrounded(as element: ElementType) -> ReferenceValue {
    guard element.isFloat else { return cast(to: element) }
    return ReferenceValue(TensorType(element, shape), floats: (0..<count).map(double))
  }
}

extension ElementType {
  /// An integer as this type holds it (two's complement); bool: whether it is not 0.
  func wrap(_ value: Int64) -> Int64 {
    switch self {
    case .int8: Int64(Int8(truncatingIfNeeded: value))
    case .uint8: Int64(UInt8(truncatingIfNeeded: value))
    case .int32: Int64(Int32(truncatingIfNeeded: value))
    case .int64: value
    case .bool: value == 0 ? 0 : 1
    case .float64, .float32, .bfloat16, .float16: preconditionFailure("\(self) holds no integers")
    }
  }

  /// The nearest number that this type holds, by way of float32 for 16-bit types.
  func rounded(_ value: Double) -> Double {
    switch self {
    case .float32: Double(Float(value))
    case .bfloat16: Double(Float(bfloat16: Float(value).bfloat16))
    case .float16: Double(Float(half: Float(value).half))
    case .float64: value
    case .int8, .uint8, .int32, .int64, .bool: preconditionFailure("\(self) holds no floats")
    }
  }

  /// The least number that the type holds: the identity of `maximum`.
  var lowest: Int64 {
    switch self {
    case .int8: Int64(Int8.min)
    case .int32: Int64(Int32.min)
    case .int64: .min
    case .uint8, .bool: 0
    case .float64, .float32, .bfloat16, .float16: preconditionFailure("the lowest float is -infinity")
    }
  }

  /// The largest number that the type holds: the identity of `minimum`.
  var highest: Int64 {
    switch self {
    case .int8: Int64(Int8.max)
    case .uint8: Int64(UInt8.max)
    case .int32: Int64(Int32.max)
    case .int64: .max
    case .bool: 1
    case .float64, .float32, .bfloat16, .float16: preconditionFailure("the highest float is infinity")
    }
  }
}

extension Shape {
  /// For each element in row-major order, Σ index · stride.
  func offsets(strides: [Int]) -> [Int] {
    var result = [0]
    for (extent, stride) in zip(dimensions, strides) {
      result = result.flatMap { base in (0..<extent).map { base + $0 * stride } }
    }
    return result
  }

  /// The shape as [outer, extent, inner] around an axis.
  func around(_ axis: Int) -> (outer: Int, extent: Int, inner: Int) {
    (dimensions[..<axis].reduce(1, *), dimensions[axis], dimensions[(axis + 1)...].reduce(1, *))
  }

  /// The shape as rows along the last axis.
  var rows: (rows: Int, width: Int) { (dimensions.dropLast().reduce(1, *), dimensions.last ?? 1) }
}
