// Numbers whose class is chosen while a kernel is built, so that one text of Swift makes the kernels of all element types.
//
// Invariant: floats of 16 bits are kept in float32, integers of 8 bits and truth values in 32-bit integers that hold the value
// that their type would; whoever computes with them wraps the result (`wrapped`).

internal import KernelLanguage
internal import Tensors

/// What kernels compute in.
enum NumberClass: Hashable, Sendable { case f32, f64, s32, s64 }

/// A value of one of the classes.
enum Number {
  case f32(Value<F32>)
  case f64(Value<F64>)
  case s32(Value<S32>)
  case s64(Value<S64>)

  var numberClass: NumberClass {
    switch self {
    case .f32: .f32
    case .f64: .f64
    case .s32: .s32
    case .s64: .s64
    }
  }

  /// Writes the register again.
  func assign(_ value: Number) {
    switch (self, value) {
    case (.f32(let a), .f32(let b)): a.assign(b)
    case (.f64(let a), .f64(let b)): a.assign(b)
    case (.s32(let a), .s32(let b)): a.assign(b)
    case (.s64(let a), .s64(let b)): a.assign(b)
    default: preconditionFailure("\(numberClass) is assigned \(value.numberClass)")
    }
  }
}

extension ElementType {
  /// What the elements are computed in.
  var numberClass: NumberClass {
    switch self {
    case .float64: .f64
    case .float32, .bfloat16, .float16: .f32
    case .int64: .s64
    case .int8, .uint8, .int32, .bool: .s32
    }
  }
}

extension KernelBuilder {
  /// A constant.
  func number(_ scalar: Scalar, _ numberClass: NumberClass) -> Number {
    switch numberClass {
    case .f32: .f32(Value(scalar.double))
    case .f64: .f64(Value(scalar.double))
    case .s32: .s32(Value(Int(truncatingIfNeeded: Int32(truncatingIfNeeded: scalar.integer))))
    case .s64: .s64(Value(Int(scalar.integer)))
    }
  }

  /// A register that may be written again.
  func variable(_ number: Number) -> Number {
    switch number {
    case .f32(let value): .f32(variable(value))
    case .f64(let value): .f64(variable(value))
    case .s32(let value): .s32(variable(value))
    case .s64(let value): .s64(variable(value))
    }
  }

  func select(_ predicate: Value<Predicate>, _ a: Number, _ b: Number) -> Number {
    switch (a, b) {
    case (.f32(let a), .f32(let b)): .f32(select(predicate, a, b))
    case (.f64(let a), .f64(let b)): .f64(select(predicate, a, b))
    case (.s32(let a), .s32(let b)): .s32(select(predicate, a, b))
    case (.s64(let a), .s64(let b)): .s64(select(predicate, a, b))
    default: preconditionFailure("a choice between \(a.numberClass) and \(b.numberClass)")
    }
  }

  /// 1 or 0.
  func truth(_ predicate: Value<Predicate>) -> Number { .s32(select(predicate, Value(1), Value(0))) }

  /// The value of another lane.
  func shuffle(_ number: Number, _ kind: Shuffle, _ lane: Value<U32>) -> Number {
    func wide<T: RegisterType>(_ value: Value<T>) -> Value<U64> {
      let (low, high) = halves(bits(value, as: U64.self))
      return join(shuffle(low, kind, lane), shuffle(high, kind, lane))
    }
    return switch number {
    case .f32(let value): .f32(shuffle(value, kind, lane))
    case .s32(let value): .s32(shuffle(value, kind, lane))
    case .f64(let value): .f64(bits(wide(value), as: F64.self))
    case .s64(let value): .s64(bits(wide(value), as: S64.self))
    }
  }

  // MARK: Conversions

  /// As a 32-bit float, whatever it was.
  func float(_ number: Number) -> Value<F32> {
    guard case .f32(let value) = converted(number, to: .f32) else { preconditionFailure() }
    return value
  }

