import ArgumentParser
import Core
import FoundationEssentials
import GPUBackend
import KernelLanguage
import Models
import Networks
import Tensors
import Training

struct Kernels: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the GPU kernels that a model is made of, as PTX, and what the assembler says of them.",
    discussion: """
      Examples:
        tachornis kernels --model gpt2
        tachornis kernels --model gpt2 --target sm_100a --out kernels
        tachornis kernels --model llama --target sm_80

      Needs no GPU. For a preset these are the kernels of a training step, for a model on disk those of reading and writing. \
      Registers, shared memory and spills come from NVIDIA's ptxas, if it is in PATH or TACHORNIS_PTXAS names it.
      """)

  @Option(
    help: ArgumentHelp(
      "A model on disk, or one of: \(GPTPreset.all.map(\.name).joined(separator: ", ")).", valueName: "preset or path"))
  var model = "10m"

  @Option(help: "What kernels are made for: sm_80 (A100), sm_90a (H100, H200), sm_100a (B200).")
  var target = "sm_90a"

  @Option(help: "Sequences in a batch.")
  var batch = 8

  @Option(help: "Tokens in a sequence; the model's context if not given.")
  var length: Int?

  @Option(help: "The type of products: float32 or bfloat16.")
  var precision: Precision = .bfloat16

  @Option(help: "Write each kernel's PTX into this folder.")
  var out: String?

  func validate() throws {
    guard ["sm_80", "sm_90a", "sm_100a"].contains(target) else {
      throw ValidationError("--target is '\(target)'; it must be sm_80, sm_90a or sm_100a.")
    }
    if batch < 1 || batch > 4096 { throw ValidationError("--batch is \(batch); it must be from 1 to 4096.") }
  }

  func run() throws {
    let backend = GPUBackend(AssemblyDevice(PTXTarget(target)))
    if FileManager.default.fileExists(atPath: model) {
      let pretrained = try PretrainedModel(path: model)
      let generator = try Generator(pretrained, backend: backend)
      let count = min(length ?? 128, pretrained.model.context - 1)
      _ = try generator.logits(after: [Int32](repeating: 0, count: count))
      _ = try generator.logits(after: [Int32](repeating: 0, count: count + 1))
    } else {
      let shape = try GPTPreset.named(model).configuration
      let length = length ?? shape.context
      guard length >= 1, length <= shape.context else {
        throw CommandError("--length is \(length); it must be from 1 to the model's context, \(shape.context).")
      }
      _ = try TrainingStep(
        GPT(shape), optimizer: AdamWOptimizer(), compute: precision.element, batch: batch, length: length, clip: 1,
        backend: backend)
    }
    try report(backend.madeKernels)
  }

  private func report(_ kernels: [Kernel]) throws {
    if let out { try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true) }
    let assembler = OfflineAssembler.find()
    let heading = ["kernel", "registers", "shared bytes", "barriers", "spilled bytes"]
    writeOutput(line(heading))
    var complaints: [String] = []
    for (index, kernel) in kernels.enumerated() {
      if let out { try AtomicFile.write(kernel.module.text, to: "\(out)/\(index)-\(kernel.name).ptx") }
      guard let assembler else {
        writeOutput(line([kernel.name, "-", "\(kernel.sharedBytes)", "-", "-"]))
        continue
      }
      for assembled in try assembler.assemble(kernel.module) {
        let shared = kernel.sharedBytes + assembled.sharedBytes
        writeOutput(
          line(
            [kernel.name] + [assembled.registers, shared, assembled.barriers, assembled.spillBytes].map(String.init)))
        complaints += assembled.complaints.map { "\(kernel.name): \($0)" }
      }
    }
    if assembler == nil {
      writeOutput("\nNo ptxas was found, so nothing is known of registers: name it in TACHORNIS_PTXAS.\n")
    }
    for complaint in complaints { writeOutput("\n\(complaint)") }
    if !complaints.isEmpty { throw CommandError("\nThe assembler complains about \(complaints.count) kernels.") }
  }

  private func line(_ cells: [String]) -> String {
    let name = cells[0] + String(repeating: " ", count: max(1, 44 - cells[0].count))
    return name + cells.dropFirst().map { String(repeating: " ", count: max(1, 14 - $0.count)) + $0 }.joined() + "\n"
  }
}
