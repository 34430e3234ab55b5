// What decoders know while a kernel is loaded: names in scope, the register file as it grows, and the instruction's cost.
//
// For decoders: `source` gives a register for any operand that can be read (a register, a literal, `%tid.x`, the address of a
// variable), `destination` one to write to (a scratch register for `_`), `predicate`, `address` and `label` the rest. All throw
// `.unsupported` with what the instruction would take.

internal import KernelLanguage

/// State of decoding one kernel.
struct DecodingContext {
  enum Symbol {
    case register(Register)
    case shared(Int)
    case dynamicShared(Int)
    case local(Int)
    case param(Int)
    case module(String)
  }

  let chip: Chip
  let target: PTXTarget
  /// For steps that keep something on the device, such as tensor maps.
  unowned(unsafe) let gpu: EmulatedGPU
  /// Of the instruction that is decoded now.
  var cost = InstructionCost(unit: .integer)

  // What becomes of the kernel.
  var costs: [InstructionCost] = []
  private(set) var registerNames: [String] = []
  private(set) var fileBytes = 0
  private(set) var constantRegisters: [(register: Register, value: ConstantValue)] = []
  private var constants: [ConstantKey: Register] = [:]
  var parameters: [DecodedKernel.Parameter] = []
  var parameterBytes = 0
  var sharedBytes = Chip.reservedSharedBytes
  var dynamicSharedAlignment: Int?
  var localBytes = 0
  var moduleAddresses: [String: UInt64] = [:]

  // Names, the innermost scope last.
  var scopes: [[String: Symbol]] = [[:]]
  var labels: [[String: Int32]] = []

  private struct ConstantKey: Hashable {
    var width: Register.Width
    var value: ConstantValue
  }

  init(_ gpu: EmulatedGPU, target: PTXTarget) {
    (self.gpu, chip, self.target) = (gpu, gpu.chip, target)
  }

  // MARK: Registers

  /// A new register.
  mutating func makeRegister(_ type: PTXType, name: String) -> Register {
    let width = Register.Width(type)
    // 64 bytes for predicates, too: all stay aligned.
    let register = Register(
      offset: Int32(fileBytes), index: Int32(registerNames.count), width: width,
      bits: type == .pred ? 1 : UInt8(type.size * 8))
    fileBytes += max(width.stride, 64)
    registerNames.append(name)
    return register
  }

  private mutating func constant(_ value: ConstantValue, _ type: PTXType, name: String) -> Register {
    let key = ConstantKey(width: Register.Width(type), value: value)
    if let known = constants[key] { return known }
    let register = makeRegister(type, name: name)
    constants[key] = register
    constantRegisters.append((register, value))
    return register
  }

  /// A register with the same bits in all lanes.
  mutating func constant(_ bits: UInt64, _ type: PTXType) -> Register {
    let kept = type == .pred || type.size >= 8 ? bits : bits & (1 << UInt64(type.size * 8) - 1)
    return type == .pred
      ? constant(.predicate(bits != 0), type, name: "\(bits)") : constant(.bits(kept), type, name: "\(bits)")
  }

  func symbol(_ name: String) -> Symbol? {
    for scope in scopes.reversed() { if let symbol = scope[name] { return symbol } }
    return nil
  }

  // MARK: Operands

  /// A register to be read as `type`: of that many bits, or with `widerAllowed` more (loads, stores and conversions).
  mutating func source(
    _ operand: PTXOperand, _ type: PTXType, widerAllowed: Bool = false
  ) throws(EmulatorError) -> Register {
    switch operand {
    case .register(let name):
      if case .register(let register)? = symbol(name) {
        try require(register, name, type, widerAllowed: widerAllowed)
        return register
      }
      guard let special = SpecialRegister.type(of: name) else {
        throw unsupported("\(name) is not declared: .reg .\(type.rawValue) \(name);")
      }
      let register = constant(.special(name), special, name: name)
      try require(register, name, type, widerAllowed: true)
      return register
    case .integer(let value):
      if type == .f32 || type == .f64 { throw unsupported("a float is written as its bits, 0f… or 0d…, not \(value)") }
      return constant(UInt64(bitPattern: value), type)
    case .float32(let bits):
      if type == .f64 { return constant(Double(Float(bitPattern: bits)).bitPattern, type) }
      return constant(UInt64(bits), type)
    case .float64(let bits):
      if type == .f32 { return constant(UInt64(Float(Double(bitPattern: bits)).bitPattern), type) }
      return constant(bits, type)
    case .symbol(let name):
      let wide: PTXType = Register.Width(type) == .long ? .b64 : .b32
      switch symbol(name) {
      case .shared(let offset): return constant(.shared(offset), wide, name: name)
      case .dynamicShared(let alignment): return constant(.dynamicShared(alignment: alignment), wide, name: name)
      case .local(let offset), .param(let offset): return constant(.bits(UInt64(offset)), wide, name: name)
      case .module(let name): return constant(.module(name), wide, name: name)
      case .register(let register): return register
      case nil: throw unsupported("\(name) is not declared")
      }
    default: throw unsupported("\(operand) cannot be read as .\(type.rawValue)")
    }
  }

