import ArgumentParser
import CPUBackend
import Core
import FoundationEssentials
import Models
import Tensors
import Training

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a GPT on text.",
    discussion: """
      Examples:
        tachornis train --data book.txt
        tachornis train --data articles.jsonl --model 124m --steps 20000
        tachornis train --data book.txt --set tokenizer=characters --seconds 600
        tachornis train --out runs/book --resume

      A run's folder holds config.json5, events.jsonl, report.html and checkpoints \
      that other programs load. Ctrl-C ends at a step with a checkpoint. Without \
      --data the built-in stories and sums are learned.
      """)

  @Option(help: "A text file, a JSONL file, or a folder of such.")
  var data: String?

  @Option(help: ArgumentHelp("The model: \(GPTPreset.all.map(\.name).joined(separator: ", ")).", valueName: "preset"))
  var model: String?

  @Option(help: "Optimizer steps.")
  var steps: Int?

  @Option(help: "Seconds after which to end.")
  var seconds: Double?

  @Option(help: "The run's folder; runs/ and the data's name if not given.", transform: \.withoutTrailingSlashes)
  var out: String?

  @Flag(help: "Go on from the newest valid checkpoint in the folder, or start afresh if there is none.")
  var resume = false

  @Option(help: "Of all random numbers.")
  var seed: UInt64?

  @OptionGroup var computing: ComputingOptions

  @Option(help: "A JSON5 file with settings.")
  var config: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Any setting, as schedule.peak=3e-4 or tokenizer=characters; may be repeated. `config.json5` lists all.",
      valueName: "path=value"))
  var settings: [String] = []

  func run() throws {
    let folder = out ?? "runs/" + Train.name(of: data)
    let configuration = try resolved(folder: folder)
    try TrainCommand.run(configuration, folder: folder, resume: resume)
  }

  /// Defaults of the preset, then the file (on resume: the run's own), then --set, then the flags.
  private func resolved(folder: String) throws -> TrainingConfiguration {
    let saved = folder + "/config.json5"
    let file = config ?? (resume && FileManager.default.fileExists(atPath: saved) ? saved : nil)
    var flags = settings
    if let data { flags.append("data.path=\(Train.quoted(data))") }
    if let steps { flags.append("steps=\(steps)") }
    if let seconds { flags.append("seconds=\(seconds)") }
    if let seed { flags.append("seed=\(seed)") }
    flags += computing.settings
    let preset = model ?? settings.last { $0.hasPrefix("preset=") }.map { String($0.dropFirst(7)) }
    if let preset { flags.append("preset=\(Train.quoted(preset))") }
    let defaults = try preset.map { try TrainingConfiguration(preset: $0) } ?? TrainingConfiguration()
    return try ConfigurationLoader.load(file: file, overrides: flags, defaults: defaults)
  }

  private static func quoted(_ text: String) -> String { JSONValue.string(text).json }

  /// `book` of `texts/book.txt`.
  private static func name(of path: String?) -> String {
    guard let path, let last = path.split(separator: "/").last else { return "stories" }
    let stem = last.split(separator: ".").first.map(String.init) ?? ""
    return stem.isEmpty || stem == ".." ? "run" : stem
  }
}

/// What `train` and `quickstart` share.
enum TrainCommand {
  @discardableResult
  static func run(_ configuration: TrainingConfiguration, folder: String, resume: Bool) throws -> RunSummary {
    let backend = try Device.backend(
      configuration.device, threads: configuration.threads, instructionSet: try instructionSet(configuration))
    Interrupt.watch()
    let training = try TrainingRun(
      configuration, folder: folder, resume: resume, backend: backend, display: TerminalSink())
    return try training.run { Interrupt.isAsked }
  }

  private static func instructionSet(_ configuration: TrainingConfiguration) throws -> CPUBackend.InstructionSet? {
    guard let choice = configuration.instructionSet else { return nil }
    let available = CPUBackend.InstructionSet.available
    guard let set = available.first(where: { "\($0)" == choice.rawValue }) else {
      throw CommandError(
        "This machine does not have \(choice.rawValue) (instructionSet). It has: "
          + available.filter { $0 != .amxEmulated }.map { "\($0)" }.joined(separator: ", ") + ".")
    }
    return set
  }
}
