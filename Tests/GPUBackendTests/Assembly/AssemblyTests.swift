// Every kernel that the backend makes is taken by NVIDIA's assembler, for every target, without spills and without matrix
// instructions that wait for each other. Where ptxas is not installed this says so and checks nothing; `.ci/run` installs it.

internal import FoundationEssentials
internal import GPUBackend
internal import KernelLanguage
internal import Support
internal import Tensors
internal import Testing

@Suite(.ownThreads) struct AssemblyTests {
  private static let assembler = OfflineAssembler.find()
  /// `TACHORNIS_ASSEMBLE=all` takes minutes.
  private static let isComplete = ProcessInfo.processInfo.environment["TACHORNIS_ASSEMBLE"] == "all"

  @Test(arguments: [PTXTarget.sm80, .sm90a, .sm100a], OpFamily.allCases)
  func kernelsAreTakenByTheAssembler(target: PTXTarget, family: OpFamily) throws {
    guard let assembler = Self.assembler else {
      print("notice: ptxas is not installed, so no kernel was assembled; TACHORNIS_PTXAS names it")
      return
    }
    let device = AssemblyDevice(target)
    let backend = GPUBackend(device)
    for (index, element) in ElementType.allCases.enumerated() {
      var random = RandomCase("assembly \(target.name) \(family)", index)
      for opCase in family.cases(element, &random) { _ = try backend.compile(opCase.program) }
    }
    // Kernels of one text differ in their names only where they are different.
    var random = RandomCase("assembly \(target.name) \(family)", 100)
    let modules = Self.isComplete ? device.modules : Array(random.shuffled(device.modules).prefix(3))
    for module in modules {
      for kernel in try assembler.assemble(module) {
        #expect(kernel.complaints == [], "\(kernel.name) of \(family) for \(target.name) \(random)")
      }
    }
  }

  @Test func refusalsComeWithTheAssemblersMessage() throws {
    guard let assembler = Self.assembler else { return }
    let wrong = Kernel("wrong", target: .sm80) { k in k.emit("setmaxnreg.dec.sync.aligned.u32", [.integer(24)]) }
    let error = #expect(throws: GPUError.self) { try assembler.assemble(wrong.module) }
    #expect(error?.message.contains("setmaxnreg") == true)
    let missing = OfflineAssembler(path: "/nowhere/ptxas")
    let other = #expect(throws: GPUError.self) { try missing.assemble(wrong.module) }
    #expect(other?.message.contains("TACHORNIS_PTXAS") == true)
  }

  @Test func spillsAndRegistersAreRead() throws {
    guard let assembler = Self.assembler else { return }
    let hungry = Kernel("hungry", target: .sm80, threads: 1024) { k in
      let p = k.pointer("p", to: F32.self)
      let values = (0..<200).map { p[$0] }
      k.synchronise()
      let sums = values.indices.map { values[$0] * values[199 - $0] }
      for index in sums.indices { p[index] = sums[index] + sums[(index * 7) % 200] }
    }
    let report = try assembler.assemble(hungry.module)
    #expect(report.map(\.name) == ["hungry"])
    #expect(report[0].registers == 64)
    #expect(report[0].spillBytes > 0)
    #expect(report[0].complaints.contains { $0.contains("spill") })
  }
}
