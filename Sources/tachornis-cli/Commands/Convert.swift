import ArgumentParser
import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Tensors

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a GGUF file of a Hugging Face folder, or a folder of a GGUF file.",
    discussion: """
      Examples:
        tachornis convert models/llama llama.gguf --type bf16
        tachornis convert llama.gguf models/llama
        tachornis convert models/llama merged.gguf --adapter adapters/polite

      Model types: \(CheckpointConversion.knownTypes.joined(separator: ", ")).
      Names, settings, tokenizer and chat template go along. Tensors pass through one after the other, so a model may be
      larger than memory. Quantised weights are expanded to --type; experts of gpt-oss in MXFP4 stay as they are.
      """)

  @Argument(help: "A folder with config.json, safetensors and tokenizer.json, or a .gguf file.")
  var input: String

  @Argument(
    help: "What to write, which must not exist yet: a .gguf file of a folder, a folder of a .gguf file.",
    transform: \.withoutTrailingSlashes)
  var output: String

  @Option(help: "The type of matrices: f32, f16 or bf16; as they are if not given.")
  var type: WeightType?

  @Option(help: "The most that a safetensors file should have, in gigabytes (10^9 bytes). (5)")
  var shardSize: Double?

  @Option(help: "An adapter (LoRA) that is added to the weights of a folder: a folder of PEFT, or a .gguf file.")
  var adapter: String?

  enum WeightType: String, CaseIterable, ExpressibleByArgument {
    case f32, f16, bf16

    var element: ElementType {
      switch self {
      case .f32: .float32
      case .f16: .float16
      case .bf16: .bfloat16
      }
    }
  }

  func validate() throws {
    guard let shardSize else { return }
    if !(shardSize > 0 && shardSize <= 1e6) {
      throw ValidationError("--shard-size is \(shardSize); it must be more than 0 and at most 1000000.")
    }
    if output.namesGGUF { throw ValidationError("--shard-size is for folders; a GGUF file is written in one part.") }
  }

  func run() throws {
    if FileManager.default.fileExists(atPath: output) {
      throw CommandError("'\(output)' exists already. Remove it or choose another output.")
    }
    switch try WeightContainer(path: input) {
    case .safetensors:
      guard output.namesGGUF else {
        throw CommandError("'\(input)' holds safetensors; give an output that ends in .gguf.")
      }
      if adapter != nil { DefaultBackend.use(CPUBackend()) }
      try CheckpointConversion.writeGGUF(from: input, to: output, type: type?.element, adapter: adapter)
    case .gguf(let file):
      if adapter != nil {
        throw CommandError(
          "--adapter is added to folders; make one of '\(input)' first: tachornis convert \(input) FOLDER.")
      }
      guard !output.namesGGUF else {
        throw CommandError("'\(input)' is a GGUF file; give a folder as output, which does not end in .gguf.")
      }
      try CheckpointConversion.writeFolder(
        from: file.path, to: output, type: type?.element,
        shardLimit: shardSize.map { Int($0 * 1e9) } ?? WeightFiles.defaultShardLimit)
    }
    let written = try WeightContainer(path: output)
    let bytes =
      switch written {
      case .safetensors(let weights): weights.files.flatMap(\.tensors).map(\.byteCount).reduce(0, +)
      case .gguf(let file): file.tensors.map(\.byteCount).reduce(0, +)
      }
    writeOutput("\(output): \(Numerals.bytes(bytes)) of weights\n")
  }
}
