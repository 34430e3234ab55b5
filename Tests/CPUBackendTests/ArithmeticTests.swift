// What a backend says that its results depend on.

import CKernels
import CPUBackend
import Testing

@Suite struct ArithmeticTests {
  /// Whatever kernels are chosen by: machines that differ in it round in other ways, and must not share keys and values.
  @Test func everyChoiceOfKernelsHasItsName() {
    var names: Set<String> = []
    var count = 0
    for set in CPUBackend.InstructionSet.allCases {
      for bits in 0..<16 {
        let context = ck_context(
          pool: nil, isa: ck_isa(UInt32(set.rawValue)), bf16: bits & 1 > 0, vnni: bits & 2 > 0, vbmi: bits & 4 > 0,
          row_invariant: bits & 8 > 0)
        names.insert(CPUBackend.arithmetic(of: context))
        count += 1
      }
    }
    #expect(names.count == count)
  }

  @Test func namesAreOfThisMachineAndNotOfThreads() {
    let alone = CPUBackend(threads: 1, rowInvariant: true)
    #expect(alone.arithmetic == CPUBackend(threads: 3, rowInvariant: true).arithmetic)
    #expect(alone.arithmetic != CPUBackend(threads: 1).arithmetic)
    for (has, name) in [(ck_has_bf16(), "bf16"), (ck_has_vnni(), "vnni"), (ck_has_vbmi(), "vbmi")] {
      #expect(alone.arithmetic.contains(", \(name)") == has)
    }
  }
}
