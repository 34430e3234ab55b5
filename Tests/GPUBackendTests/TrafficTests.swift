import Emulator
import GPUBackend
import Support
import Synchronization
import Tensors
import Testing

/// How many bytes kernels move, of those that they must: what decides the time of operations that compute little.
@Suite(.ownThreads) struct TrafficTests {
  private final class Counter: Sendable {
    let reports = Mutex<[LaunchReport]>([])
  }

  @Test func `Operations that compute little move little more than their operands`() throws {
    var random = RandomCase("gpu traffic")
    func data(_ element: ElementType, _ shape: Shape) -> TensorData { random.data(element, shape) }
    let norm = Norm(epsilon: 1e-5, weight: true, bias: false)
    let (x, y) = (data(.bfloat16, [64, 768]), data(.bfloat16, [64, 768]))
    let scalars = [0.1, 1, 1].map { TensorData([$0], shape: []) } + [TensorData([1.0], shape: [], element: .bool)]
    let states = (0..<4).map { _ in random.data(.float32, [10_000], .within(0.1...1)) }
    let adamW = AdamW(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: [0], rateScale: [1], working: [true])
    let cases: [(OpCase, Double)] = [
      (OpCase(.binary(.add), [x, y]), 1.01),
      (OpCase(.binary(.add), [x, data(.bfloat16, [768])]), 1.7),
      (OpCase(.cast(.float32), [x]), 1.01),
      (OpCase(.unary(.exp), [data(.float32, [20_001])]), 1.01),
      (OpCase(.broadcast([64, 768]), [data(.bfloat16, [768])]), 2.1),
      (OpCase(.permute([1, 0]), [x]), 1.01),
      (OpCase(.permute([0, 2, 1, 3]), [data(.bfloat16, [2, 32, 12, 64])]), 1.01),
      (OpCase(.slice([Slice(0, 64), Slice(256, 512)]), [x]), 1.01),
      (OpCase(.concatenate(axis: 1), [x, y]), 1.01),
      (OpCase(.gather(axis: 0), [x, random.data(.int32, [40], .integers(0...63))]), 1.2),
      (OpCase(.softmax, [x]), 1.01),
      (OpCase(.softmaxGradient, [x, y]), 1.01),
      (OpCase(.rmsNorm(norm), [x, data(.bfloat16, [768])]), 1.6),
      (OpCase(.reduce(.sum, axes: [1], type: .float32), [x]), 1.05),
      (OpCase(.reduce(.sum, axes: [0], type: .float32), [x]), 1.25),
      (OpCase(.argMax(axis: 1), [x]), 1.05),
      (OpCase(.cumulativeSum(axis: 1, reverse: false, exclusive: false), [data(.float32, [64, 768])]), 1.05),
      (
        OpCase(
          .rotary(Rotary(interleaved: false, inverse: false)),
          [data(.bfloat16, [1, 32, 12, 64]), data(.float32, [32, 32]), data(.float32, [32, 32])]), 2.5
      ),
      (OpCase(.adamW(adamW), scalars + [states[0], data(.bfloat16, [10_000]), states[1], states[2]]), 1.05),
    ]
    for (opCase, most) in cases {
      let counter = Counter()
      let device = EmulatedDevice { report in counter.reports.withLock { $0.append(report) } }
      let results = try opCase.results(on: GPUBackend(device))
      let needed = (opCase.inputs + results).reduce(0) { $0 + $1.type.bytes }
      let reports = counter.reports.withLock { $0 }
      let moved = reports.reduce(0) { $0 + 32 * ($1.globalLoadSectors + $1.globalStoreSectors) }
      let ratio = Double(moved) / Double(needed)
      #expect(ratio <= most, "\(opCase) moves \(moved) bytes for \(needed)")
    }
  }
}
