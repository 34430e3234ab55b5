// One step of each optimizer against the formula of its paper, written out in Double.

import Core
import Networks
import Tensors
import Testing

@Suite struct OptimizerTests {
  /// A step's numbers for one matrix (or vector) of six elements.
  struct Step {
    var role = Parameter.Role.matrix
    var value = [0.5, -1, 2, 0.25, -0.125, 3]
    var gradient = [1, -2, 0.5, 4, -0.25, 0.125]
    var state: [String: [Double]] = [:]
    var rate = 0.1
    var scale = 0.5
    var step = 3.0
    var apply = true
    var shape: Shape { role == .vector ? [6] : [2, 3] }

    func run(_ optimizer: any Optimizer, working: Bool = false) throws -> (
      value: [Double], state: [String: [Double]], working: TensorData?
    ) {
      let parameter = Parameter(
        name: "w", shape: shape, role: role, initializer: .zeros, axes: shape.dimensions.map { _ in .none })
      var inputs: [(Tensor, TensorData)] = []
      func given(_ values: [Double], _ shape: Shape, _ element: ElementType = .float32) -> Tensor {
        let input = Tensor.input("x", TensorType(element, shape))
        inputs.append((input, TensorData(values, shape: shape, element: element)))
        return input
      }
      var states: [String: Tensor] = [:]
      for name in optimizer.stateNames(for: parameter) {
        states[name] = given(state[name] ?? Array(repeating: 0, count: 6), shape)
      }
      let slot = OptimizerSlot(
        parameter: parameter, value: given(value, shape), gradient: given(gradient, shape), state: states,
        working: working)
      let controls = OptimizerControls(
        rate: given([rate], []), gradientScale: given([scale], []), step: given([step], []),
        apply: given([apply ? 1 : 0], [], .bool))
      let result = optimizer.update([slot], controls)[0]
      #expect((result.working != nil) == working)
      let names = result.state.keys.sorted()
      let outputs = [result.value] + names.map { result.state[$0]! } + [result.working].compactMap(\.self)
      let values = try NetworksTests.run(outputs, inputs)
      let new = zip(names, values.dropFirst()).map { ($0, $1.doubles) }
      return (values[0].doubles, Dictionary(uniqueKeysWithValues: new), working ? values.last : nil)
    }
  }

  @Test func adamWFollowsItsPaper() throws {
    var step = Step()
    step.state = ["mean": [0.1, 0, -0.2, 0.3, 0, 1], "square": [0.01, 0, 0.5, 1, 2, 3]]
    let result = try step.run(AdamWOptimizer(beta1: 0.8, beta2: 0.9, epsilon: 1e-3, weightDecay: 0.2), working: true)
    let expected = (0..<6).map { i -> Double in
      let g = step.gradient[i] * 0.5
      let m = 0.8 * step.state["mean"]![i] + 0.2 * g
      let v = 0.9 * step.state["square"]![i] + 0.1 * g * g
      let (c1, c2) = (1 - 0.8 * 0.8 * 0.8, 1 - 0.9 * 0.9 * 0.9)
      return step.value[i] * (1 - 0.1 * 0.2) - 0.1 * (m / c1) / ((v / c2).squareRoot() + 1e-3)
    }
    #expect(distance(result.value, expected) < 1e-6)
    #expect(result.working?.type == TensorType(.bfloat16, [2, 3]))
    #expect(distance(result.working!.doubles, expected) < 0.02)
  }

  @Test func vectorsAreNotDecayed() throws {
    for optimizer in [
      AdamWOptimizer(beta1: 0.9, beta2: 0.9, epsilon: 1, weightDecay: 0.5) as any Optimizer,
      SGDOptimizer(momentum: 0.9, weightDecay: 0.5), MuonOptimizer(),
    ] {
      var step = Step(role: .vector)
      step.gradient = Array(repeating: 0, count: 6)
      #expect(distance(try step.run(optimizer).value, step.value) == 0)
      step.role = .matrix
      #expect(distance(try step.run(optimizer).value, step.value) > 0.001)
    }
  }

  @Test(arguments: [false, true]) func sgdFollowsItsFormula(nesterov: Bool) throws {
    var step = Step()
    step.state = ["velocity": [1, 2, 3, 4, 5, 6]]
    let result = try step.run(SGDOptimizer(momentum: 0.5, nesterov: nesterov, weightDecay: 0.1))
    let velocity = (0..<6).map { 0.5 * step.state["velocity"]![$0] + 0.5 * step.gradient[$0] }
    let expected = (0..<6).map { i -> Double in
      let direction = nesterov ? 0.5 * step.gradient[i] + 0.5 * velocity[i] : velocity[i]
      return step.value[i] * 0.99 - 0.1 * direction
    }
    #expect(distance(result.value, expected) < 1e-6)
    #expect(distance(result.state["velocity"]!, velocity) < 1e-6)
    #expect(SGDOptimizer(momentum: 0).stateNames(for: parameter("w")) == [])
  }