  /// From float to float, integer to float, integer to integer; the lower bits where integers do not fit.
  func converted(_ number: Number, to target: NumberClass) -> Number {
    func from<A: RegisterType>(_ value: Value<A>) -> Number {
      switch target {
      case .f32: .f32(convert(value, to: F32.self))
      case .f64: .f64(convert(value, to: F64.self))
      case .s32: .s32(convert(value, to: S32.self))
      case .s64: .s64(convert(value, to: S64.self))
      }
    }
    return switch number {
    case .f32(let value): from(value)
    case .f64(let value): from(value)
    case .s32(let value): from(value)
    case .s64(let value): from(value)
    }
  }

  /// As `Op.cast` does.
  func cast(_ number: Number, from: ElementType, to type: ElementType) -> Number {
    if type == .bool { return from == .bool ? number : truth(isNotZero(number)) }
    guard from.isFloat, !type.isFloat else {
      let result = converted(number, to: type.numberClass)
      return type.isFloat ? result : wrapped(result, type)
    }
    // By way of 64 bits, at which floats saturate; PTX does not say 0 of NaN there.
    let wide = select(isNaN(number), .s64(0), converted(number, to: .s64))
    return wrapped(converted(wide, to: type.numberClass), type)
  }

  /// An integer as its type holds it.
  func wrapped(_ number: Number, _ type: ElementType) -> Number {
    guard case .s32(let value) = number else { return number }
    switch type {
    case .int8: return .s32((value << 24) >> 24)
    case .uint8: return .s32(value & 0xFF)
    default: return number
    }
  }
}

// MARK: - Memory

/// Elements of a type in memory.
struct Elements<Space: MemorySpace> {
  let type: ElementType
  let pointer: Pointer<U8, Space>

  init(_ type: ElementType, _ pointer: Pointer<U8, Space>) { (self.type, self.pointer) = (type, pointer) }

  /// Those from `offset` on.
  func advanced<I: IntegerType>(_ offset: Value<I>) -> Elements {
    func moved<E: ElementOfMemory>(_ element: E.Type) -> Elements {
      Elements(type, (pointer.cast(to: element) + offset).cast(to: U8.self))
    }
    switch type.size {
    case 1: return moved(U8.self)
    case 2: return moved(U16.self)
    case 4: return moved(U32.self)
    default: return moved(U64.self)
    }
  }

  func load(_ k: KernelBuilder) -> Number {
    switch type {
    case .float64: .f64(pointer.cast(to: F64.self).load())
    case .float32: .f32(pointer.cast(to: F32.self).load())
    case .bfloat16: .f32(k.convert(pointer.cast(to: BF16.self).load()))
    case .float16: .f32(k.convert(pointer.cast(to: F16.self).load()))
    case .int8: .s32(pointer.cast(to: S8.self).load())
    case .uint8, .bool: .s32(pointer.load().seen(as: S32.self))
    case .int32: .s32(pointer.cast(to: S32.self).load())
    case .int64: .s64(pointer.cast(to: S64.self).load())
    }
  }

  func load<I: IntegerType>(_ k: KernelBuilder, at index: Value<I>) -> Number { advanced(index).load(k) }

  func store(_ k: KernelBuilder, _ number: Number) {
    switch (type, number) {
    case (.float64, .f64(let value)): pointer.cast(to: F64.self).store(value)
    case (.float32, .f32(let value)): pointer.cast(to: F32.self).store(value)
    case (.bfloat16, .f32(let value)): pointer.cast(to: BF16.self).store(k.convert(k.inRegister(value)))
    case (.float16, .f32(let value)): pointer.cast(to: F16.self).store(k.convert(k.inRegister(value)))
    case (.int8, .s32(let value)), (.uint8, .s32(let value)), (.bool, .s32(let value)):
      pointer.store(value.seen(as: U32.self))
    case (.int32, .s32(let value)): pointer.cast(to: S32.self).store(value)
    case (.int64, .s64(let value)): pointer.cast(to: S64.self).store(value)
    default: preconditionFailure("\(number.numberClass) is stored as \(type)")
    }
  }

