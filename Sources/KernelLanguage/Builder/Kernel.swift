// A kernel: a function of Swift that is run once to build it, and what a launch must know of it.

/// A function that a GPU runs in many threads.
///
///     let add = Kernel("add", target: .sm80) { k in
///       let a = k.pointer("a", to: F32.self), b = k.pointer("b", to: F32.self), c = k.pointer("c", to: F32.self)
///       let n = k.parameter("n", U32.self)
///       let i = k.globalThread
///       k.when(i .< n) { c[i] = a[i] + b[i] }
///     }
public struct Kernel: Hashable, Sendable {
  public let target: PTXTarget
  public let ptx: PTXKernel
  /// Shared memory that a launch must bring, in bytes.
  public let sharedBytes: Int
  private let sharedAlignment: Int
  private let variables: [PTXVariable]

  /// The variable that shared memory begins at.
  static let sharedName = "sharedMemory"

  /// - Parameters:
  ///   - threads: of a block, where it is fixed: the assembler then knows how many registers a thread can have.
  ///   - blocks: that a multiprocessor should hold at once at least.
  ///   - cluster: blocks of a cluster, where it is fixed.
  ///   - build: declares the parameters, in order, and emits the instructions.
  public init(
    _ name: String, target: PTXTarget, threads: Int? = nil, blocks: Int? = nil, cluster: Extent? = nil,
    _ build: (KernelBuilder) -> Void
  ) {
    let builder = KernelBuilder(target: target)
    if let threads { builder.directives.append(PTXDirective(.maxntid, [threads, 1, 1])) }
    if let blocks { builder.directives.append(PTXDirective(.minnctapersm, [blocks])) }
    if let cluster { builder.directives.append(PTXDirective(.reqnctapercluster, [cluster.x, cluster.y, cluster.z])) }
    build(builder)
    builder.emit("ret")
    self.target = target
    ptx = PTXKernel(
      name, parameters: builder.parameters, directives: builder.directives, body: builder.registers + builder.body)
    sharedBytes = builder.sharedBytes
    sharedAlignment = builder.sharedAlignment
    variables = builder.variables
  }

  public var name: String { ptx.name }

  /// The kernel in a module of its own.
  public var module: PTXModule { PTXModule([self]) }

  /// What stands in front of the kernel in its module.
  fileprivate var moduleVariables: [PTXVariable] {
    let shared = PTXVariable(
      .shared, .b8, [Kernel.sharedName], dimensions: [0], alignment: sharedAlignment, linkage: .extern)
    return variables + (sharedBytes > 0 ? [shared] : [])
  }
}

extension PTXModule {
  /// A module of kernels for one target.
  public init(_ kernels: [Kernel]) {
    precondition(Set(kernels.map(\.target)).count == 1, "the kernels of a module are for one target")
    var variables: [PTXVariable] = []
    for variable in kernels.flatMap(\.moduleVariables) {
      if let index = variables.firstIndex(where: { $0.names == variable.names }) {
        variables[index].alignment = max(variables[index].alignment ?? 1, variable.alignment ?? 1)
      } else {
        variables.append(variable)
      }
    }
    self.init(target: kernels[0].target, variables: variables, kernels: kernels.map(\.ptx))
  }
}
