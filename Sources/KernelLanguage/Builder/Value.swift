// Values: the registers and constants that a kernel computes with.
//
// Invariant: a value belongs to the kernel that is being built, and operators on it append instructions there; a constant
// belongs to none and becomes an immediate operand. Each result has a register of its own, which only `assign` and the
// operators that end in `=` write again.

/// A register of one thread, or a constant.
public struct Value<T: RegisterType>: Sendable {
  /// As it stands in instructions.
  public let operand: PTXOperand
  /// Where instructions on it go; nil for constants.
  let owner: Owner?

  init(_ operand: PTXOperand, _ owner: Owner?) { (self.operand, self.owner) = (operand, owner) }

  /// The same bits as another type of the same class of registers; no instruction.
  public func seen<Other: RegisterType>(as other: Other.Type) -> Value<Other> {
    precondition(T.registers == Other.registers, "\(T.type) and \(Other.type) have different registers: use bits(as:)")
    return Value<Other>(operand, owner)
  }

  /// Whether it is known while the kernel is built.
  var isConstant: Bool {
    switch operand {
    case .integer, .float32, .float64: true
    default: false
    }
  }

  /// The builder behind any of the operands.
  static func builder(_ owners: Owner?...) -> KernelBuilder {
    guard let owner = owners.lazy.compactMap({ $0 }).first else {
      preconditionFailure("an operation on constants only: compute it in Swift")
    }
    return owner.builder
  }
}

/// Lets values be passed around freely: the builder they point to is used by one thread only, the one that builds.
struct Owner: @unchecked Sendable {
  unowned let builder: KernelBuilder
}

extension Value: ExpressibleByIntegerLiteral where T: NumberType {
  public init(integerLiteral value: Int64) { self.init(T.literal(Double(value)), nil) }
}

extension Value: ExpressibleByFloatLiteral where T: FloatType {
  public init(floatLiteral value: Double) { self.init(T.literal(value), nil) }
}

extension Value where T: IntegerType {
  /// A constant.
  public init(_ number: Int) { self.init(T.literal(Int64(number)), nil) }

  /// The number, where it is known while the kernel is built.
  public var constant: Int? {
    guard case .integer(let value) = operand else { return nil }
    return Int(value)
  }
}

extension Value where T: FloatType {
  /// A constant.
  public init(_ number: Double) { self.init(T.literal(number), nil) }
}