  @Test func muonStepsByAnOrthogonalMatrix() throws {
    var muon = MuonOptimizer()
    (muon.precision, muon.weightDecay, muon.iterations) = (.float32, 0, 8)
    let step = Step()
    let result = try step.run(muon)
    // With [2, 3] and the scale of AdamW: steps of rate * 0.2 * sqrt(3) times orthogonal rows.
    let rows = zip(result.value, step.value).map { ($0 - $1) / (-0.1 * 0.2 * 3.0.squareRoot()) }
    func dot(_ a: Int, _ b: Int) -> Double { (0..<3).map { rows[3 * a + $0] * rows[3 * b + $0] }.reduce(0, +) }
    #expect(dot(0, 0) > 0.45 && dot(0, 0) < 1.5 && dot(1, 1) > 0.45 && dot(1, 1) < 1.5 && abs(dot(0, 1)) < 0.4)
    // Downhill.
    #expect(zip(rows, step.gradient).map(*).reduce(0, +) > 0)
    #expect(distance(result.state["momentum"]!, step.gradient.map { $0 * 0.5 * 0.05 }) < 1e-6)
    #expect(muon.stateNames(for: parameter("e", role: .embedding)) == ["mean", "square"])
  }

  @Test(arguments: OptimizerConfiguration.choices)
  func aSkippedStepChangesNothingEvenWithNaN(choice: OptimizerConfiguration) throws {
    for role in [Parameter.Role.matrix, .vector] {
      var step = Step(role: role)
      for name in choice.optimizer.stateNames(for: parameter("w", role: role)) {
        step.state[name] = [1, 2, 3, 4, 5, 6]
      }
      let applied = try step.run(choice.optimizer)
      #expect(applied.value != step.value && applied.state != step.state)
      step.gradient = Array(repeating: .nan, count: 6)
      step.apply = false
      let skipped = try step.run(choice.optimizer)
      #expect(skipped.value == step.value && skipped.state == step.state)
    }
  }

  @Test func newtonSchulzBringsSingularValuesNearOne() throws {
    for shape in [[20, 12], [12, 20], [16, 16], [2, 8, 6]] as [Shape] {
      let x = Tensor.normal(shape, key: .full(Int64(11), .scalar))
      let y = try run([x.orthogonalized(iterations: 10)])[0].doubles
      let (m, n) = (shape[-2], shape[-1])
      for batch in 0..<(shape.count / (m * n)) {
        // The short side's Gram matrix is the identity, about: Jordan's coefficients leave singular values in 0.7...1.2.
        let short = min(m, n)
        func at(_ i: Int, _ k: Int) -> Double { y[batch * m * n + (m <= n ? i * n + k : k * n + i)] }
        for i in 0..<short {
          let row = (0..<short).map { j in (0..<max(m, n)).map { at(i, $0) * at(j, $0) }.reduce(0, +) }
          #expect(row[i] > 0.45 && row[i] < 1.5, "\(shape): \(row[i])")
          #expect(row.enumerated().allSatisfy { $0.offset == i || abs($0.element) < 0.4 })
        }
      }
    }
    #expect(try run([Tensor.zeros([3, 2]).orthogonalized()])[0].doubles.allSatisfy { $0 == 0 })
  }

  @Test func configurationsAreReadByName() throws {
    struct Run: Configuration {
      var optimizer = OptimizerConfiguration.adamW(.init())
      var schedule = Schedule()
    }
    let run = try ConfigurationLoader.load(
      Run.self, overrides: ["optimizer=muon", "optimizer.momentum=0.8", "schedule.course=stable", "schedule.peak=2"])
    var muon = MuonOptimizer()
    muon.momentum = 0.8
    #expect(run.optimizer == .muon(muon) && run.schedule.peak == 2)
    #expect(run.schedule.course == .stable(share: 0.2, final: 0))
    let error = #expect(throws: ConfigurationError.self) {
      try ConfigurationLoader.load(
        Run.self, overrides: ["optimizer.adamW.beta1=2", "schedule.course.stable.share=3", "schedule.peak=-1"])
    }
    #expect(error?.problems.count == 3, "\(error.map(String.init(describing:)) ?? "")")
  }

  private func parameter(_ name: String, role: Parameter.Role = .matrix) -> Parameter {
    Parameter(name: name, shape: [2, 3], role: role, initializer: .zeros, axes: [.none, .none])
  }
}
