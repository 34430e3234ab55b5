import ArgumentParser
import CPUBackend
import Core
import Formats
import FoundationEssentials
import Models
import Networks
import Quantization
import Tensors
import Training

struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model smaller: its matrices in 4 to 8 bits.",
    discussion: """
      Examples:
        tachornis quantize --model runs/book --to int8 --out book-int8
        tachornis quantize --model runs/book --to int4 --method gptq \\
          --calibration book.txt --evaluate other.txt --out book-int4
        tachornis quantize --model models/llama --to q4_K --out llama-q4_K.gguf

      int4 and int8 are written as a folder in the format of compressed-tensors, the others as a GGUF file. Embeddings, \
      heads, norms and routers stay as they are.
      """)

  @Option(help: "A run's folder, a checkpoint, or a folder with config.json, safetensors of floats and tokenizer.json.")
  var model: String

  @Option(help: ArgumentHelp("The format: \(Format.names).", valueName: "format"))
  var to: Format

  @Option(help: "rtn rounds each weight to the nearest; gptq (int4 and int8) makes up for what rounding costs.")
  var method: Method = .rtn

  @Option(help: "Weights of a row that share a scale, for int4 and int8: a multiple of 32, or 0 for whole rows.")
  var group = 32

  @Flag(help: "With gptq: take the columns with the largest inputs first.")
  var order = false

  @Option(help: "A text file, a JSONL file, or a folder of such, for gptq.")
  var calibration: String?

  @Option(help: "Windows of calibration text, each as long as the model's context but at most 2048 tokens.")
  var windows = 512

  @Option(help: "A text on which to measure the perplexity before and after.")
  var evaluate: String?

  @Option(
    name: .customLong("keep"), parsing: .singleValue,
    help: "Leave matrices as they are whose names contain this; may be repeated.")
  var kept: [String] = []

  @Option(help: "What to write, which must not exist yet: a folder for int4 and int8, else a .gguf file.")
  var out: String

  @Option(help: "Threads to compute with.")
  var threads: Int?

  enum Method: String, CaseIterable, ExpressibleByArgument { case rtn, gptq }

  func validate() throws {
    if group < 0 || group % 32 != 0 { throw ValidationError("--group is \(group); it must be a multiple of 32, or 0.") }
    if windows < 1 { throw ValidationError("--windows is \(windows); it must be 1 or more.") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads); it must be 1 or more.") }
    if method == .gptq && to.gguf != nil { throw ValidationError("--method gptq is for int4 and int8 only.") }
    if method == .gptq && calibration == nil { throw ValidationError("--method gptq needs --calibration with a text.") }
    if to.gguf != nil && !out.hasSuffix(".gguf") {
      throw ValidationError("--to \(to.rawValue) writes a GGUF file; give an --out that ends in .gguf.")
    }
  }

  func run() throws {
    if FileManager.default.fileExists(atPath: out) {
      throw CommandError("'\(out)' exists already. Remove it or choose another --out.")
    }
    let loaded = try LoadedModel(path: model)
    let pretrained = loaded.pretrained
    if let quantized = pretrained.settings["quantization_config"], quantized != .null {
      throw CommandError("The model in '\(pretrained.path)' is quantised already. Give --model one of floats.")
    }
    if pretrained.path.lowercased().hasSuffix(".gguf") {
      throw CommandError(
        "Only folders are quantised. Make one of '\(pretrained.path)' first: tachornis convert FILE.gguf FOLDER.")
    }
    let backend = CPUBackend(threads: threads)
    DefaultBackend.use(backend)
    let binding = try pretrained.weights(.float32)
    var quantizer = ModelQuantizer(to.format(group: group == 0 ? nil : group))
    quantizer.dense += kept
    quantizer.scales = try Quantize.scaleType(pretrained)
    if method == .gptq {
      let text = try tokens(calibration!, loaded)
      let window = min(loaded.model.context, 2048, max(1, text.count))
      var gptq = GPTQ()
      gptq.isOrdered = order
      quantizer.method = .gptq(
        gptq,
        try Calibration(loaded.model, binding, text: text, window: window, limit: windows, backend: backend))
    }
    let result = quantizer.quantized(loaded.model, binding)
    guard !result.names.isEmpty else {
      throw CommandError(
        "No matrix of this model can be quantised to \(quantizer.format.name): rows must be whole groups.")
    }
    try write(pretrained, quantizer, result)
    try report(loaded, binding, result, backend)
  }

  // MARK: Parts

  private func write(_ pretrained: PretrainedModel, _ quantizer: ModelQuantizer, _ result: QuantizedModel) throws {
    guard let (type, fileType) = to.gguf else {
      try CompressedCheckpoint.write(
        from: pretrained.path, settings: pretrained.settings, result.integers, scheme: quantizer.scheme!, to: out)
      return
    }
    let blocks = WrittenBlocks(type: type, fileType: fileType) { name, _ in
      result.names.contains(name)
    } encode: { floats, columns in
      let values = floats.assumingMemoryBound(to: Float.self)
      return BlockEncoder.blocks(of: values, rows: values.count / columns, columns: columns, quantizer.format)
    }
    try CheckpointConversion.writeGGUF(from: pretrained.path, to: out, blocks: blocks)
  }

  private func report(
    _ loaded: LoadedModel, _ before: WeightBinding, _ after: QuantizedModel, _ backend: any Backend
  ) throws {
    let all = loaded.model.parameters.filter { $0.role == .matrix }
    writeOutput("\(after.names.count) of \(all.count) matrices are in \(to.rawValue).\n\n")
    let sizes = [
      try Quantize.weightBytes(loaded.pretrained.path), try Quantize.weightBytes(out),
    ].map { "\($0 / 1000) kB" }
    var losses = ["", ""]
    if let evaluate {
      let text = try tokens(evaluate, loaded)
      let length = min(loaded.model.context, 4096)
      for (index, binding) in [before, after.binding].enumerated() {
        let evaluator = try Evaluator(loaded.model, binding, batch: 4, length: length, backend: backend)
        guard let loss = try evaluator.loss(of: text) else {
          throw CommandError("'\(evaluate)' holds \(text.count) tokens; at least two are needed. Give more text.")
        }
        losses[index] = Quantize.rounded(Evaluator.perplexity(loss.loss))
      }
    }
    let rows = [["", "before", "after"], ["weights"] + sizes] + (evaluate == nil ? [] : [["perplexity"] + losses])
    for row in rows {
      let cells = row.map { $0 + String(repeating: " ", count: max(0, 14 - $0.count)) }
      writeOutput(cells.joined() + "\n")
    }
  }

  /// To four decimals.
  private static func rounded(_ value: Double) -> String { JSONNumber((value * 10000).rounded() / 10000).text }

  private func tokens(_ path: String, _ loaded: LoadedModel) throws -> [Int32] {
    let cache =
      FileManager.default.temporaryDirectory.path + "/tachornis-quantize-\(ProcessInfo.processInfo.processIdentifier)"
    defer { try? FileManager.default.removeItem(atPath: cache) }
    let dataset = try TokenDataset.prepare(
      Corpus(path: path), tokenizer: loaded.tokenizer, cacheDirectory: cache, validationFraction: 0)
    var text = [Int32](repeating: 0, count: dataset.training.count)
    text.withUnsafeMutableBufferPointer { if $0.count > 0 { dataset.copy(dataset.training, to: $0.baseAddress!) } }
    return text
  }

  /// Scales as precise as the weights of the file.
  private static func scaleType(_ pretrained: PretrainedModel) throws -> ElementType {
    let files = try WeightFiles(path: pretrained.path).files
    let types = files.flatMap(\.tensors).filter { $0.shape.count == 2 }.map(\.type)
    return types.contains(.f32) || types.contains(.f64) ? .float32 : types.contains(.bf16) ? .bfloat16 : .float16
  }

  /// Of a GGUF file, or of all safetensors in a folder.
  private static func weightBytes(_ path: String) throws -> Int {
    switch try WeightContainer(path: path) {
    case .gguf(let file): file.tensors.map(\.byteCount).reduce(0, +)
    case .safetensors(let files): files.files.flatMap(\.tensors).map(\.byteCount).reduce(0, +)
    }
  }
}