  /// A register to be written as `type`; `_` gives one that nobody reads.
  mutating func destination(
    _ operand: PTXOperand, _ type: PTXType, widerAllowed: Bool = false
  ) throws(EmulatorError) -> Register {
    switch operand {
    case .register(let name), .symbol(let name):
      guard case .register(let register)? = symbol(name) else {
        throw unsupported("\(name) is not a declared register: .reg .\(type.rawValue) \(name);")
      }
      try require(register, name, type, widerAllowed: widerAllowed)
      return register
    case .unused: return makeRegister(type, name: "_")
    default: throw unsupported("\(operand) cannot be written")
    }
  }

  /// A register of the kernel with the size of a type.
  private func require(
    _ register: Register, _ name: String, _ type: PTXType, widerAllowed: Bool
  ) throws(EmulatorError) {
    let bits = type == .pred ? 1 : UInt8(type.size * 8)
    guard register.bits != bits else { return }
    guard widerAllowed, register.bits > bits, bits > 1, register.bits < 128 else {
      throw unsupported("\(name) has \(register.bits) bits where .\(type.rawValue) is wanted")
    }
  }

  /// `%p`, `!%p`, or 0 and 1 where a predicate may be a literal.
  mutating func predicate(_ operand: PTXOperand) throws(EmulatorError) -> Predicate {
    if case .not(let inner) = operand { return Predicate(register: try source(inner, .pred), isNegated: true) }
    return Predicate(register: try source(operand, .pred), isNegated: false)
  }

  /// `[%r+16]`, `[variable]`: without coordinates.
  mutating func address(_ operand: PTXOperand) throws(EmulatorError) -> AddressOperand {
    guard case .address(let base, let offset, let coordinates) = operand, coordinates.isEmpty else {
      throw unsupported("\(operand) is no address: [%register+bytes]")
    }
    return try address(base, offset: offset)
  }

  /// The base of an address operand, for forms with coordinates.
  mutating func address(_ base: PTXOperand, offset: Int64) throws(EmulatorError) -> AddressOperand {
    if case .register(let name) = base, case .register(let register)? = symbol(name) {
      guard register.width == .word && register.bits == 32 || register.width == .long else {
        throw unsupported("\(name) has \(register.bits) bits; an address has 32 or 64")
      }
      return AddressOperand(base: register, offset: offset)
    }
    return AddressOperand(base: try source(base, .b64), offset: offset)
  }

  /// The instruction that a label stands before.
  func label(_ operand: PTXOperand) throws(EmulatorError) -> Int32 {
    guard case .symbol(let name) = operand else { throw unsupported("\(operand) is no label") }
    for scope in labels.reversed() { if let place = scope[name] { return place } }
    throw unsupported("there is no label \(name) in this scope")
  }

  /// The parts of `{%a, %b}`, or the operand itself.
  func parts(_ operand: PTXOperand) -> [PTXOperand] {
    if case .vector(let parts) = operand { return parts }
    return [operand]
  }

  // MARK: Errors

  func unsupported(_ problem: String) -> EmulatorError { EmulatorError(.unsupported, problem) }

  /// Throws unless the instruction has so many operands.
  func requireOperands(
    _ instruction: PTXInstruction, _ counts: ClosedRange<Int>
  ) throws(EmulatorError) {
    guard counts.contains(instruction.operands.count) else {
      let wanted = counts.count == 1 ? "\(counts.lowerBound)" : "\(counts.lowerBound) to \(counts.upperBound)"
      throw unsupported("\(instruction.name) takes \(wanted) operands, not \(instruction.operands.count)")
    }
  }
}
