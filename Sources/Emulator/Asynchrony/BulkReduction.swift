// Reductions of bulk copies: what `cp.reduce.async.bulk`, `red.async` and their tensor forms do with each element.
//
// Sums of 16-bit floats are made in 32 bits and rounded once more, to the nearest, which gives the exactly rounded sum.
//
// PTX ISA 9.1, `cp.reduce.async.bulk`, `red`.

package import KernelLanguage

/// An operation on two elements of a type.
package struct BulkReduction: Hashable {
  package enum Operation: String, Hashable, CaseIterable { case add, min, max, inc, dec, and, or, xor }
  package enum Element: Hashable { case u32, s32, u64, s64, f16, bf16, f32, f64 }

  package let operation: Operation
  package let element: Element

  /// Nil where PTX has no such pair.
  package init?(_ operation: Operation, _ element: Element) {
    let isAllowed: Bool
    switch operation {
    case .add: isAllowed = true
    case .min, .max: isAllowed = element != .f32 && element != .f64
    case .inc, .dec: isAllowed = element == .u32
    case .and, .or, .xor: isAllowed = [.u32, .s32, .u64, .s64].contains(element)
    }
    guard isAllowed else { return nil }
    (self.operation, self.element) = (operation, element)
  }

  /// Of PTX's types.
  package init?(_ operation: Operation, _ type: PTXType) {
    let elements: [PTXType: Element] = [
      .u32: .u32, .b32: .u32, .s32: .s32, .u64: .u64, .b64: .u64, .s64: .s64, .f16: .f16, .bf16: .bf16, .f32: .f32,
      .f64: .f64,
    ]
    guard let element = elements[type] else { return nil }
    self.init(operation, element)
  }

  /// Of a tensor map's elements.
  package init?(_ operation: Operation, _ element: TensorMap.Element) {
    switch element {
    case .uint32: self.init(operation, Element.u32)
    case .int32: self.init(operation, Element.s32)
    case .uint64: self.init(operation, Element.u64)
    case .int64: self.init(operation, Element.s64)
    case .float16: self.init(operation, Element.f16)
    case .bfloat16: self.init(operation, Element.bf16)
    case .float32: self.init(operation, Element.f32)
    case .float64: self.init(operation, Element.f64)
    case .uint8, .uint16: return nil
    }
  }

  /// In bytes.
  package var size: Int {
    switch element {
    case .f16, .bf16: 2
    case .u32, .s32, .f32: 4
    case .u64, .s64, .f64: 8
    }
  }

  /// `target[i] = operation(target[i], source[i])` for `count` bytes.
  package func apply(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ count: Int) {
    func each<T>(_ type: T.Type, _ body: (T, T) -> T) {
      for place in stride(from: 0, to: count, by: MemoryLayout<T>.size) {
        let old = target.loadUnaligned(fromByteOffset: place, as: T.self)
        let new = source.loadUnaligned(fromByteOffset: place, as: T.self)
        target.storeBytes(of: body(old, new), toByteOffset: place, as: T.self)
      }
    }
    func integers<T: FixedWidthInteger>(_ type: T.Type) {
      switch operation {
      case .add: each(T.self, &+)
      case .min: each(T.self) { Swift.min($0, $1) }
      case .max: each(T.self) { Swift.max($0, $1) }
      case .and: each(T.self, &)
      case .or: each(T.self, |)
      case .xor: each(T.self, ^)
      case .inc: each(T.self) { old, limit in old >= limit ? 0 : old + 1 }
      case .dec: each(T.self) { old, limit in old == 0 || old > limit ? limit : old - 1 }
      }
    }
    func halves(_ widen: @escaping (UInt16) -> Float, _ narrow: @escaping (Float) -> UInt16) {
      switch operation {
      case .min: each(UInt16.self) { narrow(Float.minimum(widen($0), widen($1))) }
      case .max: each(UInt16.self) { narrow(Float.maximum(widen($0), widen($1))) }
      default: each(UInt16.self) { narrow(widen($0) + widen($1)) }
      }
    }
    switch element {
    case .u32: integers(UInt32.self)
    case .s32: integers(Int32.self)
    case .u64: integers(UInt64.self)
    case .s64: integers(Int64.self)
    case .f32: each(Float.self, +)
    case .f64: each(Double.self, +)
    case .f16: halves({ Float(Float16(bitPattern: $0)) }, { Float16($0).bitPattern })
    case .bf16:
      halves(
        { Float(bitPattern: UInt32($0) << 16) },
        { value in
          if value.isNaN { return 0x7FFF }
          let bits = value.bitPattern
          return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16) & 1) >> 16)
        })
    }
  }
}
