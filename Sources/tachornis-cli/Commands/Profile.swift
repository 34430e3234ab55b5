import ArgumentParser
import CPUBackend
import Core
import Models
import Networks
import Tensors
import Training

struct Profile: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show where the time of a training step goes.",
    discussion: """
      Example:
        tachornis profile --model gpt2-10m --vocabulary 65 --batch 8

      Runs a few steps on made-up tokens, then one in which each instruction is \
      timed, and prints them by kind.
      """)

  @Option(help: ArgumentHelp("The model: \(GPTPreset.all.map(\.name).joined(separator: ", ")).", valueName: "preset"))
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

  @Option(help: "Threads to compute with.")
  var threads: Int?

  @Flag(help: "Print the program of the step first.")
  var program = false

  @Option(help: "Write the graph of the step there, in the language of Graphviz.")
  var dot: String?

  func validate() throws {
    for (name, value) in [("vocabulary", vocabulary), ("batch", batch), ("steps", steps), ("threads", threads ?? 1)]
    where value < 1 {
      throw ValidationError("--\(name) is \(value); it must be 1 or more.")
    }
  }

  func run() throws {
    let backend = CPUBackend(threads: threads)
    DefaultBackend.use(backend)
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
    let clock = MonotonicClock()
    var times: [Double] = []
    for number in 1...steps {
      let start = clock.seconds
      _ = try step(batches, state, .init(rate: 1e-4, step: number, key: Int64(number)))
      times.append(clock.seconds - start)
    }
    let table = try timed(step, batches, state, clock)
    let median = times.sorted()[times.count / 2]
    let flops = Double(batch * length) * shape.trainingFLOPs(length: length)
    writeOutput(table)
    writeOutput(
      """

      a step, median of \(steps):  \(Numerals.fixed(median * 1e3, 2)) ms, \
      \(Numerals.fixed(Double(batch * length) / median, 0)) tokens/s, \(Numerals.fixed(flops / median / 1e9, 0)) GFLOP/s
      memory beside the state:  \(Numerals.bytes(step.arenaBytes))

      """)
  }

  private func timed(
    _ step: TrainingStep, _ batches: [(tokens: TensorData, targets: TensorData)], _ state: TrainingState,
    _ clock: MonotonicClock
  ) throws -> String {
    struct Row {
      var seconds = 0.0, cost = Cost(), count = 0
    }
    var rows: [String: Row] = [:]
    var last = clock.seconds
    _ = try step(batches, state, .init(rate: 1e-4, step: steps + 1, key: 1)) { instruction, _, program in
      let now = clock.seconds
      var name = instruction.op.name
      if case .matmul = instruction.op {
        name += " " + instruction.inputs.prefix(2).map { "\(program.types[$0])" }.joined(separator: " ")
      }
      if case .fused(let fusion) = instruction.op {
        name += " \(fusion.shape) " + fusion.steps.map(\.op.name).filter { $0 != "constant" }.joined(separator: " ")
      }
      rows[name, default: Row()].seconds += now - last
      rows[name]!.cost = rows[name]!.cost + program.cost(of: instruction)
      rows[name]!.count += 1
      last = clock.seconds
    }
    let total = rows.values.reduce(0) { $0 + $1.seconds }
    func cell(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var lines = [cell("share", 7) + cell("us", 10) + cell("calls", 7) + cell("GFLOP/s", 9) + cell("GB/s", 7) + "  what"]
    for (name, row) in rows.sorted(by: { $0.value.seconds > $1.value.seconds }) where row.seconds > total * 0.002 {
      lines.append(
        cell(Numerals.fixed(100 * row.seconds / total, 1) + "%", 7) + cell(Numerals.fixed(row.seconds * 1e6, 0), 10)
          + cell("\(row.count)", 7) + cell(Numerals.fixed(row.cost.flops / row.seconds / 1e9, 0), 9)
          + cell(Numerals.fixed(row.cost.bytes / row.seconds / 1e9, 1), 7) + "  " + name)
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
