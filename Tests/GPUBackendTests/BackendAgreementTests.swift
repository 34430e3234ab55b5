import Emulator
import GPUBackend
import Support
import Tensors
import Testing

/// The GPU backend on the emulator against the reference interpreter.
@Suite(.ownThreads) struct BackendAgreementTests {
  @Test(arguments: OpFamily.allCases) func `Every operation computes what the reference does`(family: OpFamily) throws {
    let backend = GPUBackend(EmulatedDevice())
    for (index, element) in ElementType.allCases.enumerated() {
      var random = RandomCase("gpu \(family)", index)
      for opCase in family.cases(element, &random) {
        let expected = try opCase.results(on: ReferenceBackend())
        let actual = try opCase.results(on: backend)
        for (place, (a, e)) in zip(actual, expected).enumerated() {
          expectClose(a, e, tolerance: opCase.tolerance, floor: 0.5, "result \(place) of \(opCase) \(random)")
        }
      }
    }
  }
}
