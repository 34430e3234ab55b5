// Whether kernels are right: what a case computes on a device, next to the reference interpreter and the processor.
//
// Invariant: both sides are given the same bits, and every element of every result is looked at.

internal import CPUBackend
internal import GPUBackend
internal import KernelLanguage
internal import Tensors

/// Compares a device with the reference.
struct GPUCheck {
  let backend: GPUBackend
  /// Whether what takes the emulator minutes is left out.
  let isEmulated: Bool
  private var scales: [GPUCase.Scale] { isEmulated ? [.small] : [.small, .medium] }

  init(backend: GPUBackend, isEmulated: Bool) { (self.backend, self.isEmulated) = (backend, isEmulated) }

  /// Kernels that a case takes and none of the cases that its kind is checked with: a shape may choose other tiles.
  func unchecked(_ measured: GPUCase) throws -> [String] {
    let checked = try scales.flatMap(GPUCase.all).filter { $0.kind == measured.kind }.map(kernels)
    let texts = Set(checked.joined().map(\.text))
    return try kernels(measured).filter { !texts.contains($0.text) }.map(\.name).sorted()
  }

  /// The kernels of a case, found without running it.
  private func kernels(_ measured: GPUCase) throws -> [(name: String, text: String)] {
    let device = AssemblyDevice(backend.device.target, multiprocessors: backend.device.multiprocessors)
    switch measured.work {
    case .graph(let graph): _ = try GPUBackend(device).compile(GPUProgram(graph).program)
    case .training(let training): try GPUTrainer.compile(training, backend: GPUBackend(device))
    }
    return device.modules.map { ($0.kernels.map(\.name).joined(separator: ", "), $0.text) }
  }

  /// Why a kind of case is not to be trusted on the device; nil: it is right on all shapes that are tried.
  func problem(_ kind: String) -> String? {
    for scale in scales {
      let reference: any Backend = scale == .small ? ReferenceBackend() : CPUBackend()
      for measured in GPUCase.all(scale) where measured.kind == kind {
        do {
          if let problem = try problem(measured, reference) {
            return "\(measured.title), next to \(reference.name): \(problem)"
          }
        } catch {
          return "\(measured.title): \(error)"
        }
      }
    }
    return nil
  }

  private func problem(_ measured: GPUCase, _ reference: any Backend) throws -> String? {
    switch measured.work {
    case .training(let training): return try problem(training, reference)
    case .graph(let graph):
      let program = GPUProgram(graph)
      let inputs = try program.makeInputs(on: reference)
      // Donated ones are overwritten.
      let copies = inputs.map { $0.copy() }
      let expected = try reference.compile(program.program).run(inputs)
      let actual = try backend.compile(program.program).run(copies)
      for (number, (a, e)) in zip(actual, expected).enumerated() {
        if let problem = difference(a, e, measured.element) { return "result \(number), \(problem)" }
      }
      return nil
    }
  }

  /// A few steps: a wrong gradient shows in the losses that follow.
  private func problem(_ training: GPUTraining, _ reference: any Backend) throws -> String? {
    // The reference interpreter would take minutes.
    let trainers = try [backend, reference is ReferenceBackend ? CPUBackend() : reference].map {
      try GPUTrainer(training, backend: $0)
    }
    for number in 1...(isEmulated ? 2 : 4) {
      let losses = try trainers.map { try $0() }
      guard abs(losses[0] - losses[1]) <= 0.02 * abs(losses[1]) else {
        return "the loss of step \(number) is \(losses[0]), expected \(losses[1])"
      }
    }
    return nil
  }

  /// The first element that is further off than rounding explains: off by more than a share of its own size and the usual one.
  private func difference(_ actual: TensorData, _ expected: TensorData, _ element: ElementType) -> String? {
    let tolerance =
      switch element {
      case .bfloat16: 3e-2
      case .float16: 1e-2
      default: 1e-4
      }
    let (a, e) = (actual.doubles, expected.doubles)
    let scale = (e.reduce(0) { $0 + $1 * $1 } / Double(max(1, e.count))).squareRoot()
    // Not `>`: a NaN is wrong.
    guard let wrong = e.indices.first(where: { !(abs(a[$0] - e[$0]) <= tolerance * (abs(e[$0]) + scale)) }) else {
      return nil
    }
    return "element \(wrong) of \(e.count) is \(a[wrong]), expected \(e[wrong])"
  }
}
