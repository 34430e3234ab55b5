// Sums, products and their relatives. Floats round to nearest, each operation once: no instruction here leaves the assembler
// the choice to contract a product and a sum.
//
// PTX ISA 9.1, "Integer arithmetic instructions", "Floating point instructions".

extension Value where T: NumberType {
  private static var rounding: String { T.registers == .f32 || T.registers == .f64 ? "rn.\(T.type)" : "\(T.type)" }

  public static func + (a: Self, b: Self) -> Self { arithmetic("add.\(rounding)", a, b) { $0 &+ $1 } }
  public static func - (a: Self, b: Self) -> Self { arithmetic("sub.\(rounding)", a, b) { $0 &- $1 } }

  /// Of integers the lower half.
  public static func * (a: Self, b: Self) -> Self {
    if case .integer(1) = b.operand { return a }
    if case .integer(1) = a.operand { return b }
    return arithmetic(T.registers == .f32 || T.registers == .f64 ? "mul.\(rounding)" : "mul.lo.\(T.type)", a, b) {
      $0 &* $1
    }
  }

  /// Of integers towards zero.
  public static func / (a: Self, b: Self) -> Self {
    if case .integer(1) = b.operand { return a }
    return arithmetic("div.\(rounding)", a, b)
  }

  public static prefix func - (a: Self) -> Self { builder(a.owner).result(T.self, "neg.\(T.type)", a.operand) }

  public static func += (a: Self, b: Self) { update("add.\(rounding)", a, b) }
  public static func -= (a: Self, b: Self) { update("sub.\(rounding)", a, b) }
  public static func *= (a: Self, b: Self) {
    update(T.registers == .f32 || T.registers == .f64 ? "mul.\(rounding)" : "mul.lo.\(T.type)", a, b)
  }

  fileprivate static func update(_ name: String, _ a: Self, _ b: Self) {
    precondition(!a.isConstant, "a constant cannot be written")
    builder(a.owner).emit(name, a.operand, a.operand, b.operand)
  }

  /// Constants are computed while the kernel is built.
  fileprivate static func arithmetic(
    _ name: String, _ a: Self, _ b: Self, constant: ((Int64, Int64) -> Int64)? = nil
  ) -> Self {
    if case .integer(let x) = a.operand, case .integer(let y) = b.operand, let constant {
      return Self(.integer(constant(x, y)), nil)
    }
    return builder(a.owner, b.owner).result(T.self, name, a.operand, b.operand)
  }
}

extension Value where T: RegisterType {
  /// Writes the register again.
  public func assign(_ value: Self) {
    precondition(!isConstant, "a constant cannot be written")
    Self.builder(owner).move(self, value)
  }
}

extension Value where T: IntegerType {
  /// With the sign of the dividend.
  public static func % (a: Self, b: Self) -> Self {
    arithmetic("rem.\(T.type)", a, b)
  }

  /// Shifts of the type's width or more give 0, or the sign.
  public static func << (a: Self, count: Value<U32>) -> Self {
    builder(a.owner, count.owner).result(T.self, "shl.\(T.registers.bits)", a.operand, count.operand)
  }
  public static func >> (a: Self, count: Value<U32>) -> Self {
    builder(a.owner, count.owner).result(T.self, "shr.\(T.type)", a.operand, count.operand)
  }
}

extension KernelBuilder {
  public func minimum<T: NumberType>(_ a: Value<T>, _ b: Value<T>) -> Value<T> {
    result(T.self, "min.\(T.type)", a.operand, b.operand)
  }

  /// Of floats: NaN loses against a number.
  public func maximum<T: NumberType>(_ a: Value<T>, _ b: Value<T>) -> Value<T> {
    result(T.self, "max.\(T.type)", a.operand, b.operand)
  }

  /// NaN wins.
  public func minimumNaN(_ a: Value<F32>, _ b: Value<F32>) -> Value<F32> {
    result(F32.self, "min.NaN.f32", a.operand, b.operand)
  }

  /// NaN wins.
  public func maximumNaN(_ a: Value<F32>, _ b: Value<F32>) -> Value<F32> {
    result(F32.self, "max.NaN.f32", a.operand, b.operand)
  }

  public func absolute<T: NumberType>(_ a: Value<T>) -> Value<T> { result(T.self, "abs.\(T.type)", a.operand) }

  /// a · b + c, rounded once.
  public func fma<T: FloatType>(_ a: Value<T>, _ b: Value<T>, _ c: Value<T>) -> Value<T> {
    result(T.self, "fma.rn.\(T.type)", a.operand, b.operand, c.operand)
  }

