import Support
import Tensors
import Testing

@Suite struct OpCaseTests {
  @Test(arguments: OpFamily.allCases) func `Every operation has cases, and the reference computes them`(
    family: OpFamily
  )
    throws
  {
    var made = 0
    for (index, element) in ElementType.allCases.enumerated() {
      var random = RandomCase("reference \(family)", index)
      for opCase in family.cases(element, &random) {
        made += 1
        #expect(OpFamily(opCase.op) == family)
        let results = try opCase.results(on: ReferenceBackend())
        let expected = opCase.op.resultTypes(opCase.inputs.map(\.type))
        #expect(results.map(\.type) == expected, "\(opCase) \(random)")
      }
    }
    #expect(made > 0)
  }
}
