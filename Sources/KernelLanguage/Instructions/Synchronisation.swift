// Barriers of a block and fences.
//
// PTX ISA 9.1, "bar", "membar/fence", "atom", "red".

extension KernelBuilder {
  /// Waits for all threads of the block.
  public func synchronise() { emit("bar.sync", .integer(0)) }

  /// Waits until `threads` threads have come to barrier `id`.
  ///
  /// - Parameters:
  ///   - id: 1 to 15; 0 is that of the whole block.
  ///   - threads: a multiple of 32.
  public func synchronise(_ id: Value<U32>, threads: Int) {
    emit("bar.sync", id.operand, .integer(Int64(threads)))
  }

  /// Comes to barrier `id` without waiting.
  public func arrive(_ id: Value<U32>, threads: Int) { emit("bar.arrive", id.operand, .integer(Int64(threads))) }

  /// Orders this thread's memory accesses for all threads of the GPU, or of the block or cluster.
  public func fence(_ scope: Scope) { emit("fence.acq_rel.\(scope.rawValue)") }

  /// Makes what was written with ordinary instructions visible to tensor copies and matrix instructions.
  public func fenceAsync(_ space: String? = "shared::cta") {
    emit("fence.proxy.async" + (space.map { ".\($0)" } ?? ""))
  }

  /// Who sees an ordering.
  public enum Scope: String, Sendable {
    case block = "cta"
    case cluster
    case gpu
    case system = "sys"
  }
}

extension Pointer {
  /// What an atomic operation does.
  public enum Atomic: String, Sendable {
    case add, min, max, and, or, xor
    case exchange = "exch"
  }

  private func suffix(_ operation: Atomic) -> String {
    let type = Element.Register.type
    switch operation {
    case .and, .or, .xor, .exchange: return "\(Element.Register.registers.bits)"
    case .add where type == .s64: return "u64"
    // PTX asks for it to be said that subnormal numbers are kept.
    case .add where [.f16, .bf16, .f16x2, .bf16x2].contains(type): return "noftz.\(type)"
    default: return "\(type)"
    }
  }

  /// Changes the element at once for all threads of the GPU.
  ///
  /// - Returns: what was there before.
  public func atomic(_ operation: Atomic, _ value: Value<Element.Register>) -> Value<Element.Register> {
    let builder = Value<Space.Address>.builder(base.owner)
    return builder.result(
      Element.Register.self, "atom.\(Space.name).\(operation.rawValue).\(suffix(operation))", operand, value.operand)
  }

  /// As `atomic`, when nobody wants what was there.
  public func reduce(_ operation: Atomic, _ value: Value<Element.Register>) {
    let builder = Value<Space.Address>.builder(base.owner)
    builder.emit("red.\(Space.name).\(operation.rawValue).\(suffix(operation))", operand, value.operand)
  }

  /// Writes `value` if `expected` is there.
  ///
  /// - Returns: what was there before.
  public func compareAndSwap(
    _ expected: Value<Element.Register>, _ value: Value<Element.Register>
  ) -> Value<Element.Register> {
    let builder = Value<Space.Address>.builder(base.owner)
    return builder.result(
      Element.Register.self, "atom.\(Space.name).cas.\(Element.Register.registers.bits)", operand, expected.operand,
      value.operand)
  }

  /// Reads with acquire order, for all threads of `scope`.
  public func loadAcquire(_ scope: KernelBuilder.Scope) -> Value<Element.Register> {
    let builder = Value<Space.Address>.builder(base.owner)
    return builder.result(
      Element.Register.self, "ld.acquire.\(scope.rawValue).\(Space.name).\(Element.memoryType)", operand)
  }

  /// Writes with release order, for all threads of `scope`.
  public func storeRelease(_ value: Value<Element.Register>, _ scope: KernelBuilder.Scope) {
    let builder = Value<Space.Address>.builder(base.owner)
    builder.emit("st.release.\(scope.rawValue).\(Space.name).\(Element.memoryType)", operand, value.operand)
  }
}