  /// sum += a · b, rounded once.
  public func accumulate<T: FloatType>(_ sum: Value<T>, _ a: Value<T>, _ b: Value<T>) {
    emit("fma.rn.\(T.type)", sum.operand, a.operand, b.operand, sum.operand)
  }

  /// The lower half of a · b + c.
  public func multiplyAdd<T: IntegerType>(_ a: Value<T>, _ b: Value<T>, _ c: Value<T>) -> Value<T> {
    result(T.self, "mad.lo.\(T.type)", a.operand, b.operand, c.operand)
  }

  /// The upper half of a · b.
  public func multiplyHigh<T: IntegerType>(_ a: Value<T>, _ b: Value<T>) -> Value<T> {
    result(T.self, "mul.hi.\(T.type)", a.operand, b.operand)
  }

  /// All 64 bits of a · b.
  public func multiplyWide(_ a: Value<U32>, _ b: Value<U32>) -> Value<U64> {
    result(U64.self, "mul.wide.u32", a.operand, b.operand)
  }

  public func multiplyWide(_ a: Value<S32>, _ b: Value<S32>) -> Value<S64> {
    result(S64.self, "mul.wide.s32", a.operand, b.operand)
  }

  /// c + the products of the four bytes of a and b.
  public func dot4(_ a: Value<S32>, _ b: Value<S32>, _ c: Value<S32>) -> Value<S32> {
    result(S32.self, "dp4a.s32.s32", a.operand, b.operand, c.operand)
  }

  // MARK: Special functions

  public func squareRoot<T: FloatType>(_ a: Value<T>) -> Value<T> { result(T.self, "sqrt.rn.\(T.type)", a.operand) }
  public func reciprocal<T: FloatType>(_ a: Value<T>) -> Value<T> { result(T.self, "rcp.rn.\(T.type)", a.operand) }

  /// 2^a to within 2 units in the last place.
  public func exp2(_ a: Value<F32>) -> Value<F32> { result(F32.self, "ex2.approx.ftz.f32", a.operand) }
  /// The logarithm to base 2, to within 2^-22 absolutely or relatively.
  public func log2(_ a: Value<F32>) -> Value<F32> { result(F32.self, "lg2.approx.f32", a.operand) }
  /// To within 2^-22 relatively.
  public func reciprocalSquareRoot(_ a: Value<F32>) -> Value<F32> { result(F32.self, "rsqrt.approx.f32", a.operand) }
  /// To within 1 unit in the last place.
  public func reciprocalApproximate(_ a: Value<F32>) -> Value<F32> { result(F32.self, "rcp.approx.ftz.f32", a.operand) }
  /// To within 2^-11 relatively.
  public func tanhApproximate(_ a: Value<F32>) -> Value<F32> { result(F32.self, "tanh.approx.f32", a.operand) }
  /// To within 2^-20 absolutely for arguments of at most 2π.
  public func sineApproximate(_ a: Value<F32>) -> Value<F32> { result(F32.self, "sin.approx.f32", a.operand) }
  public func cosineApproximate(_ a: Value<F32>) -> Value<F32> { result(F32.self, "cos.approx.f32", a.operand) }
}

// MARK: - Pairs of halves

extension KernelBuilder {
  public func fma(_ a: Value<F16x2>, _ b: Value<F16x2>, _ c: Value<F16x2>) -> Value<F16x2> {
    result(F16x2.self, "fma.rn.f16x2", a.operand, b.operand, c.operand)
  }

  public func fma(_ a: Value<BF16x2>, _ b: Value<BF16x2>, _ c: Value<BF16x2>) -> Value<BF16x2> {
    result(BF16x2.self, "fma.rn.bf16x2", a.operand, b.operand, c.operand)
  }

  public func add(_ a: Value<F16x2>, _ b: Value<F16x2>) -> Value<F16x2> {
    result(F16x2.self, "add.rn.f16x2", a.operand, b.operand)
  }

  public func subtract(_ a: Value<F16x2>, _ b: Value<F16x2>) -> Value<F16x2> {
    result(F16x2.self, "sub.rn.f16x2", a.operand, b.operand)
  }

  public func multiply(_ a: Value<F16x2>, _ b: Value<F16x2>) -> Value<F16x2> {
    result(F16x2.self, "mul.rn.f16x2", a.operand, b.operand)
  }
}
