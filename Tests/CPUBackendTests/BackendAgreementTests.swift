import CPUBackend
import Support
import Tensors
import Testing

/// The CPU backend against the reference interpreter, for all that this machine's instruction sets can run.
@Suite struct BackendAgreementTests {
  private static func backends(_ threads: Int = 2) -> [CPUBackend] {
    CPUBackend.InstructionSet.available.map { CPUBackend(threads: threads, instructionSet: $0, spins: 100) }
  }

  @Test(arguments: OpFamily.allCases) func `Every operation computes what the reference does`(family: OpFamily) throws {
    let backends = Self.backends()
    for (index, element) in ElementType.allCases.enumerated() {
      for round in 0..<3 {
        var random = RandomCase("cpu \(family)", 10 * index + round)
        for opCase in family.cases(element, &random) {
          let expected = try opCase.results(on: ReferenceBackend())
          for backend in backends {
            let actual = try opCase.results(on: backend)
            for (place, (a, e)) in zip(actual, expected).enumerated() {
              expectClose(
                a, e, tolerance: opCase.tolerance, floor: 0.5,
                "result \(place) of \(opCase) on \(backend.name) \(random)")
            }
          }
        }
      }
    }
  }

  @Test(arguments: 0..<16) func `Whole graphs after all passes compute what the reference does without`(index: Int)
    throws
  {
    var random = RandomCase("cpu graphs", index)
    let element = random.choice([ElementType.float32, .float32, .float64, .bfloat16])
    // Long chains of bfloat16 amplify their last bits until nothing can be compared.
    let operations = element == .bfloat16 ? 12 : 30
    let graph = RandomGraph(&random, element: element, operations: operations, rows: random.extent(least: 1))
    let plain = graph.program(Program.Options(simplifies: false, rematerialises: false, fuses: false))
    let expected = try ReferenceBackend().compile(plain).run(graph.data)
    // Roundings add up along the graph and its gradients; a float64 graph has some steps in float32.
    let tolerance = [ElementType.float64: 1e-5, .float32: 2e-3, .bfloat16: 0.5][element]!
    // Where values of the size of 1 cancel, one side may be 0 and the other their last bit, 2^-8 in bfloat16.
    let floor = element == .bfloat16 ? 0x1p-6 : 1e-3
    for backend in Self.backends() {
      let executable = try backend.compile(graph.program())
      for run in 0..<2 {
        let actual = try executable.run(graph.data)
        for (place, (a, e)) in zip(actual, expected).enumerated() {
          expectClose(
            a, e, tolerance: tolerance, floor: floor,
            "output \(place) of run \(run) on \(backend.name) \(element) \(random)")
        }
      }
    }
  }

  @Test(arguments: [ElementType.float32, .bfloat16]) func `Results have the same bits for any number of threads`(
    element: ElementType
  ) throws {
    var random = RandomCase("cpu threads \(element)")
    let graph = RandomGraph(&random, element: element, operations: 60, rows: 301, width: 96)
    for instructionSet in CPUBackend.InstructionSet.available {
      let results = try [1, 2, 3].map { threads in
        let backend = CPUBackend(threads: threads, instructionSet: instructionSet, spins: 100)
        return try backend.compile(graph.program()).run(graph.data).map { $0.copy() }
      }
      for other in results.dropFirst() {
        for (place, (a, b)) in zip(results[0], other).enumerated() {
          #expect(a.bytes.elementsEqual(b.bytes), "output \(place) on \(instructionSet) \(random)")
        }
      }
    }
  }

  @Test(arguments: OpFamily.allCases) func `Operations have the same bits for any number of threads`(family: OpFamily)
    throws
  {
    let backends = [1, 2, 3].map { CPUBackend(threads: $0, spins: 100) }
    for (index, element) in ElementType.allCases.enumerated() {
      var random = RandomCase("cpu threads \(family)", index)
      for opCase in family.cases(element, &random) {
        let results = try backends.map { try opCase.results(on: $0) }
        for other in results.dropFirst() {
          for (a, b) in zip(results[0], other) {
            #expect(a.bytes.elementsEqual(b.bytes), "\(opCase) \(random)")
          }
        }
      }
    }
  }

  @Test(arguments: 0..<6) func `A program of varying extent is run with any extent up to its own`(index: Int) throws {
    var random = RandomCase("cpu extent", index)
    let graph = RandomGraph(&random, rows: 19, varies: true)
    let executable = try CPUBackend(threads: 2, spins: 100).compile(graph.program())
    let reference = try ReferenceBackend().compile(
      graph.program(Program.Options(simplifies: false, rematerialises: false, fuses: false)))
    for extent in [19, 1, 7, 0, 19] {
      let data = zip(graph.inputs, graph.data).map { $0.shape.varies ? $1.prefix(rows: extent) : $1 }
      let actual = try executable.run(data, extent: extent)
      let expected = try reference.run(data, extent: extent)
      for (place, (a, e)) in zip(actual, expected).enumerated() {
        expectClose(a, e, tolerance: 2e-3, floor: 1e-3, "output \(place) at extent \(extent) \(random)")
      }
    }
  }

  @Test func `Donated inputs are updated in place and can change places`() throws {
    let a = Tensor.input("a", TensorType(.float32, [70]))
    let b = Tensor.input("b", TensorType(.float32, [70]))
    var random = RandomCase("cpu donation")
    let given = (0..<2).map { _ in random.data(.float32, [70]) }
    let programs = [
      Program(inputs: [a, b], outputs: [b, a], donating: [0: 0, 1: 1]),
      Program(inputs: [a, b], outputs: [a - b, a * 10, b], donating: [0: 0]),
      Program(inputs: [a, b], outputs: [b.exp(), a.tanh()], donating: [0: 0]),
      Program(inputs: [a, b], outputs: [a + b, a - b], donating: [0: 1, 1: 0]),
    ]
    for program in programs {
      let (x, y) = (given.map { $0.copy() }, given.map { $0.copy() })
      let actual = try CPUBackend(threads: 2, spins: 100).compile(program).run(x)
      let expected = try ReferenceBackend().compile(program).run(y)
      for (output, input) in program.donations { #expect(actual[output] === x[input]) }
      for (p, q) in zip(actual + x, expected + y) { expectClose(p, q, "\(program) \(random)") }
    }
  }

  @Test func `An input that is an output too keeps its extent`() throws {
    let x = Tensor.input("x", TensorType(.float32, Shape([1000, 8], varies: true)))
    let program = Program(inputs: [x], outputs: [x, x + 1], donating: [1: 0])
    var random = RandomCase("cpu donated extent")
    let data = random.data(.float32, [3, 8])
    let copy = data.copy()
    let actual = try CPUBackend(threads: 1).compile(program).run([data], extent: 3)
    #expect(actual[0].shape.dimensions == [3, 8])
    expectClose(actual[0], copy)
  }

  @Test func `A view of a constant is read where the constant is`() throws {
    let values = (0..<6000).map { Float($0) }
    let (whole, row) = try DefaultBackend.with(CPUBackend(threads: 1, spins: 100)) {
      let table = Tensor(values).reshaped(100, 60)
      return (try table.floats(), try (table.gathered(Tensor([7] as [Int32])) + 1).floats())
    }
    #expect(whole == values)
    let expected = values[420..<480].map { $0 + 1 }
    #expect(row == expected)
  }
}
