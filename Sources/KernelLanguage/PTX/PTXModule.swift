// PTX, NVIDIA's assembly language for GPUs, as values: what the kernel language makes, the printer writes, the parser reads and the
// emulator runs.
//
// Invariant: `PTXModule(parsing: module.text) == module`, and printing what was parsed gives the same text again, but for spaces,
// comments and the way in which numbers are written.
//
// PTX ISA 9.1, https://docs.nvidia.com/cuda/parallel-thread-execution.

/// A module: kernels and the variables that they share.
public struct PTXModule: Hashable, Sendable {
  public var version: PTXVersion
  public var target: PTXTarget
  /// In module scope: tables of constants, shared memory whose size the launch decides.
  public var variables: [PTXVariable]
  public var kernels: [PTXKernel]

  public init(version: PTXVersion? = nil, target: PTXTarget, variables: [PTXVariable] = [], kernels: [PTXKernel]) {
    self.version = version ?? target.leastVersion
    self.target = target
    self.variables = variables
    self.kernels = kernels
  }
}

/// A version of the language. Drivers take all up to their own: 8.0 is CUDA 12.0, 9.0 is CUDA 13.0.
public struct PTXVersion: Hashable, Sendable, Comparable {
  public var major: Int
  public var minor: Int

  public init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

  public static func < (a: Self, b: Self) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
}

/// What a module is assembled for. Names that end in `a` run on that chip only, those that end in `f` on its family.
public struct PTXTarget: Hashable, Sendable {
  public var name: String

  public init(_ name: String) { self.name = name }

  /// A100: mma.sync, ldmatrix, cp.async.
  public static let sm80 = PTXTarget("sm_80")
  /// H100, H200: wgmma, bulk copies, mbarriers with transactions, clusters.
  public static let sm90a = PTXTarget("sm_90a")
  /// B200: tcgen05, tensor memory.
  public static let sm100a = PTXTarget("sm_100a")

  /// The lowest version with the target's instructions, which the most drivers take.
  public var leastVersion: PTXVersion {
    switch self {
    case .sm100a: PTXVersion(8, 6)
    default: PTXVersion(8, 0)
    }
  }
}

/// The type of a register or of an element in memory.
public enum PTXType: String, Hashable, Sendable, CaseIterable {
  case b8, b16, b32, b64, b128
  case u8, u16, u32, u64
  case s8, s16, s32, s64
  case f16, f16x2, bf16, bf16x2, f32, f64
  case pred

  /// Bytes in memory.
  ///
  /// - Precondition: not `pred`, which is in registers only.
  public var size: Int {
    switch self {
    case .b8, .u8, .s8: 1
    case .b16, .u16, .s16, .f16, .bf16: 2
    case .b32, .u32, .s32, .f32, .f16x2, .bf16x2: 4
    case .b64, .u64, .s64, .f64: 8
    case .b128: 16
    case .pred: preconditionFailure("predicates have no size")
    }
  }
}

/// Where a variable is.
public enum PTXSpace: String, Hashable, Sendable, CaseIterable {
  case reg, global, shared, const, local, param
}

/// A declared variable: registers, memory, or a parameter.
public struct PTXVariable: Hashable, Sendable {
  public enum Linkage: String, Hashable, Sendable, CaseIterable { case visible, extern, weak }

  public var linkage: Linkage?
  public var space: PTXSpace
  /// In bytes; nil: that of the type.
  public var alignment: Int?
  /// Elements of a vector: 2 or 4; 1: none.
  public var vector: Int
  public var type: PTXType
  /// Several have one declaration: `.reg .f32 %a, %b;`
  public var names: [String]
  /// `%r<8>` declares %r0 to %r7.
  public var count: Int?
  /// Elements along each axis; 0: as many as the launch brings (`[]`).
  public var dimensions: [Int]
  public var values: [PTXOperand]

  public init(
    _ space: PTXSpace, _ type: PTXType, _ names: [String], count: Int? = nil, dimensions: [Int] = [],
    alignment: Int? = nil, vector: Int = 1, linkage: Linkage? = nil, values: [PTXOperand] = []
  ) {
    (self.space, self.type, self.names, self.count, self.dimensions) = (space, type, names, count, dimensions)
    (self.alignment, self.vector, self.linkage, self.values) = (alignment, vector, linkage, values)
  }
}

/// A kernel: what a launch runs.
public struct PTXKernel: Hashable, Sendable {
  public var name: String
  public var isVisible: Bool
  public var parameters: [PTXVariable]
  /// What is promised of launches (`maxntid 384, 1, 1`), in order.
  public var directives: [PTXDirective]
  public var body: [PTXStatement]

  public init(
    _ name: String, isVisible: Bool = true, parameters: [PTXVariable], directives: [PTXDirective] = [],
    body: [PTXStatement]
  ) {
    (self.name, self.isVisible, self.parameters) = (name, isVisible, parameters)
    (self.directives, self.body) = (directives, body)
  }
}

/// A performance directive of a kernel.
public struct PTXDirective: Hashable, Sendable {
  public enum Name: String, Hashable, Sendable, CaseIterable {
    case maxntid, reqntid, minnctapersm, maxnctapersm, maxnreg, explicitcluster, reqnctapercluster, maxclusterrank
  }

  public var name: Name
  public var values: [Int]

  public init(_ name: Name, _ values: [Int] = []) { (self.name, self.values) = (name, values) }
}

/// A part of a kernel's body.
public indirect enum PTXStatement: Hashable, Sendable {
  case variable(PTXVariable)
  case label(String)
  case instruction(PTXInstruction)
  /// A scope of names.
  case block([PTXStatement])
  case pragma(String)
}

/// An instruction: `@%p ld.global.v4.f32 {%a, %b, %c, %d}, [%address+16];`
public struct PTXInstruction: Hashable, Sendable {
  /// Runs it only where a predicate holds, or where it does not.
  public struct Guard: Hashable, Sendable {
    public var predicate: String
    public var isNegated: Bool

    public init(_ predicate: String, isNegated: Bool = false) {
      (self.predicate, self.isNegated) = (predicate, isNegated)
    }
  }

  public var `guard`: Guard?
  /// `ld`
  public var opcode: String
  /// What stands behind the opcode: `global`, `v4`, `f32`; `shared::cta` is one.
  public var modifiers: [String]
  public var operands: [PTXOperand]

  public init(_ opcode: String, _ modifiers: [String] = [], _ operands: [PTXOperand] = [], guard: Guard? = nil) {
    (self.opcode, self.modifiers, self.operands, self.guard) = (opcode, modifiers, operands, `guard`)
  }

  /// `ld.global.v4.f32`
  public var name: String { ([opcode] + modifiers).joined(separator: ".") }
}

/// What an instruction works on.
public indirect enum PTXOperand: Hashable, Sendable {
  /// `%r1`, `%tid.x`
  case register(String)
  /// A label or a variable in memory.
  case symbol(String)
  /// A whole number, or the bits of one of 64 bits.
  case integer(Int64)
  /// The bits of a float: `0f3F800000`
  case float32(UInt32)
  case float64(UInt64)
  /// `[%r1+16]`, `[table]`, `[%map, {%x, %y}]`: a base, bytes behind it, and coordinates in a tensor.
  case address(PTXOperand, offset: Int64, coordinates: [PTXOperand])
  /// `{%a, %b}`
  case vector([PTXOperand])
  /// `%p|%q`: two results.
  case pair(PTXOperand, PTXOperand)
  /// `!%p`
  case not(PTXOperand)
  /// `_`: a result that nobody wants.
  case unused
}