extension Quantize {
  /// What a model can be quantised to.
  // swift-format-ignore: AlwaysUseLowerCamelCase
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case int4, int8, q4_0, q4_1, q5_0, q5_1, q8_0, q4_K, q5_K, q6_K, iq4_NL, mxfp4

    static let names = allCases.map(\.rawValue).joined(separator: ", ")

    func format(group: Int?) -> BlockFormat {
      switch self {
      case .int4: .int4(group: group)
      case .int8: .int8(group: group)
      case .q4_0: .q40
      case .q4_1: .q41
      case .q5_0: .q50
      case .q5_1: .q51
      case .q8_0: .q80
      case .q4_K: .q4K
      case .q5_K: .q5K
      case .q6_K: .q6K
      case .iq4_NL: .iq4NL
      case .mxfp4: .mxfp4
      }
    }

    /// The type of tensors and `general.file_type`; nil: no format of GGUF.
    var gguf: (type: GGUFType, fileType: UInt32)? {
      switch self {
      case .int4, .int8: nil
      case .q4_0: (.q4_0, 2)
      case .q4_1: (.q4_1, 3)
      case .q5_0: (.q5_0, 8)
      case .q5_1: (.q5_1, 9)
      case .q8_0: (.q8_0, 7)
      case .q4_K: (.q4_K, 14)
      case .q5_K: (.q5_K, 16)
      case .q6_K: (.q6_K, 18)
      case .iq4_NL: (.iq4_NL, 25)
      case .mxfp4: (.mxfp4, 38)
      }
    }
  }
}
