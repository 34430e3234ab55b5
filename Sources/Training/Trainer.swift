// The training loop: data, step, event; now and then an evaluation, a sample, a checkpoint.
//
// Invariant: what a step computes depends on the configuration, the data and the step's number alone. So a run that was
// killed and resumed gives the losses of one that was not.

package import Core
package import Formats
internal import Models
internal import Networks
package import Tensors

/// Trains a GPT.
public final class Trainer {
  public let configuration: TrainingConfiguration
  private let dataset: TokenDataset
  private let tokenizer: any Tokenizer
  private let backend: any Backend
  private let sink: any EventSink<TrainingEvent>
  private let clock: any SecondsClock

  private let model: GPT
  private let step: TrainingStep
  private let state: TrainingState
  private let order: BatchOrder
  private let writer: CheckpointWriter
  private let batches: [(tokens: TensorData, targets: TensorData)]
  private var watch: StabilityWatch
  private var done: Int
  private var evaluationLoss: Double?
  /// The step of the newest checkpoint that is on disk.
  private var saved: Int?
  private lazy var evaluator = Result {
    try Evaluator(
      model, step.store, batch: configuration.batch, length: configuration.sequenceLength, backend: backend)
  }
  private lazy var generator = Generator(
    model, step.store, weights: given, storage: .float(configuration.precision.element), backend: backend)
  /// FLOP/s that a large product reaches here; measured after the first step, so as not to delay it.
  private var peak: Double?

  /// - Parameters:
  ///   - configuration: with the model's vocabulary that of the tokenizer.
  ///   - folder: the run's folder, which exists.
  ///   - checkpoint: what to go on from; nil: a fresh start.
  ///   - sink: told what happens; opened last, so that a run that is refused leaves the folder as it was.
  /// - Throws: `TrainingError`, `FormatsError` if the data does not fill a window.
  package init(
    _ configuration: TrainingConfiguration, dataset: TokenDataset, tokenizer: any Tokenizer, folder: String,
    resuming checkpoint: Checkpoint? = nil, backend: any Backend,
    sink: @autoclosure () throws -> any EventSink<TrainingEvent>, clock: any SecondsClock = MonotonicClock()
  ) throws {
    self.configuration = configuration
    self.dataset = dataset
    self.tokenizer = tokenizer
    self.backend = backend
    self.clock = clock
    let length = configuration.sequenceLength
    try dataset.requireWindows(of: length)
    order = dataset.order(seed: configuration.seed, length: length)
    model = GPT(configuration.model)
    let optimizer = configuration.optimizer.optimizer
    step = try TrainingStep(
      model, optimizer: optimizer, compute: configuration.precision.element, batch: configuration.batch,
      length: length, accumulation: configuration.accumulation, clip: configuration.clip,
      rematerialise: configuration.rematerialise, backend: backend)
    if let checkpoint {
      guard checkpoint.state.data == Trainer.fingerprint(dataset, tokenizer) else {
        throw TrainingError(
          .setting,
          "The checkpoint is of a run on other data or with another tokenizer. Resume with the same --data, or "
            + "start afresh in another folder with --out.")
      }
      state = try TrainingState(
        step.store, optimizer: optimizer, masters: checkpoint.masters, optimizer: checkpoint.optimizer)
      done = checkpoint.state.step
      evaluationLoss = checkpoint.state.evaluationLoss
      watch = StabilityWatch(configuration.stability, checkpoint.state.watch)
    } else {
      state = try TrainingState(step.store, optimizer: optimizer, seed: configuration.seed)
      done = 0
      watch = StabilityWatch(configuration.stability)
    }
    writer = CheckpointWriter(CheckpointFolder(run: folder), keep: configuration.checkpoint.keep, clock: clock)
    let type = TensorType(.int32, [configuration.batch, length])
    batches = (0..<configuration.accumulation).map { _ in (TensorData(type), TensorData(type)) }
    self.sink = try sink()
  }

  // MARK: The loop

  /// Trains until the steps or seconds are used up, or until `shouldStop` says so at the end of a step.
  ///
  /// - Returns: how it ended; a checkpoint is on disk then.
  /// - Throws: `TrainingError` if the run diverged or its last checkpoint could not be written.
  package func run(shouldStop: () -> Bool = { false }) throws -> RunSummary {
    let start = clock.seconds
    let first = done
    announce()
    var reason = RunSummary.Reason.completed
    saved = done > 0 ? done : nil
    while true {
      let elapsed = clock.seconds - start
      let total = total(elapsed: elapsed, steps: done - first)
      if let steps = configuration.steps, done >= steps { break }
      if configuration.steps == nil && configuration.seconds == nil && done >= total { break }
      if let seconds = configuration.seconds, elapsed >= seconds {
        reason = configuration.steps == nil ? .completed : .timeLimit
        break
      }
      if shouldStop() {
        reason = .interrupted
        break
      }
      try trainStep(of: total)
      reportCheckpoints()
      if isDue(configuration.evaluation.every) { try evaluate() }
      if isDue(configuration.sampling.every) { try sample() }
      // The last step's checkpoint is written at the end, with the loss of the last evaluation.
      if isDue(configuration.checkpoint.every) && done != configuration.steps { save() }
    }
    writer.wait()
    reportCheckpoints()
    // A resumed run that has nothing left to do has told of its evaluation and sample before.
    if reason != .interrupted {
      if done == first ? evaluationLoss == nil : !isDue(configuration.evaluation.every) { try evaluate() }
      if done == first ? done == 0 : !isDue(configuration.sampling.every) { try sample() }
    }
    let summary = RunSummary(
      reason: reason, step: done, loss: watch.loss.count > 0 ? watch.loss.mean : .nan, evaluationLoss: evaluationLoss,
      tokens: done * configuration.tokensPerStep, seconds: clock.seconds - start)
    if saved != done { try report(writer.write(snapshot(copying: false)), isLast: true) }
    sink.receive(.finished(summary))
    sink.flush()
    return summary
  }

