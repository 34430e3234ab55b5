import ArgumentParser
import CPUBackend
import Core
import FoundationEssentials
import Models
import Networks
import Tensors
import Training

struct Profile: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show where the time of a training step goes, or of reading and writing with a model.",
    discussion: """
      Examples:
        tachornis profile --model gpt2-10m --vocabulary 65 --batch 8
        tachornis profile --model llama-Q4_K_M.gguf --length 512
        tachornis profile --model gpt2 --device gpu --trace step.json
        tachornis profile --model gpt2-small --vocabulary 96 --length 32 --batch 2 --device emulator

      Runs a few steps on made-up tokens, then one in which each instruction is \
      timed, and prints them by kind. With a model on disk: reads a prompt of --length tokens, and writes one.
      With --device gpu these are the times of kernels, on the emulator estimates from what they did; --trace writes \
      them for ui.perfetto.dev.
      """)

  @Option(
    help: ArgumentHelp(
      "A model on disk, or one of: \(GPTPreset.all.map(\.name).joined(separator: ", ")).", valueName: "preset or path"))
  var model = "10m"

  @Option(help: "Tokens that the model knows.")
  var vocabulary = 4096

  @Option(help: "Sequences in a batch.")
  var batch = 8

  @Option(help: "Tokens in a sequence; the model's context if not given.")
  var length: Int?

  @Option(help: "The type of products: float32 or bfloat16.")
  var precision: Precision = .bfloat16

  @Option(help: "Steps before the one that is looked at.")
  var steps = 5

  @OptionGroup var computing: ComputingOptions

  @Flag(help: "Print the program of the step first.")
  var program = false

  @Option(help: "Write the graph of the step there, in the language of Graphviz.")
  var dot: String?

  @Option(help: ArgumentHelp("With --device gpu or emulator: write each kernel's time there.", valueName: "file"))
  var trace: String?

  func validate() throws {
    if trace != nil, (computing.device ?? .cpu) == .cpu {
      throw ValidationError("--trace is of a GPU's kernels: it needs --device gpu or emulator.")
    }
    for (name, value) in [("vocabulary", vocabulary), ("batch", batch), ("steps", steps)]
    where value < 1 {
      throw ValidationError("--\(name) is \(value); it must be 1 or more.")
    }
  }

  func run() throws {
    let gpu = try computing.device.flatMap { try GPUClock.backend($0) }
    let backend: any Backend = try gpu?.backend ?? computing.backend()
    if FileManager.default.fileExists(atPath: model) { return try generation(backend, gpu?.clock) }
    var shape = try GPTPreset.named(model).configuration
    shape.vocabulary = vocabulary
    let length = length ?? shape.context
    guard length >= 1, length <= shape.context else {
      throw CommandError("--length is \(length); it must be from 1 to the model's context, \(shape.context).")
    }
    let optimizer = AdamWOptimizer()
    let step = try TrainingStep(
      GPT(shape), optimizer: optimizer, compute: precision.element, batch: batch, length: length, clip: 1,
      backend: backend)
    let state = try TrainingState(step.store, optimizer: optimizer, seed: 1)
    if program { writeOutput("\(step.program)\n\n") }
    if let dot { try AtomicFile.write(step.program.dot + "\n", to: dot) }

    let random = RandomStream(key: 1)
    let text = (0...(batch * length)).map { Int32(random.integer(at: UInt64($0), below: vocabulary)) }
    let batches = [
      (
        tokens: TensorData(Array(text.dropLast()), shape: [batch, length]),
        targets: TensorData(Array(text.dropFirst()), shape: [batch, length])
      )
    ]
    if let clock = gpu?.clock {
      // Before any other step: later ones are recorded and started as one, in which kernels have no times of their own.
      func kernels() throws -> [KernelTime] {
        try clock.kernels { _ = try step(batches, state, .init(rate: 0, step: 1, key: 1)) }
      }
      // The first step on a GPU loads what it needs.
      if !clock.isEstimate { _ = try kernels() }
      try report(try kernels(), of: clock, on: backend)
      if clock.isEstimate { return writeOutput("memory beside the state:  \(Numerals.bytes(step.arenaBytes))\n") }
    }
    let clock = MonotonicClock()
    var times: [Double] = []
    for number in 1...steps {
      let start = clock.seconds
      _ = try step(batches, state, .init(rate: 1e-4, step: number, key: Int64(number)))
      times.append(clock.seconds - start)
    }
    if gpu == nil {
      var instructions = InstructionTimes(clock: clock)
      _ = try step(batches, state, .init(rate: 1e-4, step: steps + 1, key: 1)) { instruction, _, program in
        instructions.count(instruction, of: program)
      }
      writeOutput(instructions.table)
    }
    let median = times.sorted()[times.count / 2]
    let flops = Double(batch * length) * shape.trainingFLOPs(length: length)
    writeOutput(
      """

      a step, median of \(steps):  \(Numerals.fixed(median * 1e3, 2)) ms, \
      \(Numerals.fixed(Double(batch * length) / median, 0)) tokens/s, \(Numerals.fixed(flops / median / 1e9, 0)) GFLOP/s
      memory beside the state:  \(Numerals.bytes(step.arenaBytes))

      """)
  }

  /// Reading a prompt and writing a token behind it with a model on disk.
  private func generation(_ backend: any Backend, _ gpuClock: GPUClock?) throws {
    let pretrained = try PretrainedModel(path: model)
    let generator = try Generator(pretrained, backend: backend)
    let random = RandomStream(key: 1)
    let known = pretrained.model.vocabulary
    let text = (0...(length ?? 128)).map { Int32(random.integer(at: UInt64($0), below: known)) }
    let clock = MonotonicClock()
    for (title, prefix, reset) in [
      ("reading \(text.count - 1) tokens", 1, true), ("writing one behind them", 0, false),
    ] {
      let part = Array(text.dropLast(prefix))
      func prepare() throws {
        _ = try generator.logits(after: part)
        if reset { generator.forget() }
      }
      if let gpuClock {
        // What is prepared would be recorded, too, if it were not looked at.
        _ = try gpuClock.kernels(prepare)
        let times = try gpuClock.kernels { _ = try generator.logits(after: part) }
        writeOutput("\(title), kernels:\n\n")
        try report(times, of: gpuClock, on: backend, part: reset ? "reading" : "writing")
        continue
      }
      try prepare()
      var times = InstructionTimes(clock: clock)
      let start = clock.seconds
      _ = try generator.logits(after: part) { times.count($0, of: $1) }
      writeOutput("\(title): \(Numerals.fixed((clock.seconds - start) * 1e3, 2)) ms\n\n\(times.table)\n")
    }
  }

  /// Prints the kernels' table, and writes the trace if it is wanted.
  ///
  /// - Parameter part: what the trace's name says where there are several.
  private func report(_ times: [KernelTime], of clock: GPUClock, on backend: any Backend, part: String? = nil) throws {
    let profile = GPUProfile(times: times, isEstimate: clock.isEstimate)
    writeOutput(profile.table)
    guard let trace else { return }
    let path = part.map { "\(trace).\($0)" } ?? trace
    try profile.writeTrace(to: path, device: backend.name)
    writeOutput("\ntrace: \(path)\n")
  }
}
