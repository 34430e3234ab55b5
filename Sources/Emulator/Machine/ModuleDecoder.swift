// From a parsed module to kernels that run: variables get their places, names their registers, instructions their steps.
//
// Invariant: all that can be refused without running is refused here, with kernel and instruction.

internal import KernelLanguage

enum ModuleDecoder {
  static func decode(_ module: PTXModule, on gpu: EmulatedGPU) throws(EmulatorError) -> [String: DecodedKernel] {
    try requireTarget(module.target, on: gpu.chip)
    var addresses: [String: UInt64] = [:]
    for variable in module.variables where variable.space == .global || variable.space == .const {
      for name in variable.names { addresses[name] = try place(variable, name, on: gpu) }
    }
    var kernels: [String: DecodedKernel] = [:]
    for kernel in module.kernels {
      kernels[kernel.name] = try decode(kernel, of: module, moduleAddresses: addresses, on: gpu)
    }
    return kernels
  }

  /// `sm_90a` runs on that generation alone, `sm_80` on it and all later ones.
  private static func requireTarget(_ target: PTXTarget, on chip: Chip) throws(EmulatorError) {
    let digits = target.name.drop { !$0.isNumber }.prefix { $0.isNumber }
    let suffix = target.name.last.map { $0.isNumber ? "" : String($0) } ?? ""
    guard target.name.hasPrefix("sm_"), let number = Int(digits) else {
      throw EmulatorError(.unsupported, "\(target.name) is no target: use sm_80, sm_90a or sm_100a")
    }
    let own = chip.generation.rawValue
    guard suffix.isEmpty ? number <= own : number == own else {
      throw EmulatorError(
        .unsupported, "a module for \(target.name) does not run on the \(chip.name): print it for \(chip.target.name)")
    }
  }

  // MARK: Variables

  /// Elements of a variable, times the parts of a vector.
  private static func elements(_ variable: PTXVariable) -> Int { variable.dimensions.reduce(variable.vector, *) }