  private func isDue(_ every: Int) -> Bool { every > 0 && done > 0 && done % every == 0 }

  /// The number of steps that the learning rate's schedule is laid out for.
  private func total(elapsed: Double, steps: Int) -> Int {
    if let steps = configuration.steps { return steps }
    guard let seconds = configuration.seconds else { return 1000 }
    // Only the time is given: as many as fit at the speed so far.
    guard steps > 0, elapsed > 0 else { return max(1000, configuration.schedule.warmup * 2) }
    let left = Int(min(Double(steps) / elapsed * max(0, seconds - elapsed), 1e15))
    return done + max(1, left)
  }

  private func trainStep(of total: Int) throws {
    let start = clock.seconds
    for (index, batch) in batches.enumerated() {
      dataset.batch(
        order: order, step: done * batches.count + index, batch: configuration.batch,
        inputs: batch.tokens.pointer.assumingMemoryBound(to: Int32.self),
        targets: batch.targets.pointer.assumingMemoryBound(to: Int32.self))
    }
    let rate = configuration.schedule.rate(at: done + 1, of: total)
    let limits = watch.limits
    let controls = TrainingStep.Controls(
      rate: rate, step: done + 1, key: key(done), lossLimit: limits.loss, normLimit: limits.norm)
    let report = try step(batches, state, controls)
    watch.record(loss: report.loss, norm: report.gradientNorm, applied: report.applied)
    done += 1
    let seconds = clock.seconds - start
    sink.receive(.step(record(report, rate: rate, seconds: seconds)))
    if peak == nil { peak = try? ComputePeak.measure(configuration.precision.element, backend: backend, clock: clock) }
    if !report.applied { try explain(report, limits, controls) }
  }

  private func record(_ report: TrainingStep.Report, rate: Double, seconds: Double) -> StepRecord {
    let tokens = Double(configuration.tokensPerStep)
    let flops = tokens * configuration.model.trainingFLOPs(length: configuration.sequenceLength)
    return StepRecord(
      step: done, loss: report.loss, learningRate: rate, gradientNorm: report.gradientNorm,
      tokensPerSecond: tokens / max(seconds, 1e-9), seconds: seconds, mfu: peak.map { flops / max(seconds, 1e-9) / $0 },
      skipped: !report.applied,
      layerGradientNorms: isDue(configuration.stability.layerNorms)
        ? LayerNorms.of(report.squares, state.parameters) : [])
  }

  /// Says why a step was left out; for NaN or infinity, where it arose.
  private func explain(
    _ report: TrainingStep.Report, _ limits: (loss: Double, norm: Double), _ controls: TrainingStep.Controls
  ) throws {
    var message = "Step \(done) was left out: "
    if report.loss.isFinite && report.gradientNorm.isFinite {
      message +=
        "its loss \(Float(report.loss)) or gradient norm \(Float(report.gradientNorm)) is a spike (limits "
        + "\(Float(limits.loss)) and \(Float(limits.norm)))."
    } else {
      var first = FirstNonFinite()
      // Nothing changed, so the same step can be run again.
      _ = try step(batches, state, controls) { first.inspect($0, $1, in: $2) }
      message += "its loss or gradient is not finite. " + (first.finding.map { "First: \($0)" } ?? "")
    }
    sink.receive(.warning(step: done, message: message))
    guard watch.hasDiverged else { return }
    sink.flush()
    throw TrainingError(
      .diverged,
      "\(watch.skipped) steps in a row could not be applied; the last: \(message) Lower the learning rate "
        + "(--set schedule.peak=…), lengthen the warm-up (--set schedule.warmup=…), and go on from the last checkpoint with "
        + "--resume.")
  }

  // MARK: Evaluation, samples, checkpoints

  /// What the model computes with.
  private var given: [TensorData] { state.parameters.indices.map { state.working[$0] ?? state.masters[$0] } }

  private func evaluate() throws {
    guard configuration.evaluation.batches > 0, dataset.validationWindows(of: configuration.sequenceLength) > 0,
      let result = try evaluator.get().loss(dataset, batches: configuration.evaluation.batches, weights: given)
    else { return }
    // What JSON cannot hold must not keep a checkpoint from being written.
    evaluationLoss = result.loss.isFinite ? result.loss : nil
    sink.receive(.evaluation(step: done, loss: result.loss))
  }

