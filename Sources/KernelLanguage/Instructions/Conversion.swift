// Conversions: between numbers, between bits and numbers, and of several narrow values into one register.
//
// PTX ISA 9.1, "cvt", "mov".

extension KernelBuilder {
  /// The number in another type: floats round to nearest (even), to integers towards zero; what does not fit saturates.
  public func convert<A: RegisterType, B: RegisterType>(_ a: Value<A>, to type: B.Type = B.self) -> Value<B> {
    if A.type == B.type { return a.seen(as: B.self) }
    let (from, to) = (A.type, B.type)
    let narrows = from.isFloat && to.isFloat && (to.size < from.size || (to.size == from.size && to != from))
    let rounding = from.isFloat && to.isInteger ? "rzi." : narrows || (from.isInteger && to.isFloat) ? "rn." : ""
    if from == .bf16, to != .f32 { return convert(convert(a, to: F32.self), to: type) }
    if to == .bf16, from != .f32 { return convert(convert(a, to: F32.self), to: type) }
    if from == .bf16 { return widened(a.seen(as: BF16.self)).seen(as: B.self) }
    return result(B.self, "cvt.\(rounding)\(to).\(from)", a.operand)
  }

  /// A bfloat16 is the upper half of a float: no target before sm_90 has a conversion.
  private func widened(_ a: Value<BF16>) -> Value<F32> {
    let zero = result(U16.self, "mov.b16", .integer(0))
    return result(F32.self, "mov.b32", .vector([zero.operand, a.operand]))
  }

  /// The rounding of a float to a whole number: `rni` (to even), `rzi`, `rmi` (down), `rpi` (up).
  public func rounded<T: FloatType>(_ a: Value<T>, _ rounding: String) -> Value<T> {
    result(T.self, "cvt.\(rounding).\(T.type).\(T.type)", a.operand)
  }

  /// The bits in a register of another class, of the same width.
  public func bits<A: RegisterType, B: RegisterType>(_ a: Value<A>, as type: B.Type = B.self) -> Value<B> {
    precondition(A.registers.bits == B.registers.bits, "\(A.type) and \(B.type) differ in width")
    if A.registers == B.registers { return a.seen(as: B.self) }
    return result(B.self, "mov.\(A.registers.bits)", a.operand)
  }

  // MARK: Pairs

  /// Two floats as a pair of halves, `low` in the lower one.
  public func pack(_ low: Value<F32>, _ high: Value<F32>, as type: BF16x2.Type) -> Value<BF16x2> {
    result(BF16x2.self, "cvt.rn.bf16x2.f32", inRegister(high).operand, inRegister(low).operand)
  }

  public func pack(_ low: Value<F32>, _ high: Value<F32>, as type: F16x2.Type) -> Value<F16x2> {
    result(F16x2.self, "cvt.rn.f16x2.f32", inRegister(high).operand, inRegister(low).operand)
  }

  /// Two registers of 16 bits as one.
  public func join<T: RegisterType, P: RegisterType>(_ low: Value<T>, _ high: Value<T>, as type: P.Type) -> Value<P> {
    precondition(T.registers == .b16 && P.registers == .b32, "two halves of 16 bits make one of 32")
    return result(P.self, "mov.b32", .vector([low.operand, high.operand]))
  }

  /// The two halves of a register of 32 bits.
  public func halves<P: RegisterType, T: RegisterType>(_ pair: Value<P>, as type: T.Type) -> (
    low: Value<T>, high: Value<T>
  ) {
    precondition(T.registers == .b16 && P.registers == .b32, "a register of 32 bits has two halves of 16")
    let (low, high) = (register(T.self), register(T.self))
    emit("mov.b32", .vector([low.operand, high.operand]), pair.operand)
    return (low, high)
  }

  /// A pair of halves as floats, exactly.
  public func unpack(_ pair: Value<BF16x2>) -> (low: Value<F32>, high: Value<F32>) {
    let bits = pair.seen(as: U32.self)
    return (self.bits(bits << 16, as: F32.self), self.bits(bits & 0xFFFF_0000, as: F32.self))
  }

  public func unpack(_ pair: Value<F16x2>) -> (low: Value<F32>, high: Value<F32>) {
    let (low, high) = halves(pair, as: F16.self)
    return (convert(low, to: F32.self), convert(high, to: F32.self))
  }

  /// Two registers of 32 bits as one of 64.
  public func join(_ low: Value<U32>, _ high: Value<U32>) -> Value<U64> {
    result(U64.self, "mov.b64", .vector([low.operand, high.operand]))
  }

  public func halves(_ value: Value<U64>) -> (low: Value<U32>, high: Value<U32>) {
    let (low, high) = (register(U32.self), register(U32.self))
    emit("mov.b64", .vector([low.operand, high.operand]), value.operand)
    return (low, high)
  }
}

extension PTXType {
  public var isFloat: Bool {
    switch self {
    case .f16, .f16x2, .bf16, .bf16x2, .f32, .f64: true
    default: false
    }
  }

  public var isInteger: Bool {
    switch self {
    case .u8, .u16, .u32, .u64, .s8, .s16, .s32, .s64: true
    default: false
    }
  }
}

extension PTXType: CustomStringConvertible {
  public var description: String { rawValue }
}
