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
    abstract: "Make a model smaller: its matrices in 2 to 8 bits.",
    discussion: """
      Examples:
        tachornis quantize --model runs/book --to int8 --out book-int8
        tachornis quantize --model runs/book --to int4 --method gptq \\
          --calibration book.txt --evaluate other.txt --out book-int4
        tachornis quantize --model models/llama --to q4_K_M --out llama-Q4_K_M.gguf

      int4 and int8 are written as a folder in the format of compressed-tensors, in which embeddings, heads, norms and \
      routers stay as they are. The others are written as a GGUF file, with the types for each tensor that llama-quantize \
      chooses under the same name.
      """)

  @Option(help: "A run's folder, a checkpoint, or a folder with config.json, safetensors of floats and tokenizer.json.")
  var model: String

  @Option(help: ArgumentHelp("The format: \(QuantizedForm.names).", valueName: "format"))
  var to: QuantizedForm

  @Option(
    help: """
      rtn rounds each weight to the nearest; gptq and awq (int4 and int8) look at what the weights are multiplied with on \
      calibration text.
      """)
  var method: Method = .rtn

  @Option(help: "Weights of a row that share a scale, for int4 and int8: a multiple of 32, or 0 for whole rows. (32)")
  var group: Int?

  @Flag(help: "With gptq: take the columns with the largest inputs first.")
  var order = false

  @Flag(inversion: .prefixedNo, help: "With awq: narrow the range of a group where that makes products less wrong.")
  var clip = true

  @Option(help: "A text file, a JSONL file, or a folder of such, for gptq and awq.")
  var calibration: String?

  @Option(help: "Windows of calibration text, each as long as the model's context but at most 2048 tokens. (512)")
  var windows: Int?

  @Option(help: "A text on which to measure the perplexity before and after.")
  var evaluate: String?

  @Option(
    name: .customLong("keep"), parsing: .singleValue,
    help: "Leave tensors as they are whose names in the folder contain this; may be repeated.")
  var kept: [String] = []

  @Option(
    help: "What to write, which must not exist yet: a folder for int4 and int8, else a .gguf file.",
    transform: \.withoutTrailingSlashes)
  var out: String

  @OptionGroup var computing: ComputingOptions

  enum Method: String, CaseIterable, ExpressibleByArgument { case rtn, gptq, awq }

  func validate() throws {
    if let group, group < 0 || group % 32 != 0 {
      throw ValidationError("--group is \(group); it must be a multiple of 32, or 0.")
    }
    if let windows, windows < 1 { throw ValidationError("--windows is \(windows); it must be 1 or more.") }
    if to.isGGUF {
      if method != .rtn { throw ValidationError("--method \(method.rawValue) is for int4 and int8 only.") }
      if group != nil { throw ValidationError("--group is for int4 and int8 only; \(to) has groups of its own.") }
      if !out.namesGGUF {
        throw ValidationError("--to \(to) writes a GGUF file; give an --out that ends in .gguf.")
      }
    } else if out.namesGGUF {
      throw ValidationError("--to \(to) writes a folder; give an --out that does not end in .gguf.")
    }
    if method == .rtn {
      if calibration != nil { throw ValidationError("--calibration is for --method gptq and awq.") }
      if windows != nil { throw ValidationError("--windows is for --method gptq and awq.") }
    } else if calibration == nil {
      throw ValidationError("--method \(method.rawValue) needs --calibration with a text.")
    }
    if order && method != .gptq { throw ValidationError("--order is for --method gptq.") }
    if !clip && method != .awq { throw ValidationError("--no-clip is for --method awq.") }
  }

  func run() throws {
    try checkOutput()
    let loaded = try LoadedModel(path: model)
    let pretrained = loaded.pretrained
    if let quantized = pretrained.settings["quantization_config"], quantized != .null {
      throw CommandError("The model in '\(pretrained.path)' is quantised already. Give --model one of floats.")
    }
    if pretrained.path.namesGGUF {
      throw CommandError(
        "Only folders are quantised. Make one of '\(pretrained.path)' first: tachornis convert FILE.gguf FOLDER.")
    }
    // Texts are read before anything is computed, so that a wrong one is found at once.
    let text = try calibration.map { try Quantize.text($0, loaded, least: loaded.calibrationWindow) }
    let held = try evaluate.map { try Quantize.text($0, loaded, least: 2) }
    let backend = try computing.backend()
    let files = try WeightFiles(path: pretrained.path)
    for pattern in kept where !files.names.contains(where: { $0.contains(pattern) }) {
      throw CommandError(
        "--keep '\(pattern)' is in no name of a tensor in '\(pretrained.path)'. `tachornis inspect` lists them.")
    }
    Interrupt.watch()
    let summary =
      switch to {
      case .integers(let bits): try writeIntegers(bits, loaded, files, text, backend)
      case .gguf(let mixture): try writeGGUF(mixture, pretrained, files)
      }
    Interrupt.forget()
    writeOutput(summary + "\n\n")
    try report(loaded, held, backend)
  }

  // MARK: Integers

  private func writeIntegers(
    _ bits: Int, _ loaded: LoadedModel, _ files: WeightFiles, _ text: [Int32]?, _ backend: any Backend
  ) throws -> String {
    let group = group ?? 32
    var quantizer = ModelQuantizer(
      .init(
        bits: bits, group: group == 0 ? nil : group, isSymmetric: bits == 8, scales: Quantize.scaleType(files)))
    quantizer.dense += kept
    quantizer.check = Quantize.checkInterrupt
    let matrices = quantizer.matrices(of: loaded.pretrained, files)
    guard !matrices.isEmpty else {
      throw CommandError(
        "No matrix of this model can be quantised to \(quantizer.scheme.format.name): rows must be whole groups, and "
          + "tensors must be single matrices [outputs, inputs]. A GGUF format (--to q8_0) may do.")
    }
    var progress = LayerProgress(to.description)
    var summary = "\(matrices.count) of \(loaded.matrixCount(files)) matrices are in \(to)"
    if let text {
      let binding = try loaded.pretrained.weights(.float32)
      let calibration = try Calibration(
        loaded.model, binding, text: text, window: loaded.calibrationWindow, limit: windows ?? 512, backend: backend,
        check: Quantize.checkInterrupt
      ) { done, all in
        if done == all || done % 64 == 0 { Failure.writeError("calibration: \(done) of \(all) windows\n") }
      }
      let known = matrices.values.filter { calibration[$0.name] != nil }.count
      summary += known == matrices.count ? "" : ", \(matrices.count - known) of them rounded to nearest"
      if method == .gptq {
        var gptq = GPTQ()
        gptq.isOrdered = order
        quantizer.method = .gptq(gptq, calibration)
      } else {
        var awq = AWQ()
        awq.clips = clip
        var scaling = LayerProgress("scales")
        try quantizer.scale(awq, loaded.pretrained, files, binding, calibration, backend: backend) {
          scaling.reach($0)
        }
      }
    }
    try CompressedCheckpoint.write(loaded.pretrained, files, quantizer, to: out) { progress.reach($0) }
    return summary + "."
  }

  // MARK: GGUF

  private func writeGGUF(_ mixture: GGUFMixture, _ pretrained: PretrainedModel, _ files: WeightFiles) throws -> String {
    let hasHead = files.names.contains { $0.hasSuffix("lm_head.weight") }
    let model = GGUFMixture.Model(pretrained.settings, hasHead: hasHead)
    var progress = LayerProgress(to.description)
    let blocks = WrittenBlocks(fileType: mixture.fileType) { name, source, shape in
      if kept.contains(where: source.contains) { return nil }
      return mixture.type(of: name, rank: shape.count, columns: shape.last ?? 0, in: model)
    } encode: { name, type, floats, columns in
      try Quantize.checkInterrupt()
      progress.reach(name)
      guard case .blocks(let format)? = type.form else { preconditionFailure("\(type) is no format of blocks") }
      let values = floats.assumingMemoryBound(to: Float.self)
      try checkFinite(values, of: name)
      return BlockEncoder.blocks(of: values, rows: values.count / columns, columns: columns, format)
    }
    try CheckpointConversion.writeGGUF(from: pretrained.path, to: out, blocks: blocks)
    let written = try GGUFFile(path: out).tensors.filter { $0.shape.count > 1 }
    let counts = Dictionary(grouping: written, by: \.type).map { "\($0.value.count) in \($0.key.name)" }
    return "Of \(written.count) matrices, \(counts.sorted().joined(separator: ", "))."
  }

  // MARK: Parts

  /// What can be known of the result's place before it is written.
  private func checkOutput() throws {
    let manager = FileManager.default
    if manager.fileExists(atPath: out) {
      throw CommandError("'\(out)' exists already. Remove it or choose another --out.")
    }
    let parent = out.lastIndex(of: "/").map { $0 == out.startIndex ? "/" : String(out[..<$0]) } ?? "."
    var isFolder = false
    guard manager.fileExists(atPath: parent, isDirectory: &isFolder), isFolder else {
      throw CommandError("There is no folder '\(parent)' for --out '\(out)'. Make it first.")
    }
    guard manager.isWritableFile(atPath: parent) else {
      throw CommandError("Nothing can be written in '\(parent)'. Choose another --out.")
    }
  }

  private func report(_ loaded: LoadedModel, _ text: [Int32]?, _ backend: any Backend) throws {
    let paths = [loaded.pretrained.path, out]
    let sizes = try paths.map { "\(try Quantize.weightBytes($0) / 1000) kB" }
    var rows = [["", "before", "after"], ["weights"] + sizes]
    if let text {
      // As they are on the disk, both.
      let perplexities = try paths.map { path in
        let evaluator = try Evaluator(
          PretrainedModel(path: path), batch: 4, length: min(loaded.model.context, 4096), backend: backend)
        return Numerals.fixed(Evaluator.perplexity(try evaluator.loss(of: text)!.loss), 4)
      }
      rows.append(["perplexity"] + perplexities)
    }
    for row in rows {
      let cells = row.map { $0 + String(repeating: " ", count: max(0, 14 - $0.count)) }
      writeOutput(cells.joined() + "\n")
    }
  }

  @Sendable private static func checkInterrupt() throws {
    if Interrupt.isAsked { throw CommandError("Interrupted; nothing was written.") }
  }

  private static func text(_ path: String, _ loaded: LoadedModel, least: Int) throws -> [Int32] {
    let text = try loaded.tokens(of: path)
    if text.count >= least { return text }
    throw CommandError("'\(path)' holds \(text.count) tokens; at least \(least) are needed. Give more text.")
  }

  /// Scales as precise as the weights of the file.
  private static func scaleType(_ files: WeightFiles) -> ElementType {
    let types = files.files.flatMap(\.tensors).filter { $0.shape.count == 2 }.map(\.type)
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

extension LoadedModel {
  /// Tokens of a window of calibration text.
  fileprivate var calibrationWindow: Int { min(model.context, 2048) }

  /// The matrices of a folder, those of experts each for itself.
  fileprivate func matrixCount(_ files: WeightFiles) -> Int {
    max(pretrained.matrices(in: files).count, model.parameters.filter { $0.role == .matrix }.count)
  }
}

/// A line on standard error whenever work reaches another layer.
private struct LayerProgress {
  private let work: String
  private var layer: Substring?

  init(_ work: String) { self.work = work }

  /// - Parameter name: of a tensor.
  mutating func reach(_ name: String) {
    let now = name.split(separator: ".").first { $0.allSatisfy(\.isNumber) } ?? name[...]
    if now == layer { return }
    layer = now
    Failure.writeError("\(work): \(now == name[...] ? "" : "layer ")\(now)\n")
  }
}

/// What a model can be quantised to.
enum QuantizedForm: ExpressibleByArgument, CustomStringConvertible {
  /// Integers of 4 or 8 bits, as compressed-tensors.
  case integers(bits: Int)
  case gguf(GGUFMixture)

  static let names = (["int4", "int8"] + GGUFMixture.allCases.map(\.rawValue)).joined(separator: ", ")

  /// Names as they are written anywhere: q4_k_m is Q4_K_M, and Q4_K means it, too.
  init?(argument: String) {
    var name = argument.lowercased()
    if ["q3_k", "q4_k", "q5_k"].contains(name) { name += "_m" }
    if let mixture = GGUFMixture.allCases.first(where: { $0.rawValue.lowercased() == name }) {
      self = .gguf(mixture)
    } else if name == "int4" || name == "int8" {
      self = .integers(bits: name == "int4" ? 4 : 8)
    } else {
      return nil
    }
  }

  var isGGUF: Bool { if case .gguf = self { true } else { false } }

  var description: String {
    switch self {
    case .integers(let bits): "int\(bits)"
    case .gguf(let mixture): mixture.rawValue
    }
  }
}
