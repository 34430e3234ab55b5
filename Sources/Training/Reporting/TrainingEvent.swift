// What happens during training, as values. The loop emits these; the sinks of this folder render them.
//
// Invariant: `step` counts finished optimizer steps from 1; events of one run come in rising order of step. A step that
// is run again after a resume replaces its earlier record, it never stands beside it.

/// Something that happened during training.
public enum TrainingEvent: Sendable, Equatable {
  /// The run begins, or goes on after a resume.
  case started(RunDescription)
  /// An optimizer step is done.
  case step(StepRecord)
  /// The loss on held-out text after `step` steps, in nats per token.
  case evaluation(step: Int, loss: Double)
  /// Text that the model wrote after `step` steps.
  case sample(step: Int, text: String)
  /// A checkpoint is on disk; it took `seconds` to write.
  case checkpoint(step: Int, path: String, seconds: Double)
  /// Something that a person should know and that did not end the run.
  case warning(step: Int, message: String)
  /// The run ended, for the reason given.
  case finished(RunSummary)

  /// After how many finished steps this happened.
  public var step: Int {
    switch self {
    case .started(let run): run.resumedFrom
    case .step(let record): record.step
    case .evaluation(let step, _), .sample(let step, _), .checkpoint(let step, _, _), .warning(let step, _): step
    case .finished(let summary): summary.step
    }
  }
}

/// What is trained, and where.
public struct RunDescription: Sendable, Equatable {
  /// The model's name, as in "gpt-6m".
  public var model: String
  /// How many numbers are trained.
  public var parameters: Int
  /// Tokens per optimizer step, over all accumulated batches and ranks.
  public var tokensPerStep: Int
  /// How many steps the run is planned for; 0 where the time decides.
  public var steps: Int
  /// How many seconds this process may train, if there is a limit.
  public var seconds: Double?
  /// What it runs on, as in "AVX-512, 2 threads".
  public var device: String
  /// The step of the checkpoint that the run goes on from; 0 for a fresh run.
  public var resumedFrom: Int
  /// The resolved configuration as JSON5, for the report.
  public var configuration: String

  public init(
    model: String, parameters: Int, tokensPerStep: Int, steps: Int, seconds: Double? = nil, device: String,
    resumedFrom: Int = 0, configuration: String = ""
  ) {
    self.model = model
    self.parameters = parameters
    self.tokensPerStep = tokensPerStep
    self.steps = steps
    self.seconds = seconds
    self.device = device
    self.resumedFrom = resumedFrom
    self.configuration = configuration
  }
}

/// One optimizer step.
public struct StepRecord: Sendable, Equatable {
  /// The number of this step, from 1.
  public var step: Int
  /// The mean training loss of the step's tokens, in nats.
  public var loss: Double
  public var learningRate: Double
  /// The L2 norm of all gradients before clipping.
  public var gradientNorm: Double
  public var tokensPerSecond: Double
  /// How long the step took.
  public var seconds: Double
  /// Model FLOP/s as a fraction of the measured peak of the device; nil where no peak is known.
  public var mfu: Double?
  /// Whether the update was left out (a loss spike, a number that is not finite).
  public var skipped: Bool
  /// The gradient norm of each layer, where it was asked for, first layer first.
  public var layerGradientNorms: [LayerNorm]

  /// The gradient norm of one layer.
  public struct LayerNorm: Sendable, Equatable {
    public var layer: String
    public var norm: Double

    public init(layer: String, norm: Double) {
      self.layer = layer
      self.norm = norm
    }
  }

  public init(
    step: Int, loss: Double, learningRate: Double, gradientNorm: Double, tokensPerSecond: Double, seconds: Double,
    mfu: Double? = nil, skipped: Bool = false, layerGradientNorms: [LayerNorm] = []
  ) {
    self.step = step
    self.loss = loss
    self.learningRate = learningRate
    self.gradientNorm = gradientNorm
    self.tokensPerSecond = tokensPerSecond
    self.seconds = seconds
    self.mfu = mfu
    self.skipped = skipped
    self.layerGradientNorms = layerGradientNorms
  }
}

/// How a run ended.
public struct RunSummary: Sendable, Equatable {
  /// Why the run ended.
  public enum Reason: String, Sendable {
    /// All planned steps are done.
    case completed
    /// The time given is used up.
    case timeLimit
    /// A person asked it to stop; a checkpoint was written.
    case interrupted
    /// It cannot go on; the last warning says why.
    case failed
  }

  public var reason: Reason
  /// Steps done in all, resumed ones included.
  public var step: Int
  /// The last training loss, smoothed where the loop does so.
  public var loss: Double
  /// The last loss on held-out text, if there was one.
  public var evaluationLoss: Double?
  /// Tokens trained on in all.
  public var tokens: Int
  /// Seconds since this process started training.
  public var seconds: Double

  public init(
    reason: Reason, step: Int, loss: Double, evaluationLoss: Double? = nil, tokens: Int, seconds: Double
  ) {
    self.reason = reason
    self.step = step
    self.loss = loss
    self.evaluationLoss = evaluationLoss
    self.tokens = tokens
    self.seconds = seconds
  }
}
