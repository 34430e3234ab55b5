import ArgumentParser
import Core
import Models

/// How a command that writes text chooses tokens: flags for what people type every day, `--set` for all else.
struct SamplingOptions: ParsableArguments {
  @Option(help: "0 always takes the likeliest token; 1 samples from the model's own distribution.")
  var temperature = 0.8

  @Option(help: "Sample from the likeliest so many tokens only.")
  var topK: Int?

  @Option(help: "Sample from the likeliest tokens only that together have this probability.")
  var topP: Double?

  @Option(help: "Sample only from tokens with at least this share of the likeliest one's probability.")
  var minP: Double?

  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 1

  @Option(parsing: .singleValue, help: "A text that ends the answer; may be repeated.")
  var stop: [String] = []

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Any rule of sampling, as typical=0.9 or dry.multiplier=0.8; may be repeated. An unknown path lists all.",
      valueName: "path=value"))
  var settings: [String] = []

  func validate() throws {
    let problems = ConfigurationLoader.problems(in: flags)
    if let problem = problems.first {
      throw ValidationError("--\(Self.flag(problem.path)) is \(problem.value ?? ""); it \(problem.problem).")
    }
    _ = try configuration
  }

  /// Whether anything but temperature and seed is given.
  var hasRules: Bool { topK != nil || topP != nil || minP != nil || !stop.isEmpty || !settings.isEmpty }

  /// The flags' configuration.
  private var flags: SamplingConfiguration {
    var result = SamplingConfiguration(temperature: temperature, topK: topK, seed: seed)
    if let topP { result.topP = topP }
    if let minP { result.minP = minP }
    result.stop = stop
    return result
  }

  /// The flags, and over them `--set`.
  var configuration: SamplingConfiguration {
    get throws { try ConfigurationLoader.load(overrides: settings, defaults: flags) }
  }

  /// `top-k` of `topK`.
  private static func flag(_ path: String) -> String {
    path.map { $0.isUppercase ? "-" + $0.lowercased() : String($0) }.joined()
  }
}
