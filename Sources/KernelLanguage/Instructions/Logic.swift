// Bits and predicates.
//
// PTX ISA 9.1, "Logic and shift instructions", "Comparison and selection instructions".

extension Value where T: BitsType {
  public static func & (a: Self, b: Self) -> Self { bitwise("and", a, b) }
  public static func | (a: Self, b: Self) -> Self { bitwise("or", a, b) }
  public static func ^ (a: Self, b: Self) -> Self { bitwise("xor", a, b) }
  public static prefix func ~ (a: Self) -> Self {
    builder(a.owner).result(T.self, "not.\(T.registers.bits)", a.operand)
  }

  private static func bitwise(_ name: String, _ a: Self, _ b: Self) -> Self {
    builder(a.owner, b.owner).result(T.self, "\(name).\(T.registers.bits)", a.operand, b.operand)
  }

  public static func &= (a: Self, b: Self) { a.assignBitwise("and", b) }
  public static func |= (a: Self, b: Self) { a.assignBitwise("or", b) }
  public static func ^= (a: Self, b: Self) { a.assignBitwise("xor", b) }

  private func assignBitwise(_ name: String, _ b: Self) {
    Self.builder(owner).emit("\(name).\(T.registers.bits)", operand, operand, b.operand)
  }
}

extension Value where T == Predicate {
  public static func .& (a: Self, b: Self) -> Self { a & b }
  public static func .| (a: Self, b: Self) -> Self { a | b }
  public static prefix func .! (a: Self) -> Self { ~a }
}

extension Value where T: NumberType {
  public static func .< (a: Self, b: Self) -> Value<Predicate> { compare("lt", a, b) }
  public static func .<= (a: Self, b: Self) -> Value<Predicate> { compare("le", a, b) }
  public static func .> (a: Self, b: Self) -> Value<Predicate> { compare("gt", a, b) }
  public static func .>= (a: Self, b: Self) -> Value<Predicate> { compare("ge", a, b) }
  public static func .== (a: Self, b: Self) -> Value<Predicate> { compare("eq", a, b) }
  /// Of floats: true if one is NaN, as in Swift.
  public static func .!= (a: Self, b: Self) -> Value<Predicate> { compare(T.type.isFloat ? "neu" : "ne", a, b) }

  private static func compare(_ name: String, _ a: Self, _ b: Self) -> Value<Predicate> {
    builder(a.owner, b.owner).result(Predicate.self, "setp.\(name).\(T.type)", a.operand, b.operand)
  }
}

extension KernelBuilder {
  public func isNaN<T: FloatType>(_ a: Value<T>) -> Value<Predicate> {
    result(Predicate.self, "setp.nan.\(T.type)", a.operand, a.operand)
  }

  /// A truth value that is known while the kernel is built.
  public func predicate(_ value: Bool) -> Value<Predicate> {
    result(Predicate.self, "setp.ne.u32", .integer(value ? 1 : 0), .integer(0))
  }

  /// Any function of three bits: bit `4a + 2b + c` of the table is its value.
  public func lop3(_ a: Value<U32>, _ b: Value<U32>, _ c: Value<U32>, table: Int) -> Value<U32> {
    result(U32.self, "lop3.b32", a.operand, b.operand, c.operand, .integer(Int64(table)))
  }

  /// Four bytes of the eight of a (0 to 3) and b (4 to 7), chosen by the hexadecimal digits of the selector.
  public func permuteBytes(_ a: Value<U32>, _ b: Value<U32>, _ selector: Value<U32>) -> Value<U32> {
    result(U32.self, "prmt.b32", a.operand, b.operand, selector.operand)
  }

  /// The lower 32 bits of high:low shifted right by `count`, at most 32.
  public func funnelShiftRight(_ low: Value<U32>, _ high: Value<U32>, _ count: Value<U32>) -> Value<U32> {
    result(U32.self, "shf.r.clamp.b32", low.operand, high.operand, count.operand)
  }

  /// `length` bits from bit `start` on.
  public func bitField<T: IntegerType>(_ a: Value<T>, from start: Value<U32>, length: Value<U32>) -> Value<T> {
    result(T.self, "bfe.\(T.type)", a.operand, start.operand, length.operand)
  }

  public func countOnes(_ a: Value<U32>) -> Value<U32> { result(U32.self, "popc.b32", a.operand) }
  public func leadingZeros(_ a: Value<U32>) -> Value<U32> { result(U32.self, "clz.b32", a.operand) }
  public func reverseBits(_ a: Value<U32>) -> Value<U32> { result(U32.self, "brev.b32", a.operand) }
}
