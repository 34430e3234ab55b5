// AdamW over many tensors: a launch for each.
//
// Loshchilov and Hutter, Decoupled weight decay regularization (2017), arXiv:1711.05101.

internal import KernelLanguage
internal import Tensors

/// The step's numbers that are the same for all elements: rate, gradient scale, and the inverse corrections of the two means.
///
/// `(rate, gradientScale, step) -> [4]`
struct AdamWScalarsKernel: KernelSource {
  let beta1: Double
  let beta2: Double

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("adamWScalars", target: target, threads: 32) { k in
      let rate = k.pointer("rate", to: F32.self)
      let scale = k.pointer("scale", to: F32.self)
      let step = k.pointer("step", to: F32.self)
      let result = k.pointer("result", to: F32.self)
      k.exit(when: k.thread.x .> 0)
      result[0] = rate.load()
      result[1] = scale.load()
      let exponent = k.convert(step.load(), to: F64.self)
      for (place, beta) in [beta1, beta2].enumerated() {
        let power = F64.power(k, k.variable(Value(beta)), exponent)
        result[2 + place] = k.convert(k.reciprocal(k.inRegister(Value<F64>(1)) - power), to: F32.self)
      }
    }
  }
}

/// `(scalars, apply, p, g, m, v) -> p, m, v, working?`
struct AdamWKernel: KernelSource {
  let beta1: Double
  let beta2: Double
  let epsilon: Double
  let weightDecay: Double
  let rateScale: Double
  let gradient: ElementType
  let hasWorking: Bool

  static let threads = 128
  /// Elements of a thread.
  static let vector = 4

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("adamW", target: target, threads: Self.threads) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    func state(_ name: String) -> Elements<Global> { Elements(.float32, k.pointer(name, to: U8.self)) }
    let scalars = k.pointer("scalars", to: F32.self)
    let apply = k.pointer("apply", to: U8.self)
    let before = [state("p"), Elements(gradient, k.pointer("g", to: U8.self)), state("m"), state("v")]
    var after = [state("newP"), state("newM"), state("newV")]
    if hasWorking { after.append(Elements(.bfloat16, k.pointer("working", to: U8.self))) }
    let count = k.parameter("count", U64.self)

    let numbers = scalars.load(4)
    let applies = apply.load() .!= 0
    func step(_ x: [Number]) -> [Number] {
      let (p, g, m, v) = (x[0].float32, k.float(x[1]) * numbers[1], x[2].float32, x[3].float32)
      let newM = k.fma(m, Value(beta1), g * Value(1 - beta1))
      let newV = k.fma(v, Value(beta2), g * g * Value(1 - beta2))
      let direction = newM * numbers[2] / (k.squareRoot(newV * numbers[3]) + Value(epsilon))
      let rate = numbers[0] * Value(rateScale)
      let newP = p - rate * k.fma(p, Value(weightDecay), direction)
      let results = [(newP, p), (newM, m), (newV, v)].map { Number.f32(k.select(applies, $0, $1)) }
      return results + (hasWorking ? [results[0]] : [])
    }
    let start = k.globalThread(U64.self, threads: Self.threads) * Value(Self.vector)
    k.when(start + Value(Self.vector) .<= count) {
      let loaded = before.map { $0.advanced(start).load(k, count: Self.vector) }
      let made = (0..<Self.vector).map { lane in step(loaded.map { $0[lane] }) }
      for (place, target) in after.enumerated() { target.advanced(start).store(k, made.map { $0[place] }) }
    } otherwise: {
      k.loop(from: start, to: count) { element in
        let made = step(before.map { $0.load(k, at: element) })
        for (target, value) in zip(after, made) { target.store(k, at: element, value) }
      }
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func adamW(_ options: AdamW) throws {
    let n = options.tensors
    let scalars = scratch(16)
    try launch(
      AdamWScalarsKernel(beta1: options.beta1, beta2: options.beta2), grid: Extent(1), threads: 32,
      inputs[0..<3].map { .value($0) } + [scalars])
    var working = results[(3 * n)...]
    for i in 0..<n {
      let copy = options.working[i] ? [working.removeFirst()] : []
      let count = inputTypes[4 + i].shape.count
      if count == 0 { continue }
      let kernel = AdamWKernel(
        beta1: options.beta1, beta2: options.beta2, epsilon: options.epsilon, weightDecay: options.weightDecay[i],
        rateScale: options.rateScale[i], gradient: inputTypes[4 + n + i].element, hasWorking: options.working[i])
      let states = [inputs[4 + i], inputs[4 + n + i], inputs[4 + 2 * n + i], inputs[4 + 3 * n + i]]
      let targets = [results[i], results[n + i], results[2 * n + i]] + copy
      let items = AdamWKernel.threads * AdamWKernel.vector
      try launch(
        kernel, grid: Extent((count + items - 1) / items), threads: AdamWKernel.threads,
        [scalars, .value(inputs[3])] + states.map { .value($0) } + targets.map { .value($0) }
          + [.count(count, isWide: true)])
    }
  }
}
