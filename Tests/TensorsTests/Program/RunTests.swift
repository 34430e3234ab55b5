import CPUBackend
import Support
import Tensors
import Testing

@Suite struct RunTests {
  @Test(arguments: 0..<6) func `A varying extent needs no new plan`(index: Int) throws {
    var random = RandomCase("varying extent", index)
    let most = 9
    let graph = RandomGraph(&random, rows: most, varies: true)
    let executable = try ReferenceBackend().compile(graph.program())
    for extent in [most, 1, 4, 0] {
      let data = graph.data.enumerated().map { position, data in
        graph.inputs[position].shape.varies ? data.prefix(rows: extent) : data
      }
      let results = try executable.run(data, extent: extent)
      // Nothing flows between rows, so the first rows are what they are with all rows.
      let all = try executable.run(graph.data, extent: most)
      for (result, whole) in zip(results, all).prefix(1) {
        expectClose(result, whole.prefix(rows: extent), "extent \(extent) \(random)")
      }
    }
  }

  @Test func `A constant of varying shape is counted at the extent of the run`() throws {
    let shape = Shape([8, 2], varies: true)
    let x = Tensor.input("x", TensorType(.float32, shape))
    let mean = x.sum([0]) / Tensor.ones(shape).sum([0])
    for backend in [ReferenceBackend(), CPUBackend(threads: 1)] as [any Backend] {
      let executable = try backend.compile(Program(inputs: [x], outputs: [mean]))
      for extent in [8, 3, 1] {
        let data = TensorData([Float](repeating: 5, count: extent * 2), shape: [extent, 2])
        #expect(try executable.run([data], extent: extent)[0].doubles == [5, 5], "\(backend.name), \(extent)")
      }
    }
  }

  @Test func `Donated inputs are written in place, and only after everything has read them`() throws {
    let p = Tensor.input("p", TensorType(.float32, [2]))
    let g = Tensor.input("g", TensorType(.float32, [2]))
    let program = Program(inputs: [p, g], outputs: [p - g, p * 10, g], donating: [0: 0])
    let (parameter, gradient) = (TensorData([5.0, 7.0], shape: [2]), TensorData([1.0, 2.0], shape: [2]))
    let results = try ReferenceBackend().compile(program).run([parameter, gradient])
    #expect(results[0] === parameter)
    #expect(parameter.doubles == [4, 5])
    #expect(results[1].doubles == [50, 70])
    #expect(gradient.doubles == [1, 2])
    #expect(PlanCheck.violations(in: program) == [])
  }

  @Test func `Two donated inputs can change places`() throws {
    let a = Tensor.input("a", TensorType(.float32, [2]))
    let b = Tensor.input("b", TensorType(.float32, [2]))
    let program = Program(inputs: [a, b], outputs: [b, a], donating: [0: 0, 1: 1])
    let (x, y) = (TensorData([1.0, 2.0], shape: [2]), TensorData([3.0, 4.0], shape: [2]))
    _ = try ReferenceBackend().compile(program).run([x, y])
    #expect(x.doubles == [3, 4] && y.doubles == [1, 2])
    #expect(PlanCheck.violations(in: program) == [])
  }

  @Test func `An output computed in a donated input's place is not lost`() {
    let p = Tensor.input("p", TensorType(.float32, [64]))
    let g = Tensor.input("g", TensorType(.float32, [64]))
    let program = Program(inputs: [p, g], outputs: [g.exp(), p.tanh()], donating: [0: 0])
    #expect(PlanCheck.violations(in: program) == [], "\(program)")
  }

  @Test func `A row is written into a donated cache in place`() throws {
    let cache = Tensor.input("cache", TensorType(.float32, [1, 64, 2]))
    let row = Tensor.input("row", TensorType(.float32, [1, 1, 2]))
    let index = Tensor.input("index", TensorType(.int32, []))
    let updated = cache.updated(row * 2, at: index, axis: 1)
    let program = Program(inputs: [cache, row, index], outputs: [updated.sum(), updated], donating: [1: 0])
    #expect(program.plan.copies.isEmpty && PlanCheck.violations(in: program) == [], "\(program)")
    #expect(program.plan.places[program.outputs[1]] == .input(0))
    // Without donation the input stays what it was.
    let other = Program(inputs: [cache, row, index], outputs: [updated])
    let values = TensorData(cache.type)
    let given = [values, TensorData([1.0, 2.0], shape: [1, 1, 2]), TensorData([3 as Int32], shape: [])]
    let results = try ReferenceBackend().compile(other).run(given)
    #expect(results[0].doubles[6...7] == [2, 4] && values.doubles.allSatisfy { $0 == 0 })
  }

  @Test func `Every instruction's results can be inspected`() throws {
    let x = Tensor.input("x", TensorType(.float32, [2]))
    let program = Program(inputs: [x], outputs: [(x * 2).sum()], options: .init(simplifies: false, fuses: false))
    var seen: [String] = []
    _ = try ReferenceBackend().compile(program).run([TensorData([1.0, 2.0], shape: [2])], extent: nil) {
      instruction, results in
      seen.append("\(instruction.op.name) \(results[0].doubles)")
    }
    #expect(seen.suffix(2) == ["multiply [2.0, 4.0]", "reduce.sum [6.0]"])
  }

  @Test func `A run with inputs of another shape stops`() async {
    await #expect(processExitsWith: .failure) {
      let x = Tensor.input("x", TensorType(.float32, [2]))
      _ = try ReferenceBackend().compile(Program(inputs: [x], outputs: [x + 1])).run([TensorData([1.0], shape: [1])])
    }
  }
}
