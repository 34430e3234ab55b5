import Emulator
import GPUBackend
import KernelLanguage
import Synchronization
import Tensors
import Support
import Testing

/// Programs that a device takes down and starts as one.
@Suite(.ownThreads) struct RecordingTests {
  /// An emulated GPU that can take down what it is asked for.
  private final class Recorder: GPUDevice {
    typealias Call = @Sendable () throws -> Void
    private let gpu = EmulatedDevice()
    private let state = Mutex<(calls: [Call]?, recordings: Int, replays: Int)>((nil, 0, 0))

    var name: String { gpu.name }
    var target: PTXTarget { gpu.target }
    var multiprocessors: Int { gpu.multiprocessors }
    var recordings: Int { state.withLock { $0.recordings } }
    var replays: Int { state.withLock { $0.replays } }

    func allocate(_ bytes: Int, name: String) throws -> UInt64 { try gpu.allocate(bytes, name: name) }
    func free(_ address: UInt64) { gpu.free(address) }
    func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) throws { try gpu.write(bytes, to: address) }
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
      try gpu.read(address, into: bytes)
    }
    func copy(_ bytes: Int, from source: UInt64, to target: UInt64) throws {
      try perform { [gpu] in try gpu.copy(bytes, from: source, to: target) }
    }
    func synchronise() {}

    func load(_ module: PTXModule) throws -> any GPUModule { Module(device: self, module: try gpu.load(module)) }

    private func perform(_ call: @escaping Call) throws {
      let isTaken = state.withLock { state in
        state.calls?.append(call)
        return state.calls != nil
      }
      if !isTaken { try call() }
    }

    func record(_ body: () throws -> Void) throws -> (any GPURecording)? {
      state.withLock { $0.calls = [] }
      defer { state.withLock { $0.calls = nil } }
      try body()
      return state.withLock { state in
        state.recordings += 1
        return Recording(device: self, calls: state.calls!)
      }
    }

    private final class Module: GPUModule {
      let device: Recorder
      let module: any GPUModule

      init(device: Recorder, module: any GPUModule) { (self.device, self.module) = (device, module) }

      func launch(_ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) throws {
        try device.perform { [module] in try module.launch(kernel, configuration, arguments) }
      }
    }

    private final class Recording: GPURecording {
      let device: Recorder
      let calls: [Call]

      init(device: Recorder, calls: [Call]) { (self.device, self.calls) = (device, calls) }

      func replay() throws {
        device.state.withLock { $0.replays += 1 }
        for call in calls { try call() }
      }
    }
  }

  @Test func `A program is taken down once and again when an input lies elsewhere`() throws {
    let device = Recorder()
    let (x, state) = (
      Tensor.input("x", TensorType(.float32, [2])), Tensor.input("state", TensorType(.float32, [2]))
    )
    let program = Program(inputs: [x, state], outputs: [state + x, (state * x).sum()], donating: [0: 1])
    let executable = try GPUBackend(device).compile(program)
    let (input, kept) = (TensorData([1.0, 2], shape: [2]), TensorData([0.0, 0], shape: [2]))
    for step in 1...3 {
      let outputs = try executable.run([input, kept])
      #expect(outputs[1].item == Double(5 * (step - 1)))
    }
    #expect(kept.floats == [3, 6] && device.recordings == 1 && device.replays == 3)
    // What the host writes goes to the same place on the device.
    input[0] = .float(10)
    #expect(try executable.run([input, kept])[1].item == 42)
    #expect(device.recordings == 1)
    let other = TensorData([1.0, 1], shape: [2])
    #expect(try executable.run([input, other])[1].item == 12)
    #expect(other.floats == [11, 3] && kept.floats == [13, 8] && device.recordings == 2)
  }

  @Test func `Extents are taken down one at a time, and inspection takes nothing down`() throws {
    let device = Recorder()
    let x = Tensor.input("x", TensorType(.float32, Shape([8, 3], varies: true)))
    let executable = try GPUBackend(device).compile(Program(inputs: [x], outputs: [(x * 2).sum([-1])]))
    for extent in [8, 8, 2, 8] {
      let data = TensorData((0..<(3 * extent)).map { Double($0) }, shape: [extent, 3])
      #expect(try executable.run([data], extent: extent)[0].floats == (0..<extent).map { Float(18 * $0 + 6) })
    }
    let (recordings, replays) = (device.recordings, device.replays)
    #expect(replays == 4)
    let data = TensorData([1.0, 1, 1], shape: [1, 3])
    #expect(try executable.run([data], extent: 1) { _, _ in }[0].floats == [6])
    #expect(device.recordings == recordings && device.replays == replays)
  }
}