  /// A variable of the module in global memory, with its values or zeros.
  private static func place(
    _ variable: PTXVariable, _ name: String, on gpu: EmulatedGPU
  ) throws(EmulatorError) -> UInt64 {
    let count = elements(variable) * variable.type.size
    guard variable.linkage != .extern, count > 0, variable.values.count <= elements(variable) else {
      throw EmulatorError(.unsupported, "\(variable): a variable of a module has a size, and no more values than that")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    for (index, value) in variable.values.enumerated() {
      let bits: UInt64
      switch value {
      case .integer(let value): bits = UInt64(bitPattern: value)
      case .float32(let value): bits = UInt64(value)
      case .float64(let value): bits = value
      default: throw EmulatorError(.unsupported, "\(variable): its values must be numbers")
      }
      for byte in 0..<variable.type.size {
        bytes[index * variable.type.size + byte] = UInt8(truncatingIfNeeded: bits >> UInt64(8 * byte))
      }
    }
    let address = gpu.memory.allocate(count, name: name)
    gpu.memory.pointer(address, count)!.copyMemory(from: bytes, byteCount: count)
    gpu.observer?.hostAllocated(address, count)
    gpu.observer?.hostWrote(address, count)
    return address
  }

  private static func alignment(_ variable: PTXVariable) -> Int {
    variable.alignment ?? variable.type.size * variable.vector
  }

  private static func aligned(_ offset: Int, _ alignment: Int) -> Int {
    (offset + alignment - 1) / max(alignment, 1) * max(alignment, 1)
  }

  /// Puts a declared variable into the innermost scope.
  private static func declare(_ variable: PTXVariable, _ context: inout DecodingContext) throws(EmulatorError) {
    for name in variable.names {
      let symbol: DecodingContext.Symbol
      switch variable.space {
      case .reg:
        guard let count = variable.count else {
          symbol = .register(context.makeRegister(variable.type, name: name))
          break
        }
        for number in 0..<count {
          let full = "\(name)\(number)"
          context.scopes[context.scopes.count - 1][full] = .register(context.makeRegister(variable.type, name: full))
        }
        continue
      case .shared:
        if variable.linkage == .extern || variable.dimensions.first == 0 {
          symbol = .dynamicShared(max(alignment(variable), 1))
          context.dynamicSharedAlignment = max(context.dynamicSharedAlignment ?? 1, alignment(variable))
        } else {
          let offset = aligned(context.sharedBytes, alignment(variable))
          symbol = .shared(offset)
          context.sharedBytes = offset + elements(variable) * variable.type.size
        }
      case .local:
        let offset = aligned(context.localBytes, alignment(variable))
        symbol = .local(offset)
        context.localBytes = aligned(offset + elements(variable) * variable.type.size, 16)
      case .param: throw EmulatorError(.unsupported, "\(variable): parameters are declared in the head of a kernel")
      case .global, .const:
        throw EmulatorError(.unsupported, "\(variable): global and constant memory is declared in module scope")
      }
      context.scopes[context.scopes.count - 1][name] = symbol
    }
  }

  // MARK: Kernels

  private static func decode(
    _ kernel: PTXKernel, of module: PTXModule, moduleAddresses: [String: UInt64], on gpu: EmulatedGPU
  ) throws(EmulatorError) -> DecodedKernel {
    var context = DecodingContext(gpu, target: module.target)
    context.moduleAddresses = moduleAddresses
    do {
      for name in moduleAddresses.keys { context.scopes[0][name] = .module(name) }
      for variable in module.variables where variable.space == .shared { try declare(variable, &context) }
      for parameter in kernel.parameters {
        let offset = aligned(context.parameterBytes, alignment(parameter))
        let count = elements(parameter) * parameter.type.size
        context.parameters.append(.init(name: parameter.names[0], offset: offset, count: count))
        context.scopes[0][parameter.names[0]] = .param(offset)
        context.parameterBytes = offset + count
      }
      var body = Body()
      var place: Int32 = 0
      let labels = labels(kernel.body, &place)
      try body.decode(kernel.body, labels, &context)
      // The end of the text is an exit, too.
      let ret = PTXInstruction("ret")
      try body.append(ret, &context)
      return DecodedKernel(kernel, context: context, code: body.code, instructions: body.instructions)
    } catch {
      var error = error
      error.place = error.place ?? EmulatorError.Place(kernel: kernel.name)
      error.place?.kernel = kernel.name
      throw error
    }
  }

  /// Labels of a scope with the instructions behind them, and of the scopes in it, in order.
  private final class Labels {
    var places: [String: Int32] = [:]
    var inner: [Labels] = []
  }

  private static func labels(_ statements: [PTXStatement], _ place: inout Int32) -> Labels {
    let labels = Labels()
    for statement in statements {
      switch statement {
      case .label(let name): labels.places[name] = place
      case .instruction: place += 1
      case .block(let body): labels.inner.append(self.labels(body, &place))
      case .variable, .pragma: break
      }
    }
    return labels
  }

  private struct Body {
    var code: [DecodedKernel.Instruction] = []
    var instructions: [PTXInstruction] = []

    mutating func decode(
      _ statements: [PTXStatement], _ labels: Labels, _ context: inout DecodingContext
    ) throws(EmulatorError) {
      context.scopes.append([:])
      context.labels.append(labels.places)
      var inner = labels.inner[...]
      for statement in statements {
        switch statement {
        case .variable(let variable): try ModuleDecoder.declare(variable, &context)
        case .instruction(let instruction): try append(instruction, &context)
        case .block(let body): try decode(body, inner.removeFirst(), &context)
        case .label, .pragma: break
        }
      }
      context.scopes.removeLast()
      context.labels.removeLast()
    }

    mutating func append(_ instruction: PTXInstruction, _ context: inout DecodingContext) throws(EmulatorError) {
      do throws(EmulatorError) {
        guard let decoder = DecoderTable.decoder(of: instruction) else {
          throw EmulatorError(
            .unsupported, "the emulator does not know \(instruction.opcode): add a decoder to a family of instructions")
        }
        context.cost = InstructionCost(unit: .integer)
        var decoded = DecodedKernel.Instruction(
          step: try decoder(&context, instruction), guardOffset: -1, guardIndex: 0, guardIsNegated: false)
        if let condition = instruction.guard {
          let register = try context.source(.register(condition.predicate), .pred)
          (decoded.guardOffset, decoded.guardIndex) = (register.offset, register.index)
          decoded.guardIsNegated = condition.isNegated
        }
        context.costs.append(context.cost)
        code.append(decoded)
        instructions.append(instruction)
      } catch {
        var error = error
        error.place = EmulatorError.Place(
          kernel: "", index: instructions.count, instruction: instruction.description)
        throw error
      }
    }
  }
}
