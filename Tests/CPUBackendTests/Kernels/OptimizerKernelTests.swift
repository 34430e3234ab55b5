// Fused AdamW against its definition in Double, over several tensors and steps.

import CKernels
import Core
import Testing

@Suite struct OptimizerKernelTests {
  private struct State {
    var p: Buffer, m: Buffer, v: Buffer, g: Buffer, working: Buffer?
    var decay: Double, scale: Double
  }

  private func step(_ context: UnsafePointer<ck_context>, _ states: [State], _ n: Int) {
    let tensors = states.map { state -> ck_adamw_tensor in
      var tensor = ck_adamw_tensor()
      tensor.count = Int64(state.p.count)
      tensor.parameter = state.p.memory.assumingMemoryBound(to: Float.self)
      tensor.m = state.m.memory.assumingMemoryBound(to: Float.self)
      tensor.v = state.v.memory.assumingMemoryBound(to: Float.self)
      (tensor.gradient, tensor.type_gradient) = (UnsafeRawPointer(state.g.memory), state.g.type)
      tensor.working = state.working?.memory
      (tensor.weight_decay, tensor.rate_scale) = (Float(state.decay), Float(state.scale))
      return tensor
    }
    tensors.withUnsafeBufferPointer { tensors in
      var arguments = ck_adamw_arguments()
      (arguments.tensors, arguments.tensor) = (Int64(tensors.count), tensors.baseAddress)
      (arguments.rate, arguments.beta1, arguments.beta2, arguments.epsilon) = (1e-2, 0.9, 0.95, 1e-8)
      arguments.gradient_scale = 0.5
      arguments.correction1 = Float(1 - pow(0.9, Double(n)))
      arguments.correction2 = Float(1 - pow(0.95, Double(n)))
      ck_adamw(context, &arguments)
    }
  }

  private func states(_ numbers: inout SeededNumbers, _ counts: [Int]) -> [State] {
    counts.enumerated().map { i, count in
      State(
        p: Buffer(CK_F32, random: count, &numbers), m: Buffer(CK_F32, [Double](repeating: 0, count: count)),
        v: Buffer(CK_F32, [Double](repeating: 0, count: count)),
        g: Buffer(i % 2 == 0 ? CK_F32 : CK_BF16, random: count, &numbers),
        working: i % 3 == 1 ? nil : Buffer(CK_BF16, count: count), decay: i == 2 ? 0 : 0.1, scale: i == 1 ? 0.5 : 1)
    }
  }

  @Test(arguments: testedISAs) func adamW(isa: ck_isa) {
    var numbers = SeededNumbers()
    let states = states(&numbers, [1, 0, 1000, 70_001, 33, 129])
    var p = states.map(\.p.values), m = states.map(\.m.values), v = m
    for n in 1...3 {
      withContext(isa) { step($0, states, n) }
      for (t, state) in states.enumerated() {
        let rate = 1e-2 * state.scale
        for i in p[t].indices {
          let g = state.g[i] * 0.5
          m[t][i] = 0.9 * m[t][i] + 0.1 * g
          v[t][i] = 0.95 * v[t][i] + 0.05 * g * g
          let (first, second) = (m[t][i] / (1 - pow(0.9, Double(n))), v[t][i] / (1 - pow(0.95, Double(n))))
          p[t][i] -= rate * (first / (second.squareRoot() + 1e-8) + state.decay * p[t][i])
        }
        let what = "tensor \(t), step \(n), \(name(isa)), seed \(numbers.seed)"
        expectClose(state.p, p[t], relative: 1e-6, absolute: 1e-6, "parameter, " + what)
        expectClose(state.m, m[t], relative: 1e-5, absolute: 1e-7, "m, " + what)
        expectClose(state.v, v[t], relative: 1e-5, absolute: 1e-9, "v, " + what)
        if let working = state.working {
          expectClose(working, state.p.values.map(CK_BF16.rounded), relative: 0, absolute: 0, "working copy, " + what)
        }
      }
    }
  }

  @Test func threadsDoNotMatter() {
    let seed = SeededNumbers().seed
    expectSameBits("AdamW, seed \(seed)") { context in
      var numbers = SeededNumbers(seed: seed)
      let states = states(&numbers, [200_003, 5])
      step(context, states, 1)
      return states.flatMap { [$0.p, $0.m, $0.v] }
    }
  }
}