  private func sample() throws {
    let sampling = configuration.sampling
    guard sampling.tokens > 0 else { return }
    var prompt = tokenizer.encode(sampling.prompt)
    if prompt.isEmpty { prompt = [tokenizer.endOfText ?? tokenizer.encode("\n").first ?? 0] }
    var sampler = Sampler(
      SamplingConfiguration(temperature: sampling.temperature, seed: configuration.seed &+ UInt64(done)),
      ends: Set([tokenizer.endOfText].compactMap(\.self)))
    // The weights are others since the last sample.
    generator.forget()
    let tokens = try generator.generate(
      prompt, count: sampling.tokens, sampler: &sampler)
    sink.receive(.sample(step: done, text: sampling.prompt + tokenizer.decode(tokens)))
  }

  private func save() {
    if configuration.checkpoint.background {
      writer.writeInBackground(snapshot(copying: true))
    } else {
      try? report(writer.write(snapshot(copying: false)), isLast: false)
    }
  }

  private func reportCheckpoints() {
    for outcome in writer.takeFinished() { try? report(outcome, isLast: false) }
  }

  private func report(_ outcome: CheckpointWriter.Outcome, isLast: Bool) throws {
    if let failure = outcome.failure {
      sink.receive(.warning(step: outcome.step, message: failure.message))
      if isLast {
        sink.flush()
        throw failure
      }
    } else {
      saved = outcome.step
      sink.receive(.checkpoint(step: outcome.step, path: outcome.path, seconds: outcome.seconds))
    }
    sink.flush()
  }

  /// The run at this moment.
  ///
  /// - Parameter copying: whether training goes on while the snapshot is used.
  private func snapshot(copying: Bool) -> Checkpoint {
    func kept(_ data: TensorData) -> TensorData { copying ? data.copy() : data }
    let names = state.parameters.map(\.name)
    return Checkpoint(
      model: configuration.model, tokenizer: tokenizer,
      state: CheckpointState(
        step: done, tokens: done * configuration.tokensPerStep, seed: configuration.seed,
        data: Trainer.fingerprint(dataset, tokenizer), watch: watch.state, evaluationLoss: evaluationLoss),
      masters: Dictionary(uniqueKeysWithValues: zip(names, state.masters.map(kept))),
      optimizer: Dictionary(uniqueKeysWithValues: zip(names, state.optimizer.map { $0.mapValues(kept) })))
  }

  private func announce() {
    sink.receive(
      .started(
        RunDescription(
          model: configuration.preset, parameters: configuration.model.parameterCount,
          tokensPerStep: configuration.tokensPerStep,
          steps: configuration.steps ?? (configuration.seconds == nil ? 1000 : 0), seconds: configuration.seconds,
          device: backend.name, resumedFrom: done, configuration: ConfigurationLoader.encode(configuration))))
  }

  /// Of the random numbers of a step.
  private func key(_ step: Int) -> Int64 {
    let word = RandomStream(key: configuration.seed, stream: 0x64726F70).block(UInt64(step))
    return Int64(word[0]) << 20 ^ Int64(word[1])
  }

  private static func fingerprint(_ dataset: TokenDataset, _ tokenizer: any Tokenizer) -> String {
    String(tokenizer.fingerprint, radix: 16) + "-\(dataset.training.count)-\(dataset.validation.count)"
  }
}

extension StabilityWatch {
  var state: StabilityState {
    StabilityState(
      lossMean: loss.mean, lossVariance: loss.variance, lossCount: loss.count, normMean: norm.mean,
      normVariance: norm.variance, normCount: norm.count, skipped: skipped)
  }

  init(_ configuration: StabilityConfiguration, _ state: StabilityState) {
    self.init(
      configuration, loss: Statistic(mean: state.lossMean, variance: state.lossVariance, count: state.lossCount),
      norm: Statistic(mean: state.normMean, variance: state.normVariance, count: state.normCount),
      skipped: state.skipped)
  }
}

/// The gradient norm of each layer from those of its parameters.
enum LayerNorms {
  static func of(_ squares: [Float], _ parameters: [Parameter]) -> [StepRecord.LayerNorm] {
    var order: [String] = []
    var sums: [String: Double] = [:]
    for (square, parameter) in zip(squares, parameters) {
      let layer = layer(of: parameter.name)
      if sums[layer] == nil { order.append(layer) }
      sums[layer, default: 0] += Double(square)
    }
    return order.map { StepRecord.LayerNorm(layer: $0, norm: sums[$0]!.squareRoot()) }
  }

  /// `layers.3` of `model.layers.3.mlp.up_proj.weight`, else the name without its last part.
  private static func layer(of name: String) -> String {
    let parts = name.split(separator: ".")
    if let place = parts.firstIndex(of: "layers"), place + 1 < parts.count { return "layers.\(parts[place + 1])" }
    return parts.dropLast().joined(separator: ".")
  }
}
