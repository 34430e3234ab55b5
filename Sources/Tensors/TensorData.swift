import Core

/// Elements in memory: what goes into a program and what comes out of one.
///
/// A dense row-major array, 64-byte aligned, with reference semantics: a program that was given it as a donated input writes
/// its result into it. `Hashable` by identity.
///
/// A device may keep the elements in memory of its own between runs; they come to the host when somebody looks. So `pointer`
/// and `bytes` are asked for again after every run.
public final class TensorData: @unchecked Sendable, Hashable, CustomStringConvertible {
  public let type: TensorType
  private let host: UnsafeMutableRawPointer
  private let owner: AnyObject?
  let residence = Residence()

  /// The first element; `type.bytes` bytes may be used until the next run that is given this data.
  public var pointer: UnsafeMutableRawPointer {
    residence.claim(hostBytes)
    return host
  }

  var hostBytes: UnsafeMutableRawBufferPointer { .init(start: host, count: type.bytes) }

  /// Zeros.
  public init(_ type: TensorType) {
    self.type = type
    host = ZeroedMemory.allocate(type.bytes)
    owner = nil
  }

  /// Memory that belongs to somebody else, who is kept alive: a mapped file, an arena.
  public init(_ type: TensorType, pointer: UnsafeMutableRawPointer, owner: AnyObject) {
    self.type = type
    host = pointer
    self.owner = owner
  }

  deinit {
    if owner == nil { ZeroedMemory.deallocate(host, type.bytes) }
  }

  /// A copy of `values`, which are converted to `element`.
  ///
  /// - Precondition: `values.count == shape.count`.
  public convenience init(_ values: [Double], shape: Shape, element: ElementType = .float32) {
    precondition(values.count == shape.count, "\(values.count) values do not fill the shape \(shape)")
    self.init(TensorType(element, shape))
    for (index, value) in values.enumerated() { self[index] = .float(value) }
  }

  /// A copy of `values`.
  public convenience init(_ values: [Float], shape: Shape) {
    self.init(bytes: values, TensorType(.float32, shape))
  }

  /// A copy of `values`.
  public convenience init(_ values: [Int32], shape: Shape) {
    self.init(bytes: values, TensorType(.int32, shape))
  }

  /// A copy of `values`.
  public convenience init(_ values: [Int64], shape: Shape) {
    self.init(bytes: values, TensorType(.int64, shape))
  }

  private convenience init<Element: BitwiseCopyable>(bytes values: [Element], _ type: TensorType) {
    precondition(values.count == type.shape.count, "\(values.count) values do not fill the shape \(type.shape)")
    self.init(type)
    values.withUnsafeBytes { if $0.count > 0 { pointer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
  }

  public var shape: Shape { type.shape }
  public var count: Int { type.shape.count }
  public var bytes: UnsafeMutableRawBufferPointer { .init(start: pointer, count: type.bytes) }

  /// One element, converted exactly when read and as `Op.cast` does when written.
  public subscript(index: Int) -> Scalar {
    get {
      precondition(index >= 0 && index < count, "element \(index) of \(type)")
      switch type.element {
      case .float64: return .float(load(index, as: Double.self))
      case .float32: return .float(Double(load(index, as: Float.self)))
      case .bfloat16: return .float(Double(Float(bfloat16: load(index, as: UInt16.self))))
      case .float16: return .float(Double(Float(half: load(index, as: UInt16.self))))
      case .int8: return .integer(Int64(load(index, as: Int8.self)))
      case .uint8: return .integer(Int64(load(index, as: UInt8.self)))
      case .int32: return .integer(Int64(load(index, as: Int32.self)))
      case .int64: return .integer(load(index, as: Int64.self))
      case .bool: return .integer(load(index, as: UInt8.self) == 0 ? 0 : 1)
      }
    }
    set {
      precondition(index >= 0 && index < count, "element \(index) of \(type)")
      switch type.element {
      case .float64: store(index, newValue.double)
      case .float32: store(index, Float(newValue.double))
      case .bfloat16: store(index, Float(newValue.double).bfloat16)
      case .float16: store(index, Float(newValue.double).half)
      case .int8: store(index, Int8(truncatingIfNeeded: newValue.integer))
      case .uint8: store(index, UInt8(truncatingIfNeeded: newValue.integer))
      case .int32: store(index, Int32(truncatingIfNeeded: newValue.integer))
      case .int64: store(index, newValue.integer)
      case .bool: store(index, UInt8(newValue.double != 0 ? 1 : 0))
      }
    }
  }

  /// All elements as Double.
  public var doubles: [Double] { (0..<count).map { self[$0].double } }

  /// All elements as Float.
  public var floats: [Float] {
    if type.element == .float32 {
      return Array(readBytes.assumingMemoryBound(to: Float.self))
    }
    return (0..<count).map { Float(self[$0].double) }
  }

  /// All elements as Int64.
  public var integers: [Int64] { (0..<count).map { self[$0].integer } }

  /// The only element.
  ///
  /// - Precondition: there is one.
  public var item: Double {
    precondition(count == 1, "item of a tensor of shape \(shape), which has \(count) elements")
    return self[0].double
  }

  public func copy() -> TensorData {
    let result = TensorData(type)
    result.bytes.copyMemory(from: readBytes)
    return result
  }

  /// Takes over the bytes of another of the same type.
  public func assign(_ other: TensorData) {
    precondition(type.element == other.type.element && count == other.count, "cannot assign \(other.type) to \(type)")
    let source = other.readBytes
    if UnsafeRawPointer(pointer) != source.baseAddress! { bytes.copyMemory(from: source) }
  }

  private func load<T: BitwiseCopyable>(_ index: Int, as: T.Type) -> T {
    residence.settle(hostBytes)
    return host.load(fromByteOffset: index * MemoryLayout<T>.size, as: T.self)
  }

  private func store<T: BitwiseCopyable>(_ index: Int, _ value: T) {
    pointer.storeBytes(of: value, toByteOffset: index * MemoryLayout<T>.size, as: T.self)
  }

  public static func == (a: TensorData, b: TensorData) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

  public var description: String {
    let shown = (0..<min(count, 8)).map { index -> String in
      if case .integer(let value) = self[index] { return "\(value)" }
      return "\(Float(self[index].double))"
    }
    return "\(type)(" + shown.joined(separator: ", ") + (count > 8 ? ", …" : "") + ")"
  }
}

extension Float {
  /// The value of 16 bits of bfloat16.
  package init(bfloat16 bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }

  /// Rounded to nearest even; NaN stays NaN.
  package var bfloat16: UInt16 {
    if isNaN { return UInt16(truncatingIfNeeded: bitPattern >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bitPattern + 0x7FFF + ((bitPattern >> 16) & 1)) >> 16)
  }

  /// The value of 16 bits of IEEE half precision.
  package init(half bits: UInt16) { self.init(Float16(bitPattern: bits)) }

  /// Rounded to nearest even.
  package var half: UInt16 { Float16(self).bitPattern }
}
