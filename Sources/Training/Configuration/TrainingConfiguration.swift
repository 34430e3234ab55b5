// Everything that decides a training run, as one value. The resolved value is saved with the run; with the same value and
// the same data a run gives the same losses, whatever the number of threads.

public import Core
public import Models
public import Networks

/// A training run.
public struct TrainingConfiguration: Configuration {
  /// Which model `model` starts from; see `GPTPreset.all`.
  public var preset = "10m"
  /// The model's shape. Its vocabulary follows from the tokenizer.
  public var model = GPTConfiguration()
  public var tokenizer = TokenizerChoice.bpe(vocabulary: 4096)
  public var data = DataConfiguration()
  /// Sequences in a batch.
  public var batch = 8
  /// Tokens in a sequence; the model's context if nil.
  public var length: Int?
  /// Batches whose gradients are added up for one step.
  public var accumulation = 1
  /// Optimizer steps; nil: as many as `seconds` allows, or 1000.
  public var steps: Int?
  /// Seconds after which the run ends at the next step; nil: no limit.
  public var seconds: Double?
  public var optimizer = OptimizerConfiguration.adamW(.init())
  public var schedule = Schedule(peak: 1e-3, warmup: 50, course: .cosine(final: 0.1))
  /// Gradients are scaled down to at most this norm; nil: never.
  public var clip: Double? = 1
  /// The type of products; weights and optimizer states are float32 in any case.
  public var precision = Precision.bfloat16
  /// Compute each layer's inner values again on the way back instead of keeping them.
  public var rematerialise = false
  public var seed: UInt64 = 1
  public var device = DeviceChoice.cpu
  /// Threads to compute with; all processors if nil. Does not change results.
  public var threads: Int?
  /// The instruction set to compute with; the best that the machine has if nil.
  public var instructionSet: InstructionSetChoice?
  public var evaluation = EvaluationConfiguration()
  public var sampling = SamplesConfiguration()
  public var checkpoint = CheckpointConfiguration()
  public var stability = StabilityConfiguration()

  public init() { model = try! GPTPreset.named(preset).configuration }

  /// The defaults for a preset.
  ///
  /// - Throws: `ModelError` that lists the presets.
  public init(preset: String) throws(ModelError) {
    self.preset = preset
    model = try GPTPreset.named(preset).configuration
  }

  /// Tokens in a sequence.
  public var sequenceLength: Int { length ?? model.context }
  public var tokensPerStep: Int { batch * sequenceLength * accumulation }

  public func problems() -> [ConfigurationProblem] {
    check(batch > 0 && batch <= 1 << 16, "batch", batch, "must be from 1 to \(1 << 16)")
    check(accumulation > 0 && accumulation <= 1 << 16, "accumulation", accumulation, "must be from 1 to \(1 << 16)")
    check(
      length.map { $0 > 0 && $0 <= model.context } ?? true, "length", length ?? 0,
      "must be from 1 to the model's context, \(model.context)")
    check(steps.map { $0 >= 0 } ?? true, "steps", steps ?? 0, "must not be negative")
    check(seconds.map { $0 > 0 } ?? true, "seconds", seconds ?? 0, "must be positive")
    check(clip.map { $0 > 0 } ?? true, "clip", clip ?? 0, "must be positive, or null for none")
    check(threads.map { $0 > 0 && $0 <= 1024 } ?? true, "threads", threads ?? 0, "must be from 1 to 1024")
  }
}

/// The instruction sets of the processor's kernels, by name. What a machine has, `tachornis doctor` tells.
public enum InstructionSetChoice: String, Codable, Sendable, CaseIterable {
  case portable, neon, avx2, avx512, amx
}

/// How text becomes tokens.
public enum TokenizerChoice: ConfigurationChoice, Hashable {
  /// One token for each character of the data.
  case characters
  /// One token for each byte.
  case bytes
  /// Byte-pair encoding learned from the data.
  case bpe(vocabulary: Int)
  /// A tokenizer.json, a folder that holds one, or a .tiktoken file with GPT-2's splitting rule.
  case file(path: String)

  public static let choices: [TokenizerChoice] = [.characters, .bytes, .bpe(vocabulary: 4096), .file(path: "")]
}

public struct DataConfiguration: Configuration, Hashable {
  /// A text file, a JSONL file or a folder; the built-in stories and sums if nil.
  public var path: String?
  /// Which field of a JSONL line is the text.
  public var textField = "text"
  /// The share at the end that is held out for evaluation.
  public var validation = 0.1
  /// Where tokenised data is kept; a folder of the run if nil.
  public var cache: String?

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(validation >= 0 && validation < 1, "validation", validation, "must be at least 0 and less than 1")
  }
}

public struct EvaluationConfiguration: Configuration, Hashable {
  /// Steps between evaluations; 0: only at the end.
  public var every = 250
  /// How many batches of held-out text at the most.
  public var batches = 20

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(every >= 0, "every", every, "must not be negative")
    check(batches >= 0, "batches", batches, "must not be negative; 0 never evaluates")
  }
}

/// Texts that a run writes now and then to show what it has learned.
public struct SamplesConfiguration: Configuration, Hashable {
  /// Steps between samples; 0: only at the end.
  public var every = 500
  /// Tokens in a sample; 0: no samples.
  public var tokens = 160
  public var temperature = 0.8
  public var prompt = ""

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(every >= 0, "every", every, "must not be negative")
    check(tokens >= 0, "tokens", tokens, "must not be negative; 0 never samples")
    check(temperature >= 0 && temperature.isFinite, "temperature", temperature, "must be 0 or more")
  }
}

public struct CheckpointConfiguration: Configuration, Hashable {
  /// Steps between checkpoints; 0: only at the end.
  public var every = 250
  /// How many of the newest are kept.
  public var keep = 2
  /// Write while training goes on.
  public var background = true

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(every >= 0, "every", every, "must not be negative")
    check(keep >= 1, "keep", keep, "must be at least 1")
  }
}

/// What to do when a step looks wrong. A step whose loss or gradient is not finite is never applied.
public struct StabilityConfiguration: Configuration, Hashable {
  /// Leave out steps whose loss or gradient norm is far above what came before.
  public var skipSpikes = false
  /// How many standard deviations above the running mean are a spike.
  public var threshold = 6.0
  /// Steps before anything can be called a spike.
  public var warmup = 50
  /// End the run after this many steps in a row that could not be applied.
  public var patience = 10
  /// Report the gradient norm of each layer with every n-th step; 0: never.
  public var layerNorms = 10

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(threshold > 0, "threshold", threshold, "must be positive")
    check(warmup >= 2, "warmup", warmup, "must be at least 2")
    check(patience >= 1, "patience", patience, "must be at least 1")
    check(layerNorms >= 0, "layerNorms", layerNorms, "must not be negative")
  }
}
