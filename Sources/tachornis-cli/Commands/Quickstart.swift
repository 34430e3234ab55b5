import ArgumentParser
import Core
import Models
import Networks
import Tensors
import Training

struct Quickstart: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a small model on the built-in stories and sums, and let it write.",
    discussion: """
      Needs nothing: no file, no network. It trains for a minute and a half, writes \
      a report and a checkpoint, and prints what the model has learned.

      Example:
        tachornis quickstart --out runs/first --seconds 60
      """)

  @Option(help: "The run's folder.", transform: \.withoutTrailingSlashes)
  var out = "runs/quickstart"

  @Option(help: "How long to train.")
  var seconds = 90.0

  @OptionGroup var computing: ComputingOptions

  func validate() throws {
    if !(seconds > 0 && seconds.isFinite) { throw ValidationError("--seconds is \(seconds); it must be positive.") }
  }

  func run() throws {
    let folder = Quickstart.free(out)
    let summary = try TrainCommand.run(try setup(), folder: folder, resume: false)
    writeOutput("\n")
    for prompt in ["One day", "3 + 4 ="] {
      writeOutput(try Quickstart.write(prompt, model: folder) + "\n\n")
    }
    if let loss = summary.evaluationLoss {
      writeOutput("Loss on held-out text: \(Numerals.fixed(loss, 3)) nats a token after \(summary.step) steps.\n")
    }
    writeOutput(
      """
      The report:  \(folder)/report.html
      Go on with:  tachornis generate --model \(folder) --prompt "One day"
                   tachornis train --data YOUR.txt

      """)
  }

  private func setup() throws -> TrainingConfiguration {
    var configuration = try TrainingConfiguration(preset: "1m")
    configuration.tokenizer = .bpe(vocabulary: 768)
    configuration.model.context = 128
    configuration.batch = 16
    configuration.seconds = seconds
    configuration.threads = computing.threads
    if let device = computing.device { configuration.device = device }
    configuration.schedule = .init(peak: 4e-3, warmup: 40, course: .linear(final: 0.02))
    configuration.evaluation.every = 200
    configuration.sampling.every = 400
    configuration.sampling.tokens = 120
    configuration.checkpoint.every = 0
    return configuration
  }

  /// The folder, or with a number behind it where a run is there already.
  private static func free(_ folder: String) -> String {
    if CheckpointFolder(run: folder).steps.isEmpty { return folder }
    return (2...).lazy.map { "\(folder)-\($0)" }.first { CheckpointFolder(run: $0).steps.isEmpty }!
  }

  private static func write(_ prompt: String, model: String) throws -> String {
    let loaded = try LoadedModel(path: model)
    return try loaded.continuation(of: prompt, tokens: 100, temperature: 0.6)
  }
}
