// The builder: collects the instructions of one kernel, gives out registers, labels, parameters and shared memory.
//
// Invariant: everything that it has emitted is PTX in the order of the calls; nothing is reordered, merged or dropped. The
// assembler of the driver allocates registers and schedules.

/// Builds a kernel: each call appends instructions.
public final class KernelBuilder {
  /// What the kernel is made for: kernels choose their instructions by it.
  public let target: PTXTarget
  private(set) var parameters: [PTXVariable] = []
  private(set) var body: [PTXStatement] = []
  private var counts: [RegisterClass: Int] = [:]
  private var labels = 0
  private var names: Set<String> = []
  /// In front of each instruction, inside of `only(if:)`.
  private var condition: PTXInstruction.Guard?
  var directives: [PTXDirective] = []
  var sharedBytes = 0
  var sharedAlignment = 16
  var variables: [PTXVariable] = []

  init(target: PTXTarget) { self.target = target }

  var owner: Owner { Owner(builder: self) }

  // MARK: Instructions

  /// Appends an instruction, whatever it is: the door to all that no function here is for.
  ///
  /// - Parameter name: with its modifiers, as in PTX text: `fma.rn.f32`.
  public func emit(_ name: String, _ operands: [PTXOperand]) {
    let parts = name.split(separator: ".").map(String.init)
    body.append(.instruction(PTXInstruction(parts[0], Array(parts.dropFirst()), operands, guard: condition)))
  }

  func emit(_ name: String, _ operands: PTXOperand...) { emit(name, operands) }

  /// A new register without a value.
  public func register<T: RegisterType>(_ type: T.Type = T.self) -> Value<T> {
    let number = counts[T.registers, default: 0]
    counts[T.registers] = number + 1
    return Value(.register("\(T.registers.prefix)\(number)"), owner)
  }

  /// An instruction with one result.
  func result<T: RegisterType>(_ type: T.Type = T.self, _ name: String, _ operands: PTXOperand...) -> Value<T> {
    let result = register(type)
    emit(name, [result.operand] + operands)
    return result
  }

  /// A register with a value that may be written again.
  public func variable<T: RegisterType>(_ value: Value<T>) -> Value<T> {
    let variable = register(T.self)
    move(variable, value)
    return variable
  }

  /// The value in a register, where an instruction takes no constant.
  public func inRegister<T: RegisterType>(_ value: Value<T>) -> Value<T> { value.isConstant ? variable(value) : value }

  func move<T: RegisterType>(_ result: Value<T>, _ value: Value<T>) {
    emit("mov.\(T.movedType)", result.operand, value.operand)
  }

  /// Runs the instructions of `body` in those threads only where the predicate holds, each behind a guard of its own. For a
  /// few instructions that should not cost a branch; no control flow inside.
  public func only(if predicate: Value<Predicate>, _ body: () -> Void) {
    precondition(condition == nil, "guards do not nest: combine the predicates with .&")
    guard case .register(let name) = predicate.operand else { preconditionFailure("a predicate is a register") }
    condition = PTXInstruction.Guard(name)
    body()
    condition = nil
  }

  // MARK: Labels

  func label() -> String {
    labels += 1
    return "L\(labels)"
  }

  func place(_ label: String) {
    precondition(condition == nil, "no control flow inside of only(if:)")
    body.append(.label(label))
  }

  func branch(_ label: String, if predicate: Value<Predicate>? = nil, isNegated: Bool = false) {
    precondition(condition == nil, "no control flow inside of only(if:)")
    let condition = predicate.map { predicate -> PTXInstruction.Guard in
      guard case .register(let name) = predicate.operand else { preconditionFailure("a predicate is a register") }
      return PTXInstruction.Guard(name, isNegated: isNegated)
    }
    body.append(.instruction(PTXInstruction("bra", [], [.symbol(label)], guard: condition)))
  }

  // MARK: Parameters

  /// Declares the next parameter, a number.
  public func parameter<T: RegisterType>(_ name: String, _ type: T.Type = T.self) -> Value<T> {
    declare(PTXVariable(.param, T.type, [name]))
    return result(type, "ld.param.\(T.type)", .address(.symbol(name), offset: 0, coordinates: []))
  }

  /// Declares the next parameter, a pointer to global memory.
  public func pointer<E: ElementOfMemory>(_ name: String, to element: E.Type = E.self) -> Pointer<E, Global> {
    declare(PTXVariable(.param, .u64, [name]))
    let address = result(U64.self, "ld.param.u64", .address(.symbol(name), offset: 0, coordinates: []))
    return Pointer(address)
  }

  /// Declares the next parameter, a tensor map.
  ///
  /// - Returns: its generic address, as tensor copies take it.
  public func tensorMap(_ name: String) -> Value<U64> {
    declare(PTXVariable(.param, .b8, [name], dimensions: [128], alignment: 64))
    let address = result(U64.self, "mov.b64", .symbol(name))
    return result(U64.self, "cvta.param.u64", address.operand)
  }

  private func declare(_ variable: PTXVariable) {
    precondition(names.insert(variable.names[0]).inserted, "two parameters are called '\(variable.names[0])'")
    parameters.append(variable)
  }

  // MARK: Shared memory

  /// Sets room in shared memory aside.
  ///
  /// - Parameter alignment: in bytes, a power of two.
  public func shared<E: ElementOfMemory>(
    _ element: E.Type = E.self, count: Int, alignment: Int? = nil
  ) -> Pointer<E, Shared> {
    let alignment = max(alignment ?? 16, E.memoryType.size)
    let offset = (sharedBytes + alignment - 1) / alignment * alignment
    sharedBytes = offset + count * E.memoryType.size
    sharedAlignment = max(sharedAlignment, alignment)
    return Pointer(result(U32.self, "mov.u32", .symbol(Kernel.sharedName)), offset: offset)
  }

  // MARK: The end

  /// Declarations of the registers that were given out.
  var registers: [PTXStatement] {
    RegisterClass.allCases.compactMap { registers in
      counts[registers].map { count in
        .variable(PTXVariable(.reg, PTXType(rawValue: registers.rawValue)!, [registers.prefix], count: count))
      }
    }
  }
}
