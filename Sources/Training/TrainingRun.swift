// From a configuration to a run in a folder: tokenizer, data, checkpoint, reports, trainer.
//
//     folder/
//       config.json5        the resolved configuration
//       tokenizer.json      how text became tokens
//       events.jsonl        what happened, a JSON object a line
//       report.html         the same to look at
//       tensorboard/        the same for TensorBoard
//       data/               tokenised text
//       checkpoints/        see Checkpoint.swift

public import Core
import Formats
import FoundationEssentials
import Models
public import Tensors

/// Prepares and runs training in a folder.
public struct TrainingRun {
  public let configuration: TrainingConfiguration
  public let folder: String
  private let trainer: Trainer

  /// - Parameters:
  ///   - resume: go on from the newest checkpoint of the folder that can be believed, if there is one.
  ///   - display: what shows progress to a person, if anything.
  /// - Throws: an error with the remedy where the data, the folder or the configuration cannot be used.
  public init(
    _ configuration: TrainingConfiguration, folder: String, resume: Bool, backend: any Backend,
    display: (any EventSink<TrainingEvent>)?
  ) throws {
    var configuration = configuration
    self.folder = folder
    let data = configuration.data
    let corpus = try data.path.map { try Corpus(path: $0, textField: data.textField) } ?? .storiesAndSums()
    let files = FileManager.default
    do {
      try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw TrainingError(
        .setting,
        "Cannot make the folder '\(folder)' (\(TrainingError.reason(of: error))): choose another with --out, or change its "
          + "permissions.")
    }
    let checkpoints = CheckpointFolder(run: folder)
    var warnings: [String] = []
    let newest = resume ? checkpoints.newest { warnings.append($0) } : nil
    if newest == nil && !resume && !checkpoints.steps.isEmpty {
      throw TrainingError(
        .setting,
        "'\(folder)' holds the checkpoints of an earlier run. Go on with it by --resume, or choose another folder "
          + "with --out.")
    }
    let checkpoint = try newest.map { try Checkpoint(path: $0.path) }
    let tokenizer =
      try checkpoint?.tokenizer
      ?? TrainingRun.tokenizer(configuration.tokenizer, corpus, folder: folder, threads: backend.threadCount)
    configuration.model.vocabulary = tokenizer.vocabularySize
    let problems = ConfigurationLoader.problems(in: configuration)
    guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
    try configuration.requireMemory(of: Double(ProcessInfo.processInfo.physicalMemory))
    if let checkpoint, checkpoint.model.shapes != configuration.model.shapes {
      throw TrainingError(
        .setting,
        "The checkpoint in '\(folder)' is of a model of another shape. Resume with the configuration that the run "
          + "was started with (\(folder)/config.json5).")
    }
    let step = checkpoint?.state.step ?? 0
    if let notice = ExportLayout.of(configuration.model).notice { warnings.append(notice) }
    let dataset = try TokenDataset.prepare(
      corpus, tokenizer: tokenizer, cacheDirectory: data.cache ?? folder + "/data",
      validationFraction: data.validation, threads: backend.threadCount)
    let (held, window) = (dataset.validation.count, configuration.sequenceLength + 1)
    if held > 0 && held < window {
      warnings.append(
        "Only \(held) tokens are held out, but one window needs \(window): nothing is evaluated. Give more text, or a larger "
          + "share (--set data.validation=0.2).")
    }

    // Nothing in the folder changes before it is certain that the run can go on.
    let (resolved, told) = (configuration, warnings)
    func open() throws -> RunRecorder {
      try AtomicFile.write(ConfigurationLoader.encode(resolved) + "\n", to: folder + "/config.json5")
      checkpoints.removePartial()
      checkpoints.prune(keeping: .max, after: step)
      let recorder = try RunRecorder(folder: folder, resumingFrom: step, display: display)
      for warning in told { recorder.receive(.warning(step: step, message: warning)) }
      return recorder
    }
    self.configuration = resolved
    trainer = try Trainer(
      resolved, dataset: dataset, tokenizer: tokenizer, folder: folder, resuming: checkpoint, backend: backend,
      sink: try open())
  }

  /// Trains to the end, or until `shouldStop` says so at the end of a step.
  public func run(shouldStop: () -> Bool = { false }) throws -> RunSummary { try trainer.run(shouldStop: shouldStop) }

  /// The tokenizer that is asked for; what is learned from the corpus is kept in the folder and not learned again.
  private static func tokenizer(
    _ choice: TokenizerChoice, _ corpus: Corpus, folder: String, threads: Int
  ) throws -> any Tokenizer {
    switch choice {
    case .characters: return try corpus.trainCharacterTokenizer()
    case .bytes: return BytePairEncoding.bytes()
    case .file(let path): return try TokenizerFile.read(path: path)
    case .bpe(let vocabulary):
      let key = String(corpus.fingerprint, radix: 16) + "-\(vocabulary)"
      let cached = "\(folder)/data/bpe-\(key).json"
      if let tokenizer = try? TokenizerFile.read(path: cached) { return tokenizer }
      let tokenizer = try corpus.trainBytePairEncoding(
        vocabularySize: vocabulary, threads: threads, maximumBytes: 64 << 20)
      try FileManager.default.createDirectory(atPath: folder + "/data", withIntermediateDirectories: true)
      try TokenizerFile.write(tokenizer, to: cached)
      return tokenizer
    }
  }
}

extension Backend {
  /// Threads for preparing data.
  fileprivate var threadCount: Int { ProcessInfo.processInfo.activeProcessorCount }
}

extension TrainingConfiguration {
  /// Throws unless a machine with so many bytes of memory could hold the parameters, what the optimizer remembers of them,
  /// and the hidden states of a batch. A lower bound: it catches sizes that were mistyped, before they are asked for.
  fileprivate func requireMemory(of machine: Double) throws {
    let (width, layers) = (Double(model.width), Double(model.layers))
    let inner = Double(model.heads) * Double(model.headSize) + 1.5 * Double(model.mlpWidth)
    let parameters = width * (Double(model.vocabulary) + layers * 2 * inner)
    let tokens = Double(batch) * Double(sequenceLength)
    let needed = parameters * 4 * 3 + tokens * width * 2 * layers + tokens * 16 * Double(accumulation)
    guard needed > machine else { return }
    func gigabytes(_ bytes: Double) -> String { Numerals.fixed(bytes / 1e9, 0) }
    throw TrainingError(
      .setting,
      "This model and batch need at least \(gigabytes(needed)) GB of memory, and this machine has \(gigabytes(machine)). Choose "
        + "a smaller --model, --set batch=… or --set length=….")
  }
}

extension GPTConfiguration {
  /// What decides the shapes of parameters.
  fileprivate var shapes: GPTConfiguration {
    var result = self
    (result.dropout, result.initialDeviation) = (0, 0)
    return result
  }
}