  func store<I: IntegerType>(_ k: KernelBuilder, at index: Value<I>, _ number: Number) {
    advanced(index).store(k, number)
  }

  // MARK: Several at once

  /// `count` neighbours, 16 bytes at most; the address is a multiple of them all.
  func load(_ k: KernelBuilder, count: Int) -> [Number] {
    if count == 1 { return [load(k)] }
    switch type {
    case .float64: return pointer.cast(to: F64.self).load(count).map { .f64($0) }
    case .float32: return pointer.cast(to: F32.self).load(count).map { .f32($0) }
    case .int32: return pointer.cast(to: S32.self).load(count).map { .s32($0) }
    case .int64: return pointer.cast(to: S64.self).load(count).map { .s64($0) }
    case .bfloat16, .float16:
      return words(count / 2).flatMap { word -> [Number] in
        let pair =
          type == .bfloat16 ? k.unpack(word.seen(as: BF16x2.self)) : k.unpack(word.seen(as: F16x2.self))
        return [.f32(pair.low), .f32(pair.high)]
      }
    case .int8, .uint8, .bool:
      if count == 2 { return (0..<2).map { Elements(type, pointer.advanced($0)).load(k) } }
      return words(count / 4).flatMap { word in
        (0..<4).map { byte -> Number in
          let (start, length) = (Value<U32>(8 * byte), Value<U32>(8))
          if type == .int8 { return .s32(k.bitField(word.seen(as: S32.self), from: start, length: length)) }
          return .s32(k.bitField(word, from: start, length: length).seen(as: S32.self))
        }
      }
    }
  }

  private func words(_ count: Int) -> [Value<U32>] {
    let words = pointer.cast(to: U32.self)
    return count == 1 ? [words.load()] : words.load(count)
  }

  func store(_ k: KernelBuilder, _ numbers: [Number]) {
    if numbers.count == 1 { return store(k, numbers[0]) }
    switch type {
    case .float64: pointer.cast(to: F64.self).store(numbers.map { $0.float64 })
    case .float32: pointer.cast(to: F32.self).store(numbers.map { $0.float32 })
    case .int32: pointer.cast(to: S32.self).store(numbers.map { $0.int32 })
    case .int64: pointer.cast(to: S64.self).store(numbers.map { $0.int64 })
    case .bfloat16, .float16:
      let pairs = stride(from: 0, to: numbers.count, by: 2).map { place -> Value<U32> in
        let (low, high) = (numbers[place].float32, numbers[place + 1].float32)
        return type == .bfloat16
          ? k.pack(low, high, as: BF16x2.self).seen(as: U32.self)
          : k.pack(low, high, as: F16x2.self).seen(as: U32.self)
      }
      pointer.cast(to: U32.self).store(pairs)
    case .int8, .uint8, .bool:
      if numbers.count == 2 {
        for (place, number) in numbers.enumerated() { Elements(type, pointer.advanced(place)).store(k, number) }
        return
      }
      let words = stride(from: 0, to: numbers.count, by: 4).map { place -> Value<U32> in
        let bytes = numbers[place..<(place + 4)].map { k.inRegister($0.int32).seen(as: U32.self) }
        let low = k.permuteBytes(bytes[0], bytes[1], 0x0040)
        let high = k.permuteBytes(bytes[2], bytes[3], 0x0040)
        return k.permuteBytes(low, high, 0x5410)
      }
      pointer.cast(to: U32.self).store(words)
    }
  }
}

extension Number {
  var float32: Value<F32> {
    guard case .f32(let value) = self else { preconditionFailure("\(numberClass) is no float32") }
    return value
  }
  var float64: Value<F64> {
    guard case .f64(let value) = self else { preconditionFailure("\(numberClass) is no float64") }
    return value
  }
  var int32: Value<S32> {
    guard case .s32(let value) = self else { preconditionFailure("\(numberClass) is no int32") }
    return value
  }
  var int64: Value<S64> {
    guard case .s64(let value) = self else { preconditionFailure("\(numberClass) is no int64") }
    return value
  }
}
